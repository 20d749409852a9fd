"""Cutting a stream into lines: the same lines however the stream was cut into parts, and a bound on memory."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from query_api.lines import Line, LineCutter


def _cut(parts: list[bytes], limit_bytes: int = 100) -> list[Line]:
    cutter = LineCutter(limit_bytes=limit_bytes)
    lines = [line for part in parts for line in cutter.feed(part)]
    return lines + cutter.finish()


@given(st.lists(st.binary(max_size=12), max_size=12))
def test_lines_do_not_depend_on_the_parts(parts: list[bytes]) -> None:
    """Wherever the network cuts, the lines are those of the whole."""
    whole = b"".join(parts)
    expected = whole.split(b"\n")
    if expected[-1] == b"":
        expected.pop()

    assert _cut(parts) == [Line(number, content) for number, content in enumerate(expected, start=1)]


def test_a_line_that_is_too_long_leaves_its_neighbours_alone() -> None:
    """It is dropped as it comes in, and reported once."""
    assert _cut([b"a\nbbb", b"bbb", b"bbb\nc"], limit_bytes=4) == [Line(1, b"a"), Line(2, None), Line(3, b"c")]


def test_a_line_at_the_limit_is_kept() -> None:
    """The limit itself is allowed."""
    assert _cut([b"aa", b"aa"], limit_bytes=4) == [Line(1, b"aaaa")]


def test_a_last_line_that_is_too_long_is_reported() -> None:
    """Even without an end of line."""
    assert _cut([b"aaaaa"], limit_bytes=4) == [Line(1, None)]
