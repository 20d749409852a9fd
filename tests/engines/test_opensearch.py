"""The text index on a real OpenSearch."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator

import pytest
from tantivy import Filter as TantivyFilter
from tantivy import TextAnalyzerBuilder, Tokenizer

from engines.analysis import LANGUAGES, words_of
from engines.opensearch import OpenSearchTextIndex
from engines.opensearch_client import BulkOperation, OpenSearchClient, OpenSearchSettings
from inver.servers.cluster import ServerStatus
from schemas.errors import Fatal, Poison, Retryable
from tests.contracts.text_index import LANGUAGE_EXAMPLES, NewIndex, TextIndexContract, found, row, store


@pytest.fixture
async def client(opensearch_server: ServerStatus) -> AsyncIterator[OpenSearchClient]:
    client = OpenSearchClient(OpenSearchSettings(urls=(f"http://{opensearch_server.address}",)))
    yield client
    await client.close()


@pytest.fixture
async def index_name(client: OpenSearchClient) -> AsyncIterator[str]:
    name = f"test-text-{uuid.uuid4().hex}"
    yield name
    await client.delete_index(name)


class TestOpenSearchTextIndex(TextIndexContract):
    """OpenSearch keeps the TextIndex contract."""

    @pytest.fixture
    async def new_index(self, client: OpenSearchClient) -> AsyncIterator[NewIndex]:
        opened: list[OpenSearchTextIndex] = []

        async def make(analyzer: str) -> OpenSearchTextIndex:
            index = OpenSearchTextIndex(client, index=f"test-text-{uuid.uuid4().hex}", analyzer=analyzer)
            opened.append(index)
            await index.ensure()
            return index

        yield make
        for index in opened:
            await index.drop()


async def test_other_settings_under_the_same_name_are_refused(client: OpenSearchClient, index_name: str) -> None:
    """Analyzer and similarity are remembered in the index; the error says what to do."""
    await OpenSearchTextIndex(client, index=index_name, analyzer="english").ensure()
    for other in (
        OpenSearchTextIndex(client, index=index_name, analyzer="german"),
        OpenSearchTextIndex(client, index=index_name, bm25_k1=0.9),
        OpenSearchTextIndex(client, index=index_name, shards=2),
    ):
        with pytest.raises(Fatal, match="rebuild the generation"):
            await other.ensure()


async def test_a_foreign_index_is_refused(client: OpenSearchClient, index_name: str) -> None:
    """An index of that name that Inver never made is not written to."""
    await client.create_index(index_name, {"mappings": {"properties": {"text": {"type": "text"}}}})
    with pytest.raises(Fatal, match="something else"):
        await OpenSearchTextIndex(client, index=index_name).ensure()


async def test_several_shards_answer_as_one(client: OpenSearchClient, index_name: str) -> None:
    """Scores do not depend on the shard a row fell into, and no shard's rows are left out."""
    index = OpenSearchTextIndex(client, index=index_name, shards=3)
    await index.ensure()
    rows = [row(f"d{number:02}", "alpha beta") for number in range(30)]
    await store(index, rows)

    candidates = await index.search("alpha", tenant="default", window=30)
    assert [candidate.key for candidate in candidates] == [stored.key for stored in rows]
    assert len({candidate.score for candidate in candidates}) == 1
    assert await index.count() == 30
    assert len([key async for key in index.scan()]) == 30


async def test_a_dropped_index_is_not_brought_back_by_a_late_write(client: OpenSearchClient, index_name: str) -> None:
    """Writing to what is gone is Fatal, and creates nothing with guessed mappings."""
    index = OpenSearchTextIndex(client, index=index_name)
    await index.ensure()
    await index.drop()
    with pytest.raises(Fatal, match="gone"):
        await index.upsert([row("a", "alpha")])
    for read in (index.count(), index.fetch(["default/a@1#0"]), index.missing(["default/a@1#0"]), found(index, "a")):
        with pytest.raises(Fatal, match="gone"):
            await read


async def test_a_write_blocked_for_a_while_is_retryable(client: OpenSearchClient, index_name: str) -> None:
    """A read-only index, as a full disk makes it, takes the same rows once it is free again."""
    index = OpenSearchTextIndex(client, index=index_name)
    await index.ensure()
    for setting in ("read_only_allow_delete", "write"):
        await client.request("PUT", f"/{index_name}/_settings", body={f"index.blocks.{setting}": True})
        with pytest.raises(Retryable, match="cluster_block_exception"):
            await index.upsert([row("a", "alpha")])
        await client.request("PUT", f"/{index_name}/_settings", body={f"index.blocks.{setting}": None})
    await store(index, [row("a", "alpha")])
    assert await found(index, "alpha") == ["a"]


async def test_a_row_whose_key_is_too_long_spares_its_neighbours(client: OpenSearchClient, index_name: str) -> None:
    """OpenSearch would refuse the whole request for one such id."""
    index = OpenSearchTextIndex(client, index=index_name)
    await index.ensure()
    with pytest.raises(Poison, match="more than 512 bytes"):
        await index.upsert([row("a", "alpha"), row("x" * 600, "beta")])
    assert await index.count() == 1


async def test_bulk_results_keep_the_order_of_the_operations(client: OpenSearchClient, index_name: str) -> None:
    """Each operation has its own outcome: written, in conflict, deleted, absent or refused."""
    await client.create_index(index_name, {"mappings": {"dynamic": "strict", "properties": {"n": {"type": "long"}}}})

    def write(action: str, identifier: str, **source: object) -> BulkOperation:
        return BulkOperation(action=action, index=index_name, id=identifier, source=source)  # type: ignore[arg-type]

    results = await client.bulk(
        [
            write("create", "a", n=1),
            write("create", "a", n=2),
            write("index", "b", n="no number"),
            write("index", "c", other=1),
            write("delete", "a"),
            write("delete", "never"),
        ]
    )
    assert [result.status for result in results] == [201, 409, 400, 400, 200, 404]
    assert results[1].is_conflict
    errors = [result.error() for result in results]
    assert [type(error) for error in errors] == [type(None), Retryable, Poison, Poison, type(None), type(None)]
    assert results[0].sequence_number == 0


async def test_large_batches_are_cut_into_several_requests(client: OpenSearchClient, index_name: str) -> None:
    """More than one request's worth of rows is written whole."""
    index = OpenSearchTextIndex(client, index=index_name, analyzer="standard")
    await index.ensure()
    rows = [row(f"d{number}", f"alpha {'x ' * 100_000}") for number in range(50)]
    await index.upsert(rows)
    assert await index.missing([stored.key for stored in rows]) == set()


async def test_a_server_that_is_not_there_is_retryable() -> None:
    """The error names the address."""
    client = OpenSearchClient(OpenSearchSettings(urls=("http://127.0.0.1:1",)))
    with pytest.raises(Retryable, match=r"127\.0\.0\.1:1"):
        await client.ping()
    await client.close()


async def test_both_text_engines_stem_alike(client: OpenSearchClient, index_name: str) -> None:
    """Lucene and Tantivy make the same terms of the same words; their English ones differ for 2 words in 1,000."""
    for language in LANGUAGES:
        texts = [text for analyzer, text, _, _ in LANGUAGE_EXAMPLES if analyzer == language]
        words = [word for text in texts for word in words_of(text, language)]
        builder = TextAnalyzerBuilder(Tokenizer.whitespace())
        analyzer = builder.filter(TantivyFilter.stopword(language)).filter(TantivyFilter.stemmer(language)).build()
        await OpenSearchTextIndex(client, index=index_name, analyzer=language).ensure()
        answer = await client.request(
            "POST", f"/{index_name}/_analyze", body={"analyzer": "words", "text": " ".join(words)}
        )
        await client.delete_index(index_name)
        assert [token["token"] for token in answer["tokens"]] == analyzer.analyze(" ".join(words)), language
