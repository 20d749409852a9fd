"""What every StatusStore promises, as tests: a class per adapter inherits them and says how to open its store."""

from __future__ import annotations

import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace

import pytest

from engines.ports import Received, StatusStore
from schemas.indexed import Indexed, Outcome
from schemas.keys import VERSION_LIMIT, DocumentKey
from schemas.status import DocumentState

OpenStatus = Callable[[], Awaitable[StatusStore]]

DOCUMENT = DocumentKey("default", "doc/1 ü")


def received(version: int, *, document: DocumentKey = DOCUMENT) -> Received:
    """Say that a version stands in the log."""
    return Received(document=document, version=version, appended_at_ms=1_000 * version)


def indexed(version: int | None, outcome: Outcome, *, document: DocumentKey = DOCUMENT, row_count: int = 0) -> Indexed:
    """Say that a version is finished."""
    return Indexed(
        document=document,
        version=version,
        outcome=outcome,
        row_count=row_count,
        appended_at_ms=1_000 * (version or 0),
        finished_at_ms=1_000 * (version or 0) + 500,
        timings={"embed": 0.25},
    )


class StatusStoreContract:
    """The port's promises. Adapters provide ``open_store``; every store it opens is on the same, empty storage."""

    @pytest.fixture
    def open_store(self) -> OpenStatus:
        raise NotImplementedError

    @pytest.fixture
    async def store(self, open_store: OpenStatus) -> AsyncIterator[StatusStore]:
        return await open_store()

    async def test_a_document_goes_from_received_to_searchable(self, store: StatusStore) -> None:
        """Pending once it stands in the log, searchable once its version is finished."""
        await store.record("papers", [received(1)])
        pending = (await store.read("papers", [DOCUMENT]))[DOCUMENT]
        await store.record("papers", [indexed(1, Outcome.SEARCHABLE, row_count=4)])
        searchable = (await store.read("papers", [DOCUMENT]))[DOCUMENT]

        assert (
            pending.state,
            pending.version,
            pending.searchable_version,
            pending.row_count,
        ) == (DocumentState.PENDING, 1, None, 0)
        assert (
            searchable.state,
            searchable.version,
            searchable.searchable_version,
            searchable.row_count,
        ) == (DocumentState.SEARCHABLE, 1, 1, 4)
        assert (
            searchable.stage,
            searchable.appended_at_ms,
            searchable.finished_at_ms,
            searchable.timings,
        ) == ("index", 1_000, 1_500, {"embed": 0.25})

    async def test_a_failure_tells_why_and_what_is_still_served(self, store: StatusStore) -> None:
        """A failed version keeps the older one searchable and names stage, reason and dead letter."""
        failure = replace(
            indexed(2, Outcome.FAILED),
            stage="chunk",
            reason="empty_text",
            detail="no visible character",
            dead_letter_id="papers.documents/0/7",
        )
        await store.record("papers", [received(1), indexed(1, Outcome.SEARCHABLE, row_count=4), received(2), failure])

        status = (await store.read("papers", [DOCUMENT]))[DOCUMENT]

        assert (
            status.state,
            status.version,
            status.searchable_version,
            status.row_count,
        ) == (DocumentState.FAILED, 2, 1, 4)
        assert (
            status.stage,
            status.reason,
            status.detail,
            status.dead_letter_id,
        ) == ("chunk", "empty_text", "no visible character", "papers.documents/0/7")

    async def test_documents_never_heard_of_are_left_out(self, store: StatusStore) -> None:
        """Only what is known is in the answer; tenants and collections are apart."""
        await store.record("papers", [received(1)])
        await store.record("papers", [])

        other = DocumentKey("other", DOCUMENT.id)
        assert {DOCUMENT} == set(await store.read("papers", [DOCUMENT, other]))
        assert await store.read("pages", [DOCUMENT]) == {}
        assert await store.read("papers", []) == {}

    async def test_counts_name_every_state(self, store: StatusStore) -> None:
        """Each document counts once, in the state it is in; a state without documents counts zero."""
        outcomes = [Outcome.SEARCHABLE] * 3 + [Outcome.FAILED] * 2 + [Outcome.DELETED]
        for number, outcome in enumerate(outcomes):
            document = DocumentKey("default", str(number))
            await store.record("papers", [received(1, document=document), indexed(1, outcome, document=document)])
        await store.record("papers", [received(2, document=DocumentKey("default", "0"))])

        assert await store.counts("papers") == {"pending": 1, "searchable": 2, "failed": 2, "deleted": 1}
        assert await store.counts("pages") == {"pending": 0, "searchable": 0, "failed": 0, "deleted": 0}

    async def test_the_largest_version_fits(self, store: StatusStore) -> None:
        """Versions have 63 bits."""
        await store.record("papers", [replace(indexed(1, Outcome.SEARCHABLE), version=VERSION_LIMIT - 1)])

        assert (await store.read("papers", [DOCUMENT]))[DOCUMENT].searchable_version == VERSION_LIMIT - 1

    async def test_order_repeats_and_batches_do_not_matter(self, store: StatusStore, open_store: OpenStatus) -> None:
        """Reading the log again, in any interleaving of its topics, gives the same status."""
        rng = random.Random(7)
        documents = [DocumentKey("default", str(number)) for number in range(40)]
        facts: list[Received | Indexed] = []
        for document in documents:
            for version in range(1, rng.randint(2, 5)):
                facts.append(received(version, document=document))
                if rng.random() < 0.8:
                    outcome = rng.choice(list(Outcome))
                    facts.append(indexed(version, outcome, document=document, row_count=version))
        await store.record("once", facts)
        shuffled = facts + rng.sample(facts, len(facts) // 2)
        rng.shuffle(shuffled)
        other = await open_store()
        for start in range(0, len(shuffled), 23):
            await (store if start % 2 else other).record("shuffled", shuffled[start : start + 23])

        assert await store.read("once", documents) == await store.read("shuffled", documents)
        assert await store.counts("once") == await store.counts("shuffled")

    async def test_status_outlives_the_store(self, store: StatusStore, open_store: OpenStatus) -> None:
        """Recorded facts are durable; closing twice is harmless."""
        await store.record("papers", [received(1)])
        await store.close()
        await store.close()

        assert {DOCUMENT} == set(await (await open_store()).read("papers", [DOCUMENT]))

    async def test_a_thousand_facts_are_recorded_quickly(self, store: StatusStore) -> None:
        """A full batch takes milliseconds, also when it changes documents that are known."""
        documents = [DocumentKey("default", f"document-{number}") for number in range(1_000)]
        await store.record("papers", [received(1, document=document) for document in documents])
        seconds: list[float] = []
        for version in range(1, 11):
            facts = [indexed(version, Outcome.SEARCHABLE, document=document, row_count=5) for document in documents]
            started = time.process_time()
            await store.record("papers", facts)
            seconds.append(time.process_time() - started)

        # Processor time, and the best of ten: other work on the machine is not what is judged.
        assert min(seconds) < 0.05
