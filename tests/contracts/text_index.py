"""What every TextIndex promises, as tests that each adapter's own test module inherits."""

from __future__ import annotations

import asyncio
import dataclasses
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence

import pytest

from engines.ports import TextIndex
from schemas.errors import Fatal, Poison
from schemas.filters import NODES_LIMIT, Equal, Exists, Filter, In, Not, Or, Prefix, Range, evaluate
from schemas.keys import DOCUMENT_KEY_LIMIT_BYTES, VERSION_LIMIT, DocumentKey
from schemas.metadata import FilterableValue
from schemas.row import Row
from tests.contracts import filter_cases

TENANT = "default"
DOCUMENTS = 300
FILTERS = 250

#: Text, query, and whether the query finds the text, with the English analyzer.
ENGLISH_EXAMPLES = (
    ("running quickly through studies", "run study", True),
    ("The cells of mice", "cell", True),
    ("the of and", "the", False),
    ("5-HT2A receptor", "5-ht2a", True),
    ("5-HT2A receptor", "HT2A", True),
    ("it can't be", "cant", True),
    ("it can\u2019t be", "can't", True),
    ("O'Neil's law", "oneil", True),
    ("the 3'UTR region", "utr", True),
    ("foo_bar.baz", "bar", True),
    ("user@example.com", "example", True),
    ("na\u00efve caf\u00e9", "cafe\u0301", True),
    ("na\u00efve caf\u00e9", "cafe", False),
    ("\ufb01ne \uff26\uff35\uff2c\uff2c width", "fine full", True),
    ("ex\u00adam\u00adple", "example", True),
    ("\u6771\u4eac\u90fd\u306b\u884c\u304f", "\u4eac", True),
    ("\ud55c\uad6d\uc5b4 \ubb38\uc7a5", "\ud55c\uad6d\uc5b4", True),
    ("\u0939\u093f\u0928\u094d\u0926\u0940", "\u0939\u093f\u0928\u094d\u0926\u0940", True),
    ("word " + "y" * 300, "y" * 300, False),
    ("word " + "y" * 300, "word", True),
    ("z" * 255, "Z" * 255, True),
)
#: Analyzer, text, query, and whether the query finds the text.
LANGUAGE_EXAMPLES = (
    ("standard", "running", "run", False),
    ("standard", "The Running", "the", True),
    ("german", "die H\u00e4user", "haus", True),
    ("german", "die H\u00e4user", "die", False),
    ("french", "l'hommes marchaient", "homme marcher", True),
    ("spanish", "las casas", "casa", True),
    ("italian", "dell'universit\u00e0 le case", "casa", True),
    ("portuguese", "as casas", "casa", True),
    ("swedish", "husen", "hus", True),
    ("danish", "husene", "hus", True),
    ("norwegian", "husene", "hus", True),
    ("finnish", "talossa", "talo", True),
    ("hungarian", "h\u00e1zban", "h\u00e1z", True),
    ("russian", "\u043a\u043d\u0438\u0433\u0438", "\u043a\u043d\u0438\u0433\u0430", True),
)
#: Queries that find "alpha" and never "beta".
HOSTILE_QUERIES = (
    "(+)-alpha",
    'alpha" OR "',
    "title:alpha",
    "alpha AND NOT alpha",
    "-alpha",
    "alph* alpha",
    "alpha~2^3",
    "[alpha TO omega}",
    "/alpha/",
    "\\alpha\\",
    "alpha \x00\x01\x1b\x7f",
    "alpha \ud800",
    "alpha \U0001f469\u200d\U0001f469",
    "{{alpha}} ${alpha}",
    "alpha " + "\u202e" * 100,
    "alpha " * 20_000,
    "alpha " + " ".join(f"w{number}" for number in range(10_000)),
    " ".join(f"w{number}" for number in range(1_000)) + " alpha",
    "alpha " + "(" * 50_000,
    "alpha " + "a'" * 20_000,
    "alpha " + "\u4eac" * 5_000,
)
#: Queries without a single term.
EMPTY_QUERIES = ("", " ", "\x00", "(+)-", '"":*', "\U0001f600", "the of", "\ud800", "y" * 70_000)

#: Makes an index that is empty and ready, with an analyzer; the fixture drops it afterwards.
NewIndex = Callable[[str], Awaitable[TextIndex]]


def row(
    identifier: str,
    text: str,
    *,
    tenant: str = TENANT,
    version: int = 1,
    ordinal: int = 0,
    prefix: str = "",
    metadata: Mapping[str, FilterableValue] | None = None,
) -> Row:
    """Make a row whose other fields follow from the text."""
    return Row(
        document=DocumentKey(tenant, identifier),
        version=version,
        ordinal=ordinal,
        title=prefix,
        text=text,
        prefix=prefix,
        start=0,
        end=len(text),
        metadata=metadata if metadata is not None else {},
    )


async def store(index: TextIndex, rows: Sequence[Row]) -> None:
    """Write rows and wait until searches find them."""
    await index.upsert(rows)
    await index.make_searchable([stored.key for stored in rows])


async def found(
    index: TextIndex, query: str, *, tenant: str = TENANT, window: int = 100, condition: Filter | None = None
) -> list[str]:
    """Return the ids of the documents found, best first."""
    candidates = await index.search(query, tenant=tenant, window=window, condition=condition)
    return [candidate.key.partition("/")[2].partition("@")[0] for candidate in candidates]


class TextIndexContract:
    """Inherit, and define the fixture ``new_index``."""

    @pytest.fixture
    async def index(self, new_index: NewIndex) -> TextIndex:
        return await new_index("english")

    async def test_rows_come_back_as_they_were_written(self, index: TextIndex) -> None:
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
            title="Title",
            text="Some text\r\n\twith\u00a0spaces ",
            prefix="Title\nHeading",
            start=3,
            end=30,
            heading_path=("Heading", ""),
            page=4,
            metadata=metadata,
            source="file:///a",
        )
        await index.upsert([written])

        fetched = (await index.fetch([written.key]))[written.key]

        assert fetched == written
        assert {name: type(value) for name, value in fetched.metadata.items()} == {
            name: type(value) for name, value in metadata.items()
        }

    async def test_absent_keys_are_left_out_and_named_missing(self, index: TextIndex) -> None:
        """Fetch and missing divide the keys asked for between them, before any refresh."""
        stored = row("a", "alpha")
        absent = row("b", "beta").key
        await index.upsert([stored])

        assert await index.fetch([stored.key, absent]) == {stored.key: stored}
        assert await index.missing([stored.key, absent]) == {absent}
        assert await index.missing([]) == set()
        assert await index.fetch([]) == {}

    async def test_count_sees_every_acknowledged_write(self, index: TextIndex) -> None:
        """Counting needs no make_searchable before."""
        rows = [row(f"d{number}", "text") for number in range(5)]
        await index.upsert(rows)
        assert await index.count() == 5
        await index.delete([rows[0].key, "default/absent@1#0"])
        assert await index.count() == 4
        assert await index.missing([rows[0].key]) == {rows[0].key}

    async def test_writing_again_changes_nothing(self, index: TextIndex) -> None:
        """A redelivered batch leaves one row for each key, also where a key stands twice in a batch."""
        rows = [row("a", "alpha"), row("b", "beta")]
        await store(index, rows)
        await store(index, [*rows, rows[0]])

        assert await index.count() == 2
        assert await found(index, "alpha") == ["a"]
        assert sorted([key async for key in index.scan()]) == [stored.key for stored in rows]

    async def test_deleted_rows_are_gone_once_searchable(self, index: TextIndex) -> None:
        """A delete shows in searches after make_searchable; a later write brings the row back."""
        stored = row("a", "alpha")
        await store(index, [stored])
        await index.delete([stored.key])
        await index.make_searchable([stored.key])
        assert await found(index, "alpha") == []
        await store(index, [stored])
        assert await found(index, "alpha") == ["a"]

    async def test_the_other_version_stays_when_one_is_deleted(self, index: TextIndex) -> None:
        """Versions of one document are rows of their own."""
        old, new = row("a", "alpha", version=1), row("a", "alpha", version=2)
        await store(index, [old, new])
        await index.delete([old.key])
        await index.make_searchable([old.key])
        assert [hit.key for hit in await index.search("alpha", tenant=TENANT, window=10)] == [new.key]

    async def test_empty_calls_do_nothing(self, index: TextIndex) -> None:
        """No rows and no keys are no error."""
        await index.upsert([])
        await index.delete([])
        await index.make_searchable([])
        assert await index.count() == 0
        assert [key async for key in index.scan()] == []
        assert await found(index, "anything") == []

    async def test_scan_yields_every_key_once_while_writes_go_on(self, index: TextIndex) -> None:
        """Rows that stay are all named, whatever is added and deleted during the scan."""
        rows = [row(f"d{number:04}", "text") for number in range(2_500)]
        await index.upsert(rows)
        scanned: list[str] = []
        async for key in index.scan():
            if len(scanned) % 1_000 == 500:
                await index.upsert([row(f"new{len(scanned)}", "text"), rows[0]])
                await index.delete([rows[-1].key])
            scanned.append(key)

        assert len(scanned) == len(set(scanned))
        assert set(scanned) >= {stored.key for stored in rows[:-1]}

    async def test_ensure_keeps_what_is_there(self, index: TextIndex) -> None:
        """Ensure can be called at every start."""
        await store(index, [row("a", "alpha")])
        await index.ensure()
        assert await found(index, "alpha") == ["a"]

    async def test_drop_forgets_everything_and_can_be_repeated(self, index: TextIndex) -> None:
        """After a drop, ensure begins a new, empty index."""
        await store(index, [row("a", "alpha")])
        await index.drop()
        await index.drop()
        await index.ensure()
        assert await index.count() == 0
        await store(index, [row("b", "alpha")])
        assert await found(index, "alpha") == ["b"]

    async def test_ping_answers(self, index: TextIndex) -> None:
        """A healthy engine raises nothing."""
        await index.ping()

    async def test_unstorable_rows_are_named_and_the_others_stored(self, index: TextIndex) -> None:
        """One bad row is Poison with its key; its neighbours are written."""
        bad = row("bad", "broken \ud800 text")
        with pytest.raises(Poison, match="default/bad@1#0"):
            await index.upsert([row("a", "alpha"), bad, row("b", "beta")])
        await index.make_searchable([])
        assert await index.missing([row(name, "").key for name in ("a", "bad", "b")]) == {bad.key}

    async def test_the_longest_keys_are_stored(self, index: TextIndex) -> None:
        """Tenant and id may fill their limit whatever version and ordinal follow."""
        longest = dataclasses.replace(
            row("x" * (DOCUMENT_KEY_LIMIT_BYTES - len("default/")), "alpha"), version=VERSION_LIMIT - 1, ordinal=10**6
        )
        await store(index, [longest])
        assert [hit.key for hit in await index.search("alpha", tenant=TENANT, window=1)] == [longest.key]

    async def test_concurrent_calls_all_take_effect(self, index: TextIndex) -> None:
        """Writes, refreshes and searches may overlap in one loop."""
        rows = [row(f"d{number}", "alpha") for number in range(20)]
        await asyncio.gather(*(store(index, [stored]) for stored in rows), *(found(index, "alpha") for _ in range(5)))
        assert len(await found(index, "alpha")) == 20

    async def test_tenants_never_see_each_other(self, index: TextIndex) -> None:
        """The same ids and texts under two tenants stay apart, under filters too."""
        metadata = {"lang": "en"}
        await store(index, [row("a", "alpha", tenant=tenant, metadata=metadata) for tenant in ("one", "two", "on")])
        for condition in (None, Exists("lang"), Not(Exists("absent"))):
            hits = await index.search("alpha", tenant="one", window=10, condition=condition)
            assert [hit.key for hit in hits] == ["one/a@1#0"]
        assert await found(index, "alpha", tenant="absent") == []

    async def test_tenants_stay_apart_while_their_neighbours_come_and_go(self, index: TextIndex) -> None:
        """Also where a tenant was alone for a while, deletes and rewrites included."""
        own = row("a", "alpha", tenant="one")
        other = [row(f"d{number}", "alpha", tenant="two") for number in range(3)]
        for rows in ([own], other, [other[0]], [own]):
            await store(index, rows)
            assert set(await found(index, "alpha", tenant="one")) <= {"a"}
            assert "a" not in await found(index, "alpha", tenant="two")
        await index.delete([stored.key for stored in other])
        await index.make_searchable([stored.key for stored in other])
        assert await found(index, "alpha", tenant="one") == ["a"]
        assert await found(index, "alpha", tenant="two") == []
        await store(index, other[1:])
        assert await found(index, "alpha", tenant="one") == ["a"]
        assert await found(index, "alpha", tenant="two") == ["d1", "d2"]

    async def test_rare_terms_repeats_and_short_texts_rank_higher(self, index: TextIndex) -> None:
        """The three effects of BM25."""
        filler = [row(f"f{number}", "common words only") for number in range(20)]
        rows = [
            row("rare", "common rare other words"),
            row("twice", "common common other words"),
            row("once", "common another other words"),
            row("long", "common another other words " + "and padding besides " * 20),
        ]
        await store(index, [*filler, *rows])
        ranked = await found(index, "common rare")
        assert ranked[0] == "rare"
        assert ranked.index("twice") < ranked.index("once") < ranked.index("long")

    async def test_scores_are_those_of_bm25(self, index: TextIndex) -> None:
        """Their ratios are what k1 = 1.2 and b = 0.75 give; a constant factor is the engine's own."""
        texts = {"a": "alpha beta", "b": "alpha alpha gamma delta", "c": "beta gamma delta delta epsilon zeta"}
        await store(index, [row(name, text) for name, text in texts.items()])
        scores = {hit.key[8]: hit.score for hit in await index.search("alpha", tenant=TENANT, window=10)}
        mean_length = (2 + 4 + 6) / 3

        def saturation(count: int, length: int) -> float:
            return count / (count + 1.2 * (1 - 0.75 + 0.75 * length / mean_length))

        assert scores["b"] / scores["a"] == pytest.approx(saturation(2, 4) / saturation(1, 2), rel=1e-5)

    async def test_equal_scores_are_ordered_by_key_also_at_the_window_edge(self, index: TextIndex) -> None:
        """Which of many equal rows fit the window does not depend on when they were written."""
        identifiers = [f"d{number:03}" for number in range(60)]
        shuffled = random.Random(7).sample(identifiers, len(identifiers))
        for start in range(0, 60, 20):
            await store(index, [row(name, "alpha beta") for name in shuffled[start : start + 20]])
        assert await found(index, "alpha beta", window=25) == identifiers[:25]
        assert await found(index, "beta", window=1) == identifiers[:1]

    async def test_window_limits_the_answer(self, index: TextIndex) -> None:
        """At most so many, the best; none at all for a window of none."""
        await store(index, [row(f"d{number}", "alpha " * (number + 1)) for number in range(5)])
        assert len(await found(index, "alpha", window=3)) == 3
        assert (await found(index, "alpha", window=3)) == (await found(index, "alpha"))[:3]
        assert await found(index, "alpha", window=0) == []

    async def test_the_prefix_is_searched_as_well(self, index: TextIndex) -> None:
        """Title and headings in front of a chunk find it."""
        await store(index, [row("a", "alpha", prefix="Heading"), row("b", "beta")])
        assert await found(index, "heading") == ["a"]

    async def test_english_words_are_found(self, index: TextIndex) -> None:
        """Cutting, folding, stop words and stemming agree between documents and queries, and between engines."""
        rows = [row("a", text, tenant=f"t{number}") for number, (text, _, _) in enumerate(ENGLISH_EXAMPLES)]
        await store(index, rows)
        for number, (text, query, finds) in enumerate(ENGLISH_EXAMPLES):
            hits = await found(index, query, tenant=f"t{number}")
            assert hits == (["a"] if finds else []), (text, query)

    async def test_each_language_has_its_stemmer(self, new_index: NewIndex) -> None:
        """The analyzer named is the one that is used."""
        for analyzer, text, query, finds in LANGUAGE_EXAMPLES:
            index = await new_index(analyzer)
            await store(index, [row("a", text)])
            assert await found(index, query) == (["a"] if finds else []), (analyzer, text, query)

    async def test_unknown_analyzers_are_refused(self, new_index: NewIndex) -> None:
        """The error lists those there are."""
        with pytest.raises(Fatal, match="english"):
            await new_index("klingon")

    async def test_no_character_in_a_query_has_a_meaning(self, index: TextIndex) -> None:
        """Whatever stands around it, the word is found, and only where it is."""
        await store(index, [row("a", "alpha"), row("b", "beta")])
        for query in HOSTILE_QUERIES:
            assert await found(index, query) == ["a"], query[:80]

    async def test_queries_without_terms_find_nothing(self, index: TextIndex) -> None:
        """There is nothing to look for, and nothing breaks."""
        await store(index, [row("a", "alpha the \U0001f600 of")])
        for query in EMPTY_QUERIES:
            assert await found(index, query) == [], query[:80]

    async def test_long_queries_and_large_filters_go_together(self, index: TextIndex) -> None:
        """Neither the most words nor the most conditions exceed what the engine allows, nor do both."""
        await store(index, [row("a", "alpha", metadata={"n": 7})])
        query = "alpha " + " ".join(f"w{number}" for number in range(5_000))
        kinds: tuple[Callable[[int], Filter], ...] = (
            lambda number: Range(field="n", gt=number),
            lambda number: Not(Equal("n", f"{number}")),
            lambda number: In("n", (number, f"{number}", True)),
            lambda number: Or((Prefix("n", f"{number}"), Exists("n"))),
        )
        for kind in kinds:
            condition = Or(tuple(kind(number) for number in range(NODES_LIMIT // 3)))
            assert await found(index, query, condition=condition) == ["a"]
        most = Or(tuple(Range(field="n", gt=number) for number in range(NODES_LIMIT - 1)))
        assert await found(index, query, condition=most) == ["a"]

    async def test_filters_mean_what_evaluate_says(self, index: TextIndex) -> None:
        """Hundreds of generated documents under hundreds of generated filters."""
        documents = filter_cases.draw_many(filter_cases.metadata(), DOCUMENTS)
        conditions = filter_cases.draw_many(filter_cases.filters(), FILTERS)
        rows = [row(str(number), "alpha", metadata=data) for number, data in enumerate(documents)]
        await store(index, rows)

        for condition in conditions:
            expected = {number for number, data in enumerate(documents) if evaluate(condition, data)}
            hits = await found(index, "alpha", window=len(rows), condition=condition)
            assert {int(name) for name in hits} == expected, condition

    async def test_prefix_of_many_values_loses_none(self, index: TextIndex) -> None:
        """A prefix matches however many different strings begin with it."""
        rows = [row(f"d{number:03}", "alpha", metadata={"path": f"folder/{number}"}) for number in range(300)]
        await store(index, rows)
        hits = await found(index, "alpha", window=1_000, condition=Prefix("path", "folder/"))
        assert len(hits) == 300
