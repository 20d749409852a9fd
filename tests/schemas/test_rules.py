"""The rules that the HTTP edge and the log's readers apply alike."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import InvalidField, Poison
from schemas.generation import CollectionRecord, VersionSource
from schemas.keys import OFFSET_BITS
from schemas.metadata import FieldType, field_type
from schemas.rules import COLLECTION_FIELDS_LIMIT, check_version, event_version, new_fields, tombstone_version
from tests.schemas.strategies import metadata

LOG = CollectionRecord(name="c", version_source=VersionSource.LOG, epoch=3)
PRODUCER = CollectionRecord(name="c", version_source=VersionSource.PRODUCER)


def test_versions_come_from_one_source_only():
    """Given where the log gives them, or absent where producers do, they are refused with what to do."""
    check_version(None, VersionSource.LOG)
    check_version(7, VersionSource.PRODUCER)
    with pytest.raises(InvalidField, match=r"field 'version' has value 7: .*leave the field out") as refused:
        check_version(7, VersionSource.LOG)
    assert refused.value.reason == "version_not_expected"
    with pytest.raises(InvalidField, match="send one that only rises"):
        check_version(None, VersionSource.PRODUCER)


@given(st.integers(0, 2**OFFSET_BITS - 2))
def test_a_later_record_has_a_higher_version_and_a_replay_the_same(offset: int):
    """The version is a function of epoch and offset alone."""
    version = event_version(None, LOG, offset)

    assert version == event_version(None, LOG, offset) == tombstone_version(LOG, offset)
    assert event_version(None, LOG, offset + 1) > version
    raised = CollectionRecord(name="c", version_source=VersionSource.LOG, epoch=4)
    assert event_version(None, raised, 0) > version
    assert event_version(9, PRODUCER, offset) == 9


def test_a_bare_tombstone_has_no_version_of_its_own():
    """Where producers give versions, it cannot say which version it deletes."""
    with pytest.raises(Poison, match="send a delete event with a version") as refused:
        tombstone_version(PRODUCER, 5)
    assert refused.value.reason == "unversioned_delete"


@given(metadata)
def test_names_are_new_once(names: dict[str, object]):
    """What was learned is known afterwards, with the type it was first seen with."""
    fresh = new_fields({}, names)  # type: ignore[arg-type]

    assert fresh == {name: field_type(value) for name, value in names.items()}  # type: ignore[arg-type]
    assert new_fields(fresh, names) == {}  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("known", "value"),
    [
        (FieldType.NUMBER, "2026"),
        (FieldType.NUMBER, True),
        (FieldType.STRING, 1),
        (FieldType.BOOLEAN, 0),
        (FieldType.DATETIME, 1_700_000_000),
        (FieldType.NUMBER, ("a",)),
    ],
)
def test_a_type_never_changes(known: FieldType, value: object):
    """The error names the field, the value and both types."""
    with pytest.raises(InvalidField, match=rf"field 'metadata\.year' .*as {known.value} ") as refused:
        new_fields({"year": known}, {"year": value})  # type: ignore[dict-item]
    assert refused.value.reason == "field_type_changed"


def test_a_list_of_strings_has_the_type_of_its_members():
    """One field may hold one string or many."""
    assert new_fields({"tag": FieldType.STRING}, {"tag": ("a", "b")}) == {}


def test_data_used_as_names_is_noticed():
    """A collection may have so many names; known ones still pass when it is full."""
    known = {f"n{number}": FieldType.STRING for number in range(COLLECTION_FIELDS_LIMIT)}
    assert new_fields(known, {"n0": "x"}) == {}
    with pytest.raises(InvalidField, match=f"may have {COLLECTION_FIELDS_LIMIT} names and has"):
        new_fields(known, {"one-more": "x"})
