"""Compares all that is said about a collection's documents: manifests, both engines' rows, statuses, dead letters."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass, field
from typing import Any

from inver.runtime import Runtime
from inver.wiring import GenerationEngines
from schemas.codec import decode_dead_letter
from schemas.document import DEFAULT_TENANT
from schemas.keys import DocumentKey, row_keys
from schemas.manifest import Manifest
from schemas.status import DocumentState, DocumentStatus
from streams.log import TopicPartition
from streams.topics import dead_letters_topic

_SHOWN = 10


@dataclass(slots=True, kw_only=True)
class Audit:
    """What was found; ``problems`` names the first of every kind and counts all."""

    visible_documents: int = 0
    rows: int = 0
    dense_rows: int = 0
    sparse_rows: int = 0
    dead_letters: int = 0
    states: dict[str, int] = field(default_factory=dict)
    problem_counts: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)

    def problem(self, kind: str, detail: str) -> None:
        """Note something that should not be."""
        self.problem_counts[kind] += 1
        if self.problem_counts[kind] <= _SHOWN:
            self.examples.append(f"{kind}: {detail}")

    def as_json(self) -> dict[str, Any]:
        """Return the figures."""
        return {
            "visible_documents": self.visible_documents,
            "rows_by_manifests": self.rows,
            "dense_rows": self.dense_rows,
            "sparse_rows": self.sparse_rows,
            "dead_letters": self.dead_letters,
            "states": self.states,
            "problems": dict(self.problem_counts),
            "examples": self.examples,
        }

    def table_rows(self) -> list[tuple[str, int]]:
        """Return the figures as lines for people."""
        return [
            ("visible documents, by manifests", self.visible_documents),
            ("rows those manifests list", self.rows),
            ("rows in the vector engine", self.dense_rows),
            ("rows in the text engine", self.sparse_rows),
            ("dead letters", self.dead_letters),
            *((f"documents {state}", count) for state, count in sorted(self.states.items())),
            *((f"PROBLEM {kind}", count) for kind, count in self.problem_counts.items()),
        ]


async def audit(
    runtime: Runtime, collection: str, *, searchable: Collection[str], failed: Collection[str] = ()
) -> Audit:
    """Check that exactly these documents are searchable, once, in both engines, and that these failed with a reason."""
    found = Audit()
    engines = await runtime.directory.engines(await runtime.directory.record(collection))
    manifests = {document: manifest async for document, manifest in engines.manifests.scan()}
    visible = {document: manifest for document, manifest in manifests.items() if not manifest.deleted}
    found.visible_documents = len(visible)
    _check_documents(found, visible, {DocumentKey(DEFAULT_TENANT, identifier) for identifier in searchable})
    await _check_rows(found, engines, visible)
    letters = await _dead_letter_ids(runtime, collection)
    found.dead_letters = len(letters)
    good, bad = ([DocumentKey(DEFAULT_TENANT, identifier) for identifier in group] for group in (searchable, failed))
    known = await (await runtime.wiring.statuses()).read(collection, [*good, *bad])
    found.states = dict(Counter(status.state.value for status in known.values()))
    for document in good:
        _check_searchable(found, document, known.get(document), visible.get(document))
    for document in bad:
        _check_failed(found, document, known.get(document), letters)
    return found


def _check_documents(found: Audit, visible: dict[DocumentKey, Manifest], expected: set[DocumentKey]) -> None:
    for document in expected - visible.keys():
        found.problem("document missing", document.encoded())
    for document in visible.keys() - expected:
        found.problem("document not expected", document.encoded())


async def _check_rows(found: Audit, engines: GenerationEngines, visible: dict[DocumentKey, Manifest]) -> None:
    expected = {
        key
        for document, manifest in visible.items()
        for key in row_keys(document, manifest.rows_version, manifest.row_count)
    }
    found.rows = len(expected)
    found.dense_rows = await _check_engine(found, "vector engine", engines.vectors.scan(), expected)
    found.sparse_rows = await _check_engine(found, "text engine", engines.texts.scan(), expected)
    for name, store in (("vector engine", engines.vectors), ("text engine", engines.texts)):
        counted = await store.count()
        if counted != len(expected):
            found.problem(f"count of the {name} differs", f"{counted} instead of {len(expected)}")


async def _check_engine(found: Audit, name: str, scan: AsyncIterator[str], expected: set[str]) -> int:
    stored = Counter([key async for key in scan])
    for key, times in stored.items():
        if times > 1:
            found.problem(f"row twice in the {name}", key)
        if key not in expected:
            found.problem(f"row in the {name} that no manifest lists", key)
    for key in expected - stored.keys():
        found.problem(f"row missing from the {name}", key)
    return sum(stored.values())


async def _dead_letter_ids(runtime: Runtime, collection: str) -> set[str]:
    log = await runtime.wiring.log()
    topic = dead_letters_topic(collection)
    identities: set[str] = set()
    for partition, end in (await log.end_offsets(topic)).items():
        async for record in log.read_range(TopicPartition(topic, partition), 0, end):
            identities.add(decode_dead_letter(record.value or b"").id)
    return identities


def _check_failed(found: Audit, document: DocumentKey, status: DocumentStatus | None, letters: set[str]) -> None:
    if status is None or status.state is not DocumentState.FAILED or not status.reason:
        found.problem("failed document whose status does not say why", document.encoded())
    elif status.dead_letter_id not in letters:
        found.problem("failed document without its dead letter", f"{document.encoded()} {status.dead_letter_id!r}")


def _check_searchable(
    found: Audit, document: DocumentKey, status: DocumentStatus | None, manifest: Manifest | None
) -> None:
    if status is None or status.state is not DocumentState.SEARCHABLE:
        found.problem("status of a searchable document", f"{document.encoded()}: {status and status.state.value}")
    elif manifest is not None and (status.searchable_version, status.row_count) != (
        manifest.version,
        manifest.row_count,
    ):
        found.problem(
            "status and manifest differ",
            f"{document.encoded()}: {status.searchable_version}, {status.row_count} rows; "
            f"{manifest.version}, {manifest.row_count} rows",
        )
