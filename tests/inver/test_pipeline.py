"""The pipeline end to end, in both profiles: what goes in is found whole, in one version, or set aside as it came."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from schemas.chunk import Operation
from schemas.codec import encode_document_event
from schemas.document import DocumentEvent
from schemas.keys import DocumentKey
from schemas.search import DENSE, SPARSE
from schemas.status import DocumentState
from tests.inver.harness import Harness, open_harness, until


@pytest.fixture(params=["embedded", "servers"])
async def inver(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Harness]:
    """A running Inver with an empty collection."""
    settings = {"profile": request.param}
    if request.param == "servers":
        servers = request.getfixturevalue("servers")
        settings["addresses"] = {
            "kafka": servers.kafka.address,
            "opensearch": f"http://{servers.opensearch.address}",
            "milvus": f"http://{servers.milvus.address}",
        }
    async with open_harness(tmp_path, f"t{uuid.uuid4().hex[:12]}", **settings) as harness:
        yield harness


async def test_a_document_is_found_by_both_legs_and_says_where(inver: Harness):
    """One document goes in and comes out with each leg's rank, its own text, and its exact place in it."""
    accepted = await inver.put("rivers", "Two rivers meet at the confluence.", title="Rivers", metadata={"year": 2026})

    status = await inver.finished(accepted)
    response = await inver.search("rivers meet")

    assert (status.state, status.version) == (DocumentState.SEARCHABLE, accepted.version)
    [hit] = response.hits
    assert (hit.id, hit.text, hit.title) == ("rivers", "Two rivers meet at the confluence.", "Rivers")
    assert (hit.start, hit.end, hit.metadata) == (0, len(hit.text), {"year": 2026})
    assert {name: rank.rank for name, rank in hit.legs.items()} == {DENSE: 1, SPARSE: 1}
    assert response.degraded == ()


async def test_an_update_replaces_and_a_delete_removes_in_both_legs(inver: Harness):
    """After a change only the new text is found, after a delete nothing, in each leg alone."""
    await inver.finished(await inver.put("a", "the heron stands in shallow water"))
    await inver.finished(await inver.put("a", "the kingfisher dives from a branch"))

    for leg in (DENSE, SPARSE):
        assert [hit.text for hit in (await inver.search("heron water", (leg,))).hits] in (
            [],
            ["the kingfisher dives from a branch"],
        )
        assert [hit.text for hit in (await inver.search("kingfisher branch", (leg,))).hits] == [
            "the kingfisher dives from a branch"
        ]
    deleted = DocumentEvent(key=DocumentKey("default", "a"), operation=Operation.DELETE)
    status = await inver.finished(await inver.send(deleted))

    assert status.state is DocumentState.DELETED
    for leg in (DENSE, SPARSE):
        assert (await inver.search("kingfisher branch", (leg,))).hits == ()


async def test_a_document_under_update_is_always_there_in_exactly_one_version(inver: Harness):
    """A sampler that asks all the while never sees two versions, an old one after a new one, or none."""
    updates = 40
    await inver.finished(await inver.put("a", "salmon number 0 swims"))
    seen: list[tuple[int, ...]] = []
    done = asyncio.Event()

    async def sample() -> None:
        while not done.is_set():
            hits = (await inver.search("salmon swims", collapse=False)).hits
            seen.append(tuple(int(hit.text.split()[2]) for hit in hits))

    sampler = asyncio.create_task(sample())
    for number in range(1, updates + 1):
        accepted = await inver.put("a", f"salmon number {number} swims")
        if number % 4 == 0:
            await inver.finished(accepted)
    done.set()
    await sampler

    assert all(len(answer) == 1 for answer in seen), seen
    assert seen == sorted(seen)
    assert len(seen) > 5


async def test_unchanged_content_moves_the_version_and_nothing_else(inver: Harness):
    """A crawler that sends everything again causes no new rows."""
    first = await inver.put("a", "the same words")
    await inver.finished(first)
    again = await inver.put("a", "the same words")
    await inver.finished(again)

    record = await inver.runtime.directory.record(inver.collection)
    engines = await inver.runtime.directory.engines(record)
    manifest = (await engines.manifests.read([first.document]))[first.document].manifest
    assert (manifest.version, manifest.rows_version) == (again.version, first.version)
    assert await engines.texts.count() == await engines.vectors.count() == 1


async def test_tenants_with_the_same_ids_and_texts_never_meet(inver: Harness):
    """A search sees its own tenant's documents only."""
    for tenant in ("acme", "emca"):
        await inver.finished(await inver.put("a", "shared words", tenant=tenant))

    assert [hit.tenant for hit in (await inver.search("shared words", tenant="acme")).hits] == ["acme"]
    assert (await inver.search("shared words", tenant="other")).hits == ()


async def test_a_long_document_in_many_parts_appears_whole(inver: Harness):
    """A version whose chunks need several records becomes visible with all of them."""
    text = "\n\n".join(f"Paragraph {n} tells of the river Tay and its {n} bridges." for n in range(12_000))

    accepted = await inver.put("long", text)
    status = await inver.finished(accepted)

    assert status.state is DocumentState.SEARCHABLE
    assert status.row_count > 512
    record = await inver.runtime.directory.record(inver.collection)
    engines = await inver.runtime.directory.engines(record)
    assert await engines.texts.count() == await engines.vectors.count() == status.row_count


BAD_RECORDS = {
    "broken JSON": (b"default/bad", b"{", "invalid_json"),
    "bad UTF-8": (b"default/bad", b"\xff\xfe\x00", "invalid_json"),
    "lone surrogate": (
        b"default/bad",
        b'{"schema":1,"op":"upsert","id":"bad","text":"\\ud800"}',
        "invalid_json",
    ),
    "NUL byte": (b"default/bad", b'{"schema":1,"op":"upsert","id":"bad","text":"a\\u0000b"}', "invalid_field"),
    "empty text": (b"default/bad", b'{"schema":1,"op":"upsert","id":"bad","text":""}', "invalid_field"),
    "missing id": (b"default/bad", b'{"schema":1,"op":"upsert","text":"x"}', "missing_field"),
    "unknown op": (b"default/bad", b'{"schema":1,"op":"merge","id":"bad","text":"x"}', "unknown_operation"),
    "unknown schema": (b"default/bad", b'{"schema":9,"op":"upsert","id":"bad","text":"x"}', "unknown_schema"),
    "wrong type": (b"default/bad", b'{"schema":1,"op":"upsert","id":7,"text":"x"}', "invalid_field"),
    "id of 2,000 characters": (
        b"default/bad",
        b'{"schema":1,"op":"upsert","id":"' + b"x" * 2000 + b'","text":"x"}',
        "invalid_field",
    ),
    "NaN in metadata": (
        b"default/bad",
        b'{"schema":1,"op":"upsert","id":"bad","text":"x","metadata":{"a":NaN}}',
        "invalid_json",
    ),
    "type of a field changed": (
        b"default/bad",
        b'{"schema":1,"op":"upsert","id":"bad","text":"x","metadata":{"year":"2026"}}',
        "field_type_changed",
    ),
    "PDF that is none": (
        b"default/bad",
        b'{"schema":1,"op":"upsert","id":"bad","content":"aGVsbG8=","media_type":"application/pdf"}',
        "malformed_pdf",
    ),
    "unknown media type": (
        b"default/bad",
        b'{"schema":1,"op":"upsert","id":"bad","content":"aGVsbG8=","media_type":"image/png"}',
        "unsupported_media_type",
    ),
    "key of another document": (
        b"default/bad",
        b'{"schema":1,"op":"upsert","id":"other","text":"x"}',
        "key_mismatch",
    ),
    "version where the log gives them": (
        b"default/bad",
        b'{"schema":1,"op":"upsert","id":"bad","text":"x","version":3}',
        "version_not_expected",
    ),
    "blob that is not there": (
        b"default/bad",
        b'{"schema":1,"op":"upsert","id":"bad","content_uri":"blob:'
        + b"0" * 64
        + b'","content_sha256":"'
        + b"0" * 64
        + b'"}',
        "blob_missing",
    ),
    "URL as content": (
        b"default/bad",
        b'{"schema":1,"op":"upsert","id":"bad","content_uri":"http://127.0.0.1/","content_sha256":"'
        + b"0" * 64
        + b'"}',
        "invalid_blob_uri",
    ),
}


async def test_bad_records_become_dead_letters_with_their_bytes_and_spare_their_neighbours(inver: Harness):
    """Every kind of bad record is set aside with its bytes and its reason; good ones around it are searchable."""
    await inver.finished(await inver.put("first", "good neighbour first", metadata={"year": 2025}))
    good = []
    for number, (key, value, _) in enumerate(BAD_RECORDS.values()):
        await inver.append(key, value)
        event = DocumentEvent(key=DocumentKey("default", f"good-{number}"), text=f"good neighbour {number}")
        good.append(event.key.id)
        await inver.append(event.key.encoded().encode(), encode_document_event(event))

    async def all_found() -> bool:
        found = {hit.id for hit in (await inver.search("good neighbour", size=100)).hits}
        return set(good) <= found

    await until(all_found, "the neighbours")

    async def all_letters() -> list:
        letters = await inver.dead_letters()
        return letters if len(letters) >= len(BAD_RECORDS) else []

    letters = await until(all_letters, "the dead letters")
    by_value = {letter.value: letter for letter in letters}
    for name, (key, value, reason) in BAD_RECORDS.items():
        assert (by_value[value].reason, by_value[value].key) == (reason, key), name
        assert by_value[value].stage == "chunk"
        assert by_value[value].detail

    async def failed() -> bool:
        status = await inver.status("bad")
        return status is not None and status.state is DocumentState.FAILED

    await until(failed, "the status to say so")


async def test_a_bare_tombstone_deletes(inver: Harness):
    """A Kafka record without a value removes its document."""
    await inver.finished(await inver.put("a", "short lived words"))
    await inver.append(b"default/a", None)

    async def gone() -> bool:
        return not (await inver.search("short lived words")).hits

    await until(gone, "the tombstone to act")

    async def reported() -> bool:
        status = await inver.status("a")
        return status is not None and status.state is DocumentState.DELETED

    await until(reported, "the status to say so")
