"""What every VectorIndex promises, as tests that each adapter's own test module inherits."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Callable, Mapping, Sequence

import numpy as np
import pytest

from engines.ports import VectorIndex
from schemas.embedding import Vectors
from schemas.errors import Fatal, Poison
from schemas.filters import And, Equal, Exists, Filter, In, Not, Or, Prefix, Range, evaluate
from schemas.keys import DOCUMENT_KEY_LIMIT_BYTES, VERSION_LIMIT, DocumentKey
from schemas.metadata import FilterableValue
from schemas.row import Row
from tests.contracts import filter_cases

TENANT = "default"
DIMENSION = 8
DOCUMENTS = 300
FILTERS = 300
EAST = np.eye(DIMENSION, dtype=np.float32)[0]

#: Makes an instance for a name and a dimension, not ensured; the same name is the same storage. The fixture cleans up.
OpenIndex = Callable[[str, int], VectorIndex]


def row(
    identifier: str,
    *,
    tenant: str = TENANT,
    version: int = 1,
    ordinal: int = 0,
    metadata: Mapping[str, FilterableValue] | None = None,
) -> Row:
    """Make a row whose other fields follow from the id."""
    return Row(
        document=DocumentKey(tenant, identifier),
        version=version,
        ordinal=ordinal,
        title="",
        text=f"text of {identifier}",
        prefix="",
        start=0,
        end=8,
        metadata=metadata if metadata is not None else {},
    )


def random_vectors(count: int, dimension: int = DIMENSION, seed: int = 7) -> Vectors:
    """Return vectors of length 1, the same ones on every run."""
    vectors = np.random.default_rng(seed).standard_normal((count, dimension)).astype(np.float32)
    normalised: Vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return normalised


def angled(*degrees: float) -> Vectors:
    """Return vectors of length 1 that stand at these angles to EAST."""
    vectors = np.zeros((len(degrees), DIMENSION), np.float32)
    vectors[:, 0], vectors[:, 1] = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return vectors


async def store(index: VectorIndex, rows: Sequence[Row], vectors: Vectors | None = None) -> None:
    """Write rows, all near EAST where nothing else is said, and wait until searches find them."""
    await index.upsert(rows, vectors if vectors is not None else angled(*np.linspace(0, 60, len(rows))))
    await index.make_searchable([stored.key for stored in rows])


async def found(
    index: VectorIndex, *, tenant: str = TENANT, window: int = 100, condition: Filter | None = None
) -> list[str]:
    """Return the ids of the documents near EAST, best first."""
    candidates = await index.search(EAST, tenant=tenant, window=window, condition=condition)
    return [candidate.key.partition("/")[2].partition("@")[0] for candidate in candidates]


class RowStoreContract:
    """The half of the contract that is about storing."""

    @pytest.fixture
    async def index(self, open_index: OpenIndex) -> AsyncIterator[VectorIndex]:
        index = open_index("shared", DIMENSION)
        await index.ensure()
        yield index
        await index.delete([key async for key in index.scan()])

    async def test_rows_come_back_as_they_were_written(self, index: VectorIndex) -> None:
        """Every field of a row survives, characters and kinds of numbers included."""
        metadata: dict[str, FilterableValue] = {
            "s": 'é\n"\\\u2028\U0001f600',
            "i": 1,
            "f": 1.0,
            "big": 2**53,
            "far": 253_402_300_799_999_999,
            "tiny": 5e-324,
            "b": False,
            "list": ("b", "a", "b"),
            "none": (),
        }
        written = Row(
            document=DocumentKey("t/ü", "a b@1#2"),
            version=VERSION_LIMIT - 1,
            ordinal=7,
            title='Title "\\ \u202e',
            text="Some text\r\n\twith\u00a0spaces ",
            prefix="Title\nHeading",
            start=3,
            end=30,
            heading_path=("Heading", ""),
            page=4,
            metadata=metadata,
            source="file:///a",
        )
        await store(index, [written])

        fetched = (await index.fetch([written.key]))[written.key]

        assert fetched == written
        assert {name: type(value) for name, value in fetched.metadata.items()} == {
            name: type(value) for name, value in metadata.items()
        }

    async def test_absent_keys_are_left_out_and_named_missing(self, index: VectorIndex) -> None:
        """Fetch and missing divide the keys asked for between them."""
        stored = row("a")
        absent = row("b").key
        await store(index, [stored])

        assert await index.fetch([stored.key, absent]) == {stored.key: stored}
        assert await index.missing([stored.key, absent]) == {absent}
        assert await index.missing([]) == set()
        assert await index.fetch([]) == {}

    async def test_count_and_missing_see_every_acknowledged_write(self, index: VectorIndex) -> None:
        """They need no make_searchable before."""
        rows = [row(f"d{number}") for number in range(5)]
        await index.upsert(rows, random_vectors(5))
        assert await index.count() == 5
        await index.delete([rows[0].key, "default/absent@1#0"])
        assert await index.count() == 4
        assert await index.missing([stored.key for stored in rows]) == {rows[0].key}

    async def test_writing_again_changes_nothing(self, index: VectorIndex) -> None:
        """A redelivered batch leaves one row for each key, also where a key stands twice in a batch."""
        rows = [row("a"), row("b")]
        await store(index, rows)
        await store(index, [*rows, rows[0]], angled(0, 60, 0))

        assert await index.count() == 2
        assert await found(index) == ["a", "b"]
        assert sorted([key async for key in index.scan()]) == [stored.key for stored in rows]

    async def test_deleted_rows_are_gone_once_searchable(self, index: VectorIndex) -> None:
        """A delete shows in searches after make_searchable; a later write brings the row back."""
        stored = row("a")
        await store(index, [stored])
        await index.delete([stored.key])
        await index.make_searchable([stored.key])
        assert await found(index) == []
        assert await index.fetch([stored.key]) == {}
        await store(index, [stored])
        assert await found(index) == ["a"]

    async def test_writes_show_in_searches_of_other_instances(self, index: VectorIndex, open_index: OpenIndex) -> None:
        """Stored rows outlive the instance that wrote them, which need not be closed."""
        await store(index, [row("a")])
        other = open_index("shared", DIMENSION)
        await other.ensure()
        assert await found(other) == ["a"]
        assert await other.count() == 1

    async def test_make_searchable_holds_for_every_search_that_follows(self, index: VectorIndex) -> None:
        """Write, confirm, search at once, many times over, with deletes between."""
        for number in range(8):
            kept, removed = row("kept", version=number + 1), row("kept", version=number)
            await index.upsert([kept], angled(10))
            await index.delete([removed.key])
            await index.make_searchable([kept.key, removed.key])
            assert [hit.key for hit in await index.search(EAST, tenant=TENANT, window=10)] == [kept.key]

    async def test_empty_calls_do_nothing(self, index: VectorIndex) -> None:
        """No rows and no keys are no error."""
        await index.upsert([], np.empty((0, DIMENSION), np.float32))
        await index.delete([])
        await index.make_searchable([])
        assert await index.count() == 0
        assert [key async for key in index.scan()] == []
        assert await found(index) == []

    async def test_scan_yields_every_key_once_while_writes_go_on(self, index: VectorIndex) -> None:
        """Rows that stay are all named, whatever is added, written again and deleted during the scan."""
        rows = [row(f"d{number:04}") for number in range(5_000)]
        await index.upsert(rows, random_vectors(len(rows)))
        scanned: list[str] = []
        async for key in index.scan():
            if len(scanned) % 2_000 == 500:
                await index.upsert([row(f"new{len(scanned)}"), rows[0], rows[-2]], random_vectors(3))
                await index.delete([rows[-1].key])
            scanned.append(key)

        assert len(scanned) == len(set(scanned))
        assert set(scanned) >= {stored.key for stored in rows[:-1]}

    async def test_ensure_keeps_what_is_there(self, index: VectorIndex) -> None:
        """Ensure can be called at every start."""
        await store(index, [row("a")])
        await index.ensure()
        assert await found(index) == ["a"]

    async def test_another_dimension_is_refused(self, index: VectorIndex, open_index: OpenIndex) -> None:
        """Vectors of two models never meet in one store; the error names both dimensions."""
        other = open_index("shared", DIMENSION + 1)
        with pytest.raises(Fatal, match=rf"dimension {DIMENSION} .* {DIMENSION + 1}"):
            await other.ensure()

    async def test_drop_forgets_everything_and_can_be_repeated(self, open_index: OpenIndex) -> None:
        """Dropping nothing is harmless; after a drop, ensure begins anew, even with another dimension."""
        index = open_index("dropped", DIMENSION)
        await index.drop()
        await index.ensure()
        await store(index, [row("a")])
        await index.drop()
        await index.drop()

        other = open_index("dropped", 2)
        await other.ensure()
        assert await other.count() == 0
        await other.upsert([row("b")], np.array([[1, 0]], np.float32))
        await other.make_searchable([row("b").key])
        assert len(await other.search(np.array([1, 0], np.float32), tenant=TENANT, window=5)) == 1
        await other.drop()

    async def test_ping_answers(self, index: VectorIndex) -> None:
        """A healthy engine raises nothing."""
        await index.ping()

    async def test_the_longest_keys_are_stored(self, index: VectorIndex) -> None:
        """Tenant and id may fill their limit whatever version and ordinal follow."""
        longest = dataclasses.replace(
            row("x" * (DOCUMENT_KEY_LIMIT_BYTES - len("default/"))), version=VERSION_LIMIT - 1, ordinal=10**6
        )
        await store(index, [longest])
        assert [hit.key for hit in await index.search(EAST, tenant=TENANT, window=1)] == [longest.key]

    async def test_concurrent_calls_all_take_effect(self, index: VectorIndex) -> None:
        """Writes, confirmations and searches may overlap in one loop."""
        rows = [row(f"d{number}") for number in range(20)]
        await asyncio.gather(*(store(index, [stored]) for stored in rows), *(found(index) for _ in range(20)))
        assert len(await found(index)) == 20


class VectorIndexContract(RowStoreContract):
    """Inherit, and define the fixture ``open_index``."""

    async def test_nearest_come_first_with_their_cosine(self, index: VectorIndex) -> None:
        """Scores are cosine similarities, opposite directions included."""
        degrees = {"b": 0.0, "a": 30.0, "d": 90.0, "c": 180.0}
        await store(index, [row(name) for name in degrees], angled(*degrees.values()))
        hits = await index.search(EAST, tenant=TENANT, window=10)
        assert [hit.key[8] for hit in hits] == ["b", "a", "d", "c"]
        assert [hit.score for hit in hits] == pytest.approx([1, np.cos(np.pi / 6), 0, -1], abs=1e-5)

    async def test_equal_scores_are_ordered_by_key(self, index: VectorIndex) -> None:
        """The order of equal rows does not depend on when they were written."""
        for name in ("c", "a", "d", "b"):
            await store(index, [row(name)], angled(20))
        assert await found(index) == ["a", "b", "c", "d"]

    async def test_window_limits_the_answer(self, index: VectorIndex) -> None:
        """At most so many, the best; none at all for a window of none."""
        await store(index, [row(f"d{number}") for number in range(5)])
        assert await found(index, window=3) == ["d0", "d1", "d2"]
        assert await found(index, window=0) == []

    async def test_a_new_vector_replaces_the_old_one(self, index: VectorIndex) -> None:
        """Upserting a key overwrites its row."""
        await store(index, [row("a", metadata={"n": 1}), row("b")], angled(10, 20))
        await store(index, [row("a", metadata={"n": 2})], angled(30))
        assert await found(index) == ["b", "a"]
        assert await found(index, condition=Equal("n", 1)) == []
        assert await found(index, condition=Equal("n", 2)) == ["a"]

    @pytest.mark.parametrize(
        "vectors",
        [
            np.ones((2, DIMENSION + 1), np.float32),
            np.ones((1, DIMENSION), np.float32),
            np.array([[1.0] * DIMENSION, [np.nan] * DIMENSION], np.float32),
            np.array([[1.0] * DIMENSION, [np.inf] * DIMENSION], np.float32),
        ],
        ids=["dimension", "count", "nan", "infinite"],
    )
    async def test_unusable_vectors_are_refused_whole(self, index: VectorIndex, vectors: Vectors) -> None:
        """Nothing of the batch is stored."""
        with pytest.raises(Poison):
            await index.upsert([row("a"), row("b")], vectors)
        assert await index.count() == 0

    async def test_unusable_rows_and_queries_are_named(self, index: VectorIndex) -> None:
        """Broken text is refused with its key, and a query of another dimension with its own."""
        broken = dataclasses.replace(row("b"), text="broken \ud800")
        with pytest.raises(Poison, match="default/b@1#0"):
            await index.upsert([row("a"), broken], random_vectors(2))
        with pytest.raises(Poison, match="8 finite numbers"):
            await index.search(EAST[:-1], tenant=TENANT, window=1)
        assert await index.count() == 0

    async def test_tenants_never_see_each_other(self, index: VectorIndex) -> None:
        """The same ids under many tenants stay apart, under filters too, whatever their names look like."""
        tenants = ("one", "two", "on", 'one"', "one' or true", "o/ne", "\\", "ünë", "%", 'x" or key != "')
        await store(index, [row("a", tenant=tenant, metadata={"lang": "en"}) for tenant in tenants])
        for tenant in tenants:
            for condition in (None, Exists("lang"), Or((Not(Exists("absent")), Equal("lang", "en")))):
                hits = await index.search(EAST, tenant=tenant, window=10, condition=condition)
                assert [hit.key for hit in hits] == [row("a", tenant=tenant).key]
        assert await found(index, tenant="absent") == []

    async def test_narrow_filters_lose_no_match(self, index: VectorIndex) -> None:
        """One row in a hundred, one in a thousand, and all but those: as many as match come back, the best ones."""
        count = 3_000
        vectors = random_vectors(count)
        rows = [row(f"d{number}", metadata={"n": number % 1_000}) for number in range(count)]
        await store(index, rows, vectors)
        order = [int(number) for number in np.argsort(-(vectors @ EAST), kind="stable")]
        for condition in (Range(field="n", lt=10), Equal("n", 5), Not(Range(field="n", lt=990)), In("n", (1, 2.0))):
            expected = [f"d{number}" for number in order if evaluate(condition, {"n": number % 1_000})]
            assert await found(index, condition=condition) == expected[:100]

    async def test_filters_mean_what_evaluate_says(self, index: VectorIndex) -> None:
        """Hundreds of generated documents under hundreds of generated filters."""
        documents = filter_cases.draw_many(filter_cases.metadata(), DOCUMENTS)
        conditions = filter_cases.draw_many(filter_cases.filters(), FILTERS)
        rows = [row(str(number), metadata=data) for number, data in enumerate(documents)]
        await store(index, rows)

        for condition in conditions:
            expected = {number for number, data in enumerate(documents) if evaluate(condition, data)}
            hits = await found(index, window=len(rows), condition=condition)
            assert {int(name) for name in hits} == expected, condition

    async def test_the_largest_filters_are_answered(self, index: VectorIndex) -> None:
        """As wide, as deep and as long as the filter language allows."""
        await store(index, [row("a", metadata={"n": 7, "s": "v7"}), row("b", metadata={"n": 8})])
        wide = And(tuple(Not(Equal("s", f"w{number}")) for number in range(255)))
        deep: Filter = Equal("n", 7)
        for number in range(7):
            deep = And((Not(deep), Or((Equal("n", number + 100), Not(Prefix("s", "w"))))))
        deep = Not(deep)
        long = In("s", (*(f"v{number}" * 100 for number in range(1_000)), "v7"))

        assert await found(index, condition=wide) == ["a", "b"]
        assert await found(index, condition=deep) == ["a"]
        assert await found(index, condition=long) == ["a"]
