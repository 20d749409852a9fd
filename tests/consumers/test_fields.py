"""The collection's memory of metadata types: whoever is first decides, in every process."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from consumers.fields import CollectionFields
from engines.sqlite_catalog import SqliteCatalog
from schemas.errors import Fatal, InvalidField
from schemas.generation import CollectionRecord
from schemas.metadata import FieldType, MetadataValue

RECORD = CollectionRecord(name="c")

_ADMIT = """
import asyncio, sys
from pathlib import Path
from consumers.fields import CollectionFields
from engines.sqlite_catalog import SqliteCatalog
from schemas.errors import InvalidField

async def main(path, kind):
    catalog = SqliteCatalog(Path(path))
    stored = await catalog.read("c")
    fields = CollectionFields(catalog, stored.record)
    print("ready", flush=True)
    sys.stdin.readline()
    for number in range(40):
        try:
            await fields.admit({f"n{number}": number if kind == "number" else str(number)})
            print(number, flush=True)
        except InvalidField:
            pass
    await catalog.close()

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.fixture
async def catalog(tmp_path: Path) -> AsyncIterator[SqliteCatalog]:
    catalog = SqliteCatalog(tmp_path / "catalog.sqlite")
    await catalog.ensure()
    await catalog.write(RECORD, None)
    yield catalog
    await catalog.close()


async def known(catalog: SqliteCatalog) -> dict[str, FieldType]:
    """What the catalog remembers."""
    stored = await catalog.read("c")
    assert stored is not None
    return dict(stored.record.fields)


async def test_names_are_in_the_catalog_before_the_document_goes_on(catalog: SqliteCatalog):
    """What is admitted is remembered, with its type."""
    fields = CollectionFields(catalog, RECORD)

    await fields.admit({"year": 2026, "tags": ("a",)})

    assert await known(catalog) == {"year": FieldType.NUMBER, "tags": FieldType.STRING}
    assert dict(fields.record.fields) == await known(catalog)


async def test_known_names_cost_no_write(catalog: SqliteCatalog):
    """The record's token stays, so that other changes to it are not disturbed."""
    fields = CollectionFields(catalog, RECORD)
    await fields.admit({"year": 2026})
    before = await catalog.read("c")

    await fields.admit({"year": 1999})
    await CollectionFields(catalog, RECORD).admit({"year": 1})

    after = await catalog.read("c")
    assert before == after


async def test_a_name_learned_elsewhere_is_respected(catalog: SqliteCatalog):
    """A process that has not seen it yet reads the catalog before it decides, and writes nothing."""
    left, right = CollectionFields(catalog, RECORD), CollectionFields(catalog, RECORD)
    await left.admit({"year": 2026})

    with pytest.raises(InvalidField, match=r"metadata\.year"):
        await right.admit({"year": "2026", "new": 1})

    assert await known(catalog) == {"year": FieldType.NUMBER}


async def test_other_changes_to_the_record_are_kept(catalog: SqliteCatalog):
    """A new live generation, written meanwhile, survives a name being learned."""
    fields = CollectionFields(catalog, RECORD)
    stored = await catalog.read("c")
    assert stored is not None
    await catalog.write(replace(stored.record, live="g2", epoch=5), stored.token)

    await fields.admit({"year": 2026})

    after = await catalog.read("c")
    assert after is not None
    assert (after.record.live, after.record.epoch) == ("g2", 5)
    assert (fields.record.live, fields.record.epoch) == ("g2", 5)


async def test_many_stages_learning_at_once_lose_no_name(catalog: SqliteCatalog):
    """Every write that was overtaken is decided again."""
    everyone = [CollectionFields(catalog, RECORD) for _ in range(8)]

    await asyncio.gather(*[fields.admit({f"n{number}": 1}) for number, fields in enumerate(everyone)])

    assert set(await known(catalog)) == {f"n{number}" for number in range(8)}


async def test_two_values_of_one_name_at_once_are_admitted_with_one_type(catalog: SqliteCatalog):
    """One of them is first; the other is refused."""
    values: list[MetadataValue] = ["2026", 2026]
    outcomes = await asyncio.gather(
        *[CollectionFields(catalog, RECORD).admit({"year": value}) for value in values], return_exceptions=True
    )

    refused = [outcome for outcome in outcomes if outcome is not None]
    assert len(refused) == 1
    assert isinstance(refused[0], InvalidField)


async def test_a_collection_that_is_gone_stops_the_stage(catalog: SqliteCatalog):
    """It is not made again by accident."""
    with pytest.raises(Fatal, match="'gone' is no longer in the catalog"):
        await CollectionFields(catalog, CollectionRecord(name="gone")).admit({"year": 1})

    assert await catalog.read("gone") is None


async def test_two_processes_never_admit_one_name_with_two_types(catalog: SqliteCatalog, tmp_path: Path):
    """Both try forty names at once, one with numbers, one with strings: each name belongs to exactly one of them."""
    processes = {
        kind: await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            _ADMIT,
            str(tmp_path / "catalog.sqlite"),
            kind,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            cwd=Path(__file__).parents[2],
        )
        for kind in ("number", "string")
    }
    for process in processes.values():
        assert process.stdout is not None
        await asyncio.wait_for(process.stdout.readline(), 60)
    admitted: dict[str, set[str]] = {}
    answers = await asyncio.gather(*[process.communicate(b"go\n") for process in processes.values()])
    for kind, (output, _) in zip(processes, answers, strict=True):
        admitted[kind] = set(output.decode().split())

    assert all(process.returncode == 0 for process in processes.values())
    assert not admitted["number"] & admitted["string"]
    remembered = await known(catalog)
    assert remembered == {f"n{n}": FieldType(kind) for kind, numbers in admitted.items() for n in numbers}
    assert len(remembered) == 40
