"""Dead letters carry a record as it came, fit wherever it fitted, and stop a stage before they become the rule."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from schemas.codec import decode_dead_letter
from schemas.errors import Poison
from streams.dead_letters import DeadLetterCount, DeadLetterLimit, dead_letter_of, dead_letter_record, detail_of
from streams.log import OutgoingRecord, Record
from streams.record_size import record_bytes
from streams.topics import collection_topics, dead_letters_topic, documents_topic

LIMITS = {spec.name: spec.max_record_bytes for spec in collection_topics("c", "g1", 1)}


def record(**fields: object) -> Record:
    """A record, ordinary but for what is told."""
    ordinary = {"topic": "c.documents", "partition": 3, "offset": 42, "key": b"t/a", "value": b"{", "headers": ()}
    return Record(timestamp_ms=1_000, **(ordinary | fields))  # type: ignore[arg-type]


def letter_of(bad: Record, text: str = "no JSON") -> OutgoingRecord:
    """Set a record aside."""
    letter = dead_letter_of(bad, Poison("invalid_json", text), stage="chunk", attempts=1, now_ms=2_000)
    return dead_letter_record(letter, "c.dead-letters")


headers = st.lists(st.tuples(st.text(max_size=5), st.binary(max_size=9)), max_size=3).map(tuple)


@given(st.none() | st.binary(max_size=30), st.none() | st.binary(max_size=30), headers)
def test_a_letter_gives_back_the_record_byte_for_byte(
    key: bytes | None, value: bytes | None, names: tuple[tuple[str, bytes], ...]
):
    """Key, value and headers, absent or empty, are as they came; everything known about the failure is with them."""
    letter = decode_dead_letter(letter_of(record(key=key, value=value, headers=names)).value or b"")

    assert (letter.key, letter.value, letter.headers) == (key, value, names)
    assert (letter.topic, letter.partition, letter.offset, letter.id) == ("c.documents", 3, 42, "c.documents/3/42")
    assert (letter.stage, letter.reason, letter.detail, letter.attempts) == ("chunk", "invalid_json", "no JSON", 1)
    assert (letter.appended_at_ms, letter.set_aside_at_ms) == (1_000, 2_000)


def test_letters_of_one_document_stay_together():
    """A letter has its record's key; without one it is keyed by its own identity."""
    assert letter_of(record()).key == b"t/a"
    assert letter_of(record(key=None)).key == b"c.documents/3/42"
    assert letter_of(record(key=b"")).key == b""


def test_the_largest_record_a_topic_takes_fits_the_dead_letters():
    """Whether its bytes are in the value, the key or the headers, and whatever text the failure has."""
    limit = LIMITS[documents_topic("c")]
    for bad in (
        record(value=bytes(limit - 3)),
        record(key=b"\xff" * limit, value=None),
        record(value=None, headers=(("h", bytes(limit - 4)),)),
    ):
        assert (
            record_bytes(OutgoingRecord(topic="t", key=bad.key or b"", value=bad.value, headers=bad.headers)) <= limit
        )
        assert record_bytes(letter_of(bad, "\x01" * 10_000_000)) <= LIMITS[dead_letters_topic("c")]


@given(st.text(st.characters(), max_size=50))
def test_any_text_can_be_told(text: str):
    """Lone surrogates, which no record could carry, are written out."""
    letter = decode_dead_letter(letter_of(record(), text).value or b"")

    assert letter.detail == text.encode("utf-8", "backslashreplace").decode()


def test_a_long_text_is_cut_visibly():
    """What is left says that there was more."""
    assert detail_of(Poison("r", "short")) == "short"
    assert len(detail_of(Poison("r", "x" * 100_000))) == 4_000
    assert detail_of(Poison("r", "x" * 100_000)).endswith("x…")


def test_few_letters_prove_nothing():
    """Below the minimum a stage goes on, even when every record was bad."""
    count = DeadLetterCount(DeadLetterLimit(ratio=0.5, window_records=100, minimum=10))
    count.note(good=0, set_aside=9)
    assert not count.exceeded()
    count.note(good=0, set_aside=1)
    assert count.exceeded()


def test_letters_leave_the_window():
    """Bad luck of long ago does not stop a stage today."""
    count = DeadLetterCount(DeadLetterLimit(ratio=0.5, window_records=100, minimum=10))
    count.note(good=0, set_aside=10)
    count.note(good=95, set_aside=0)
    assert not count.exceeded()


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=12))
def test_the_ratio_is_of_the_last_records_only(batches: list[tuple[int, int]]):
    """The verdict is the one that counting the window by hand gives."""
    limit = DeadLetterLimit(ratio=0.25, window_records=40, minimum=5)
    count, all_records = DeadLetterCount(limit), []
    for good, bad in batches:
        count.note(good=good, set_aside=bad)
        all_records += [False] * good + [True] * bad
        window = all_records[-40:]
        assert count.exceeded() == (sum(window) >= 5 and sum(window) > 0.25 * len(window))
