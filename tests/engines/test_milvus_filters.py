"""Filters in Milvus' words, without a server; what they mean there is part of the vector index contract."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from engines.milvus_filters import _successor, decode_metadata, encode_metadata, expression
from schemas.filters import And, Equal, Filter, Not
from schemas.metadata import FilterableValue
from tests.contracts.filter_cases import filters, hostile_strings, metadata


@given(metadata())
def test_metadata_comes_back_as_it_was(data: dict[str, FilterableValue]) -> None:
    """Kinds survive: 1 is not 1.0, and an empty list is still one."""
    decoded = decode_metadata(encode_metadata(data))
    assert decoded == data
    assert {name: type(value) for name, value in decoded.items()} == {n: type(v) for n, v in data.items()}


@given(hostile_strings(), filters())
def test_the_tenant_stands_outermost(tenant: str, condition: Filter) -> None:
    """Whatever the condition, it is inside parentheses that close at the very end."""
    written = expression(tenant, condition)
    only_tenant = expression(tenant, None)
    assert written.startswith(f"{only_tenant} and (")
    assert _depths_outside_strings(written[len(only_tenant) + 5 :])[:-1].count(0) == 0


def _depths_outside_strings(text: str) -> list[int]:
    depth, inside, escaped, depths = 0, False, False, []
    for character in text:
        if inside:
            inside = escaped or character != '"'
            escaped = character == "\\" and not escaped
        else:
            inside = character == '"'
            depth += (character in "([") - (character in ")]")
        depths.append(depth)
    assert not inside
    assert depth == 0
    return depths


def test_wide_and_deep_filters_give_shallow_trees() -> None:
    """Milvus refuses trees about 50 deep; the largest filter allowed stays well below."""
    condition: Filter = Equal("a", "b")
    for _ in range(8):
        condition = Not(And((condition, *(Equal("a", str(number)) for number in range(60)))))
    deepest = max(_depths_outside_strings(expression("t", condition)))
    assert deepest < 40


EDGES = st.text(st.sampled_from("az\x01\ud7ff\ue000\uffff\U00010000\U0010fffe\U0010ffff"), max_size=4)


@given(EDGES, EDGES | hostile_strings())
def test_strings_with_a_prefix_lie_below_its_successor(prefix: str, text: str) -> None:
    """By code points, which is how Milvus orders strings; the last characters of all have no successor."""
    successor = _successor(prefix)
    assert (text >= prefix and (not successor or text < successor)) == text.startswith(prefix)
    successor.encode()
