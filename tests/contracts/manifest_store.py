"""What every ManifestStore promises, as tests: a class per adapter inherits them and says how to open its store."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace

import pytest

from engines.ports import ManifestChange, ManifestStore
from schemas.keys import VERSION_LIMIT, DocumentKey
from schemas.manifest import Manifest, RowsOfVersion

OpenManifests = Callable[[], Awaitable[ManifestStore]]


def key(identifier: str, tenant: str = "default") -> DocumentKey:
    """Name a document."""
    return DocumentKey(tenant, identifier)


def manifest(version: int = 1, *, row_count: int = 3) -> Manifest:
    """Build a manifest of a version."""
    return Manifest(version=version, rows_version=version, row_count=row_count, content_hash=f"hash-{version}")


def change(document: DocumentKey, version: int, expected: str | None) -> ManifestChange:
    """Propose a version of a document."""
    return ManifestChange(document=document, manifest=manifest(version), expected=expected)


async def create(store: ManifestStore, documents: Sequence[DocumentKey], version: int = 1) -> list[str]:
    """Write first manifests and return their tokens."""
    tokens = await store.advance([change(document, version, None) for document in documents])
    created = [token for token in tokens if token is not None]
    assert len(documents) == len(created)
    return created


class ManifestStoreContract:
    """The port's promises. Adapters provide ``open_store``; every store it opens is on the same, empty manifests."""

    @pytest.fixture
    def open_store(self) -> OpenManifests:
        raise NotImplementedError

    @pytest.fixture
    async def store(self, open_store: OpenManifests) -> AsyncIterator[ManifestStore]:
        store = await open_store()
        await store.ensure()
        return store

    async def test_reads_back_every_field(self, store: ManifestStore) -> None:
        """What was written is what is read, for tombstones and the largest numbers too."""
        documents = [key("plain"), key("gone"), key("Größe /#?%&\u2028 \U0001f600", tenant="käse/1")]
        manifests = [
            Manifest(
                version=VERSION_LIMIT - 1,
                rows_version=VERSION_LIMIT - 2,
                row_count=7,
                content_hash="ab" * 32,
                superseded=(RowsOfVersion(1, 2), RowsOfVersion(VERSION_LIMIT - 3, 4)),
            ),
            Manifest(version=9, rows_version=0, row_count=0, content_hash="", deleted=True),
            manifest(3),
        ]
        tokens = await store.advance(
            [
                ManifestChange(document=document, manifest=each, expected=None)
                for document, each in zip(documents, manifests, strict=True)
            ]
        )

        found = await store.read(documents)

        assert manifests == [found[document].manifest for document in documents]
        assert tokens == [found[document].token for document in documents]

    async def test_absent_documents_are_left_out(self, store: ManifestStore) -> None:
        """Only what exists is in the answer, and asking for nothing answers nothing."""
        await create(store, [key("here")])

        assert {key("here")} == set(await store.read([key("here"), key("absent"), key("here", tenant="other")]))
        assert await store.read([]) == {}
        assert await store.advance([]) == []

    async def test_ensuring_again_keeps_everything(self, store: ManifestStore, open_store: OpenManifests) -> None:
        """Creating what is missing touches nothing that is there."""
        await create(store, [key("a")])

        await store.ensure()
        await (await open_store()).ensure()

        assert {key("a")} == set(await store.read([key("a")]))

    async def test_another_store_sees_an_acknowledged_advance_at_once(
        self, store: ManifestStore, open_store: OpenManifests
    ) -> None:
        """A read is at least as new as every acknowledged write, whoever wrote it."""
        other = await open_store()
        token: str | None = None
        for version in range(1, 30):
            (token,) = await store.advance([change(key("a"), version, token)])

            stored = (await other.read([key("a")]))[key("a")]

            assert (manifest(version), token) == (stored.manifest, stored.token)

    async def test_an_outdated_token_changes_nothing(self, store: ManifestStore) -> None:
        """A writer that decided from an older manifest is told so, and the newer one stays."""
        (first,) = await create(store, [key("a")])
        (second,) = await store.advance([change(key("a"), 2, first)])

        late = await store.advance([change(key("a"), 9, first)])
        created = await store.advance([change(key("a"), 9, None)])

        stored = (await store.read([key("a")]))[key("a")]
        assert late == [None]
        assert created == [None]
        assert (manifest(2), second) == (stored.manifest, stored.token)

    async def test_a_token_without_its_manifest_changes_nothing(self, store: ManifestStore) -> None:
        """A token does not create a manifest that is not there."""
        (token,) = await create(store, [key("a")])

        assert await store.advance([change(key("absent"), 2, token)]) == [None]
        assert await store.read([key("absent")]) == {}

    async def test_a_repeated_change_answers_none_and_is_there(self, store: ManifestStore) -> None:
        """After a call whose answer was lost, repeating is safe: it answers None, and reading tells the outcome."""
        changes = [change(key("a"), 1, None), change(key("b"), 1, None)]
        tokens = await store.advance(changes)

        repeated = await store.advance(changes)

        found = await store.read([key("a"), key("b")])
        assert repeated == [None, None]
        assert tokens == [found[key("a")].token, found[key("b")].token]

    async def test_neighbours_of_a_refused_change_are_written(self, store: ManifestStore) -> None:
        """Answers come in the order of the changes, and each stands for itself."""
        documents = [key(f"{number}") for number in range(50)]
        tokens = await create(store, documents)
        await store.advance([change(documents[7], 2, tokens[7]), change(documents[31], 2, tokens[31])])

        answers = await store.advance(
            [change(document, 3, token) for document, token in zip(documents, tokens, strict=True)]
        )

        found = await store.read(documents)
        assert [place for place, answer in enumerate(answers) if answer is None] == [7, 31]
        assert [2 if place in (7, 31) else 3 for place in range(50)] == [
            found[document].manifest.version for document in documents
        ]

    async def test_one_call_changes_one_document_once_per_token(self, store: ManifestStore) -> None:
        """Two changes from the same token in one call: the first is written, the second refused."""
        first, second = await store.advance([change(key("a"), 1, None), change(key("a"), 2, None)])

        assert first is not None
        assert second is None
        assert manifest(1) == (await store.read([key("a")]))[key("a")].manifest

    async def test_one_of_fifty_concurrent_advances_wins(self, store: ManifestStore, open_store: OpenManifests) -> None:
        """Of writers that hold the same token, exactly one is first, again and again."""
        stores = [store, await open_store()]
        token: str | None = None
        for round_number in range(4):
            answers = await asyncio.gather(
                *(
                    stores[writer % 2].advance([change(key("contended"), 100 * round_number + writer + 1, token)])
                    for writer in range(50)
                )
            )

            winners = [writer for writer, (answer,) in enumerate(answers) if answer is not None]
            assert len(winners) == 1
            stored = (await store.read([key("contended")]))[key("contended")]
            assert 100 * round_number + winners[0] + 1 == stored.manifest.version
            token = stored.token

    @pytest.mark.parametrize("seed", [1, 2, 3])
    async def test_no_update_is_lost_among_concurrent_writers(
        self, store: ManifestStore, open_store: OpenManifests, seed: int
    ) -> None:
        """Writers that read, decide and write form one line of history: every accepted step is in the end's sum."""
        rng = random.Random(seed)
        documents = [key(f"counter-{seed}-{number}") for number in range(3)]
        stores = [store, await open_store()]

        async def writer(number: int, picks: list[list[DocumentKey]]) -> dict[DocumentKey, int]:
            accepted = dict.fromkeys(documents, 0)
            mine = stores[number % 2]
            for picked in picks:
                found = await mine.read(picked)
                await asyncio.sleep(0)
                steps = [
                    ManifestChange(
                        document=document,
                        manifest=replace(
                            found[document].manifest if document in found else manifest(row_count=0),
                            version=number + 1,
                            row_count=1 + (found[document].manifest.row_count if document in found else 0),
                        ),
                        expected=found[document].token if document in found else None,
                    )
                    for document in picked
                ]
                for document, answer in zip(picked, await mine.advance(steps), strict=True):
                    accepted[document] += answer is not None
            return accepted

        plans = [[rng.sample(documents, rng.randint(1, 3)) for _ in range(12)] for _ in range(6)]
        accepted = await asyncio.gather(*(writer(number, plan) for number, plan in enumerate(plans)))

        end = await store.read(documents)
        for document in documents:
            assert sum(each[document] for each in accepted) == end[document].manifest.row_count

    async def test_scan_yields_every_manifest_once(self, store: ManifestStore) -> None:
        """A scan of several pages sees each acknowledged manifest once, in its newest state."""
        documents = [key(f"doc-{number:05}", tenant=f"tenant-{number % 3}") for number in range(2_300)]
        tokens = await create(store, documents)
        await store.advance([change(documents[0], 2, tokens[0])])

        seen = [entry async for entry in store.scan()]

        assert set(documents) == {document for document, _ in seen}
        assert len(documents) == len(seen)
        assert manifest(2) == dict(seen)[documents[0]]

    async def test_writes_during_a_scan_cost_it_nothing(self, store: ManifestStore) -> None:
        """What stood there when the scan began is yielded once, whatever is written meanwhile."""
        documents = [key(f"doc-{number:05}") for number in range(1_500)]
        tokens = await create(store, documents)
        seen: list[DocumentKey] = []

        async for document, _ in store.scan():
            if len(seen) in (0, 500, 1_200):
                place = len(seen)
                await store.advance([change(documents[place], 2, tokens[place])])
                await create(store, [key(f"doc-{place:05}-new")])
            seen.append(document)

        assert len(seen) == len(set(seen))
        assert set(documents) <= set(seen)

    async def test_a_scan_may_be_left_early(self, store: ManifestStore) -> None:
        """Who has seen enough stops, and the store goes on."""
        await create(store, [key("a"), key("b")])
        scan = store.scan()
        async for _ in scan:
            break
        await scan.aclose()  # type: ignore[attr-defined]  # every adapter's scan is a generator

        assert len([entry async for entry in store.scan()]) == 2

    async def test_drop_leaves_nothing_and_may_be_repeated(self, store: ManifestStore) -> None:
        """After a drop the generation can be built anew, from nothing."""
        await create(store, [key("a"), key("b")])

        await store.drop()
        await store.drop()
        await store.ensure()

        assert await store.read([key("a"), key("b")]) == {}
        assert [entry async for entry in store.scan()] == []
        await create(store, [key("a")])

    async def test_manifests_outlive_the_store(self, store: ManifestStore, open_store: OpenManifests) -> None:
        """Acknowledged manifests and their tokens are durable; closing twice is harmless."""
        (token,) = await create(store, [key("a")])
        await store.close()
        await store.close()

        reopened = await open_store()

        assert token == (await reopened.read([key("a")]))[key("a")].token
        assert await reopened.advance([change(key("a"), 2, token)]) != [None]

    async def test_answers_to_a_ping(self, store: ManifestStore) -> None:
        """A store that works answers."""
        await store.ping()
