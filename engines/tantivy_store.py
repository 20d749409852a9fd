"""Rows in a Tantivy index on disk: the calls of the text index, blocking, for a thread to make."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Final

import orjson
from tantivy import DocAddress, Document, Index, IndexWriter, Occur, Query, Searcher

from engines.analysis import words_of
from engines.filter_terms import terms_of
from engines.row_json import row_from_json, row_to_json
from engines.tantivy_filters import TERMS_FIELD, filter_query
from engines.tantivy_schema import index_schema, text_analyzer, tokenizer_name
from schemas.errors import Fatal, Poison, Retryable
from schemas.filters import Filter as Condition
from schemas.row import Candidate, Row

#: What one writer collects before it writes a segment; a commit writes one in any case.
_HEAP_BYTES: Final = 64_000_000
_SCANNED_AT_ONCE: Final = 10_000
#: Bounds the memory that remembered keys take to some ten megabytes.
_REMEMBERED_KEYS: Final = 100_000
#: More terms make no query better; a few thousand make it slow.
_TERMS_LIMIT: Final = 1_024
#: A term that no metadata has.
_EVERY_ROW: Final = "*"
#: How many rows beyond its window a search looks at, to know all that score as the last one does.
_TIES_EXPECTED: Final = 64
#: How much further it looks where there are more.
_TIES_FACTOR: Final = 4


class TantivyStore:
    """One index. Calls that write must not overlap each other; all others may overlap anything.

    - A write is on disk when it returns and shows in searches after ``refresh``.
    - A process that dies leaves the index as its last completed write left it.
    - One process at a time writes: Tantivy locks the folder from the first write until ``close``.
    """

    def __init__(self, path: Path, analyzer: str) -> None:
        self._path = path
        self._analyzer = analyzer
        self._schema = index_schema(analyzer)
        self._text_analyzer = text_analyzer(analyzer)
        self._opening = threading.Lock()
        self._index: Index | None = None
        self._searcher: Searcher | None = None
        self._writer: IndexWriter | None = None
        self._stale = False
        # Rows are found as numbers, because reading 200 keys costs more than the search itself.
        self._key_of: dict[object, str] = {}

    def open(self) -> Index:
        """Open the folder, or begin a new index in it. Raises Fatal where one was built differently."""
        with self._opening:
            if self._index is None:
                self._index = self._open()
                self._searcher = self._index.searcher()
            return self._index

    def upsert(self, rows: Sequence[Row]) -> None:
        """Write rows over those of the same keys. Raises Poison for those that cannot be written, after the others."""
        refused: dict[str, Exception] = {}
        documents: dict[str, Document] = {}
        for row in rows:
            try:
                documents[row.key] = self._document(row)
            except (ValueError, TypeError) as error:
                refused[row.key] = error
        self._write(documents)
        if refused:
            key, cause = next(iter(refused.items()))
            raise Poison("unstorable_row", f"Tantivy refuses {len(refused)} rows, first '{key}': {cause}") from cause

    def delete(self, keys: Sequence[str]) -> None:
        """Delete rows; absent ones are no error."""
        self._write(dict.fromkeys(keys))

    def refresh(self) -> Searcher:
        """Return what searches every completed write; later searches do as well."""
        index = self.open()
        with self._opening:
            if self._stale or self._searcher is None:
                # Cleared first: a commit that ends while this one is loaded sets it again.
                self._stale = False
                try:
                    index.reload()
                except (ValueError, OSError):
                    self._stale = True
                    raise
                self._searcher = index.searcher()
            return self._searcher

    def search(self, query: str, tenant: str, window: int, condition: Condition | None) -> list[Candidate]:
        """Return the best rows as of the last refresh; of equal scores the lowest keys come first and stay in."""
        self.open()
        searcher = self._searcher
        if searcher is None or window < 1:
            return []
        terms = self._query_terms(searcher, query)
        if not terms:
            return []
        hits = _best_with_ties(searcher, self._query(searcher, terms, tenant, condition), window)
        keys = self._keys(searcher, [address for _, address in hits])
        candidates = [Candidate(key, score) for key, (score, _) in zip(keys, hits, strict=True)]
        return sorted(candidates, key=lambda candidate: (-candidate.score, candidate.key))[:window]

    def missing(self, keys: Sequence[str]) -> set[str]:
        """Return those of the keys that no completed write has left stored."""
        searcher = self.refresh()
        return set(keys).difference(self._keys(searcher, self._find(searcher, keys)))

    def fetch(self, keys: Sequence[str]) -> dict[str, Row]:
        """Return the rows that are there."""
        searcher = self.refresh()
        rows: dict[str, Row] = {}
        for address in self._find(searcher, keys):
            document = searcher.doc(address)
            key = str(document.get_first("key"))
            rows[key] = row_from_json(key, orjson.loads(document["row"][0]))
        return rows

    def pages_of_keys(self) -> Iterator[list[str]]:
        """Yield the keys stored now, page by page, whatever is written meanwhile."""
        searcher = self.refresh()
        for start in range(0, searcher.num_docs, _SCANNED_AT_ONCE):
            page = searcher.search(Query.all_query(), limit=_SCANNED_AT_ONCE, offset=start, count=False)
            yield self._keys(searcher, [address for _, address in page.hits])

    def count(self) -> int:
        """Return the number of rows every completed write has left stored."""
        return int(self.refresh().num_docs)

    def drop(self) -> None:
        """Delete the folder; a later call begins a new index."""
        with self._opening:
            self._writer = self._searcher = self._index = None
            self._key_of.clear()
            try:
                shutil.rmtree(self._path)
            except FileNotFoundError:
                return
            except OSError as error:
                raise Retryable(f"the text index in {self._path} cannot be deleted: {error}") from error

    def close(self) -> None:
        """Let running merges finish, so that segments do not pile up, and give the folder to other processes."""
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.wait_merging_threads()
        with self._opening:
            self._searcher = self._index = None

    def _open(self) -> Index:
        try:
            self._path.mkdir(parents=True, exist_ok=True)
            index = Index(self._schema, path=str(self._path), reuse=True)
            index.config_reader("manual")
        except OSError as error:
            raise Fatal(f"the folder {self._path} cannot hold a text index: {error}") from error
        except ValueError as error:
            raise Fatal(
                f"the text index in {self._path} cannot be opened with analyzer '{self._analyzer}': {error}; if it was "
                "built with another one, rebuild the generation from the log"
            ) from error
        index.register_tokenizer(tokenizer_name(self._analyzer), self._text_analyzer)
        return index

    def _write(self, documents: dict[str, Document] | dict[str, None]) -> None:
        """Replace keys by documents, or by nothing, in one commit."""
        if not documents:
            return
        index = self.open()
        try:
            if self._writer is None:
                self._writer = index.writer(heap_size=_HEAP_BYTES, num_threads=1)
            for key, document in documents.items():
                # Inside one commit, a deletion spares what is added after it.
                self._writer.delete_documents_by_term("key", key)
                if document is not None:
                    self._writer.add_document(document)
            self._writer.commit()
        except (ValueError, OSError) as error:
            # What was not committed must not ride along with the next commit.
            self._writer = None
            busy = "; another process writes to it: stop that one" if "LockBusy" in str(error) else ""
            raise Retryable(f"the text index in {self._path} cannot be written{busy}: {error}") from error
        self._stale = True

    def _document(self, row: Row) -> Document:
        document = Document()
        document.add_text("key", row.key)
        document.add_unsigned("number", _number_of(row.key))
        document.add_text("tenant", row.document.tenant)
        document.add_text("words", " ".join(words_of(row.searchable_text(), self._analyzer)))
        for term in (_EVERY_ROW, *terms_of(row.metadata)):
            document.add_text(TERMS_FIELD, term)
        document.add_bytes("row", orjson.dumps(row_to_json(row)))
        return document

    def _query(self, searcher: Searcher, terms: list[str], tenant: str, condition: Condition | None) -> Query:
        words = Query.boolean_query([(Occur.Should, self._term("words", term)) for term in terms])
        restrictions: list[Query] = []
        # Rows that are deleted but not yet merged away count in both frequencies, so equal ones mean a sole tenant.
        if searcher.doc_freq("tenant", tenant) != searcher.doc_freq(TERMS_FIELD, _EVERY_ROW):
            restrictions.append(self._term("tenant", tenant))
        if condition is not None:
            restrictions.append(filter_query(condition, self._schema))
        if not restrictions:
            # Alone, the words are searched without scoring every row that holds one: in half the time.
            return words
        restricted = [(Occur.Must, Query.const_score_query(restriction, 0.0)) for restriction in restrictions]
        return Query.boolean_query([(Occur.Must, words), *restricted])

    def _query_terms(self, searcher: Searcher, query: str) -> list[str]:
        """Return the query's terms, of too many the rarest; words with a common stem give it more weight."""
        distinct_words = dict.fromkeys(words_of(query, self._analyzer))
        terms = self._text_analyzer.analyze(" ".join(distinct_words))
        if len(terms) <= _TERMS_LIMIT:
            return list(terms)
        frequencies = {term: searcher.doc_freq("words", term) for term in terms}
        known = [term for term in frequencies if frequencies[term]]
        return sorted(known, key=lambda term: (frequencies[term], term))[:_TERMS_LIMIT]

    def _term(self, field: str, value: str) -> Query:
        return Query.term_query(self._schema, field, value, "freq" if field == "words" else "basic")

    def _find(self, searcher: Searcher, keys: Sequence[str]) -> list[DocAddress]:
        if not keys:
            return []
        found = searcher.search(Query.term_set_query(self._schema, "key", list(keys)), limit=len(keys), count=False)
        return [address for _, address in found.hits]

    def _keys(self, searcher: Searcher, addresses: list[DocAddress]) -> list[str]:
        if len(self._key_of) > _REMEMBERED_KEYS:
            self._key_of.clear()
        remembered = self._key_of
        keys: list[str] = []
        for number, address in zip(searcher.fast_field_values("number", addresses), addresses, strict=True):
            key = remembered.get(number)
            if key is None:
                key = remembered[number] = str(searcher.doc(address).get_first("key"))
            keys.append(key)
        return keys


def _best_with_ties(searcher: Searcher, query: Query, window: int) -> list[tuple[float, DocAddress]]:
    """Return the best ``window`` hits, and all others that score as the last of them does."""
    limit = window + _TIES_EXPECTED
    while True:
        hits: list[tuple[float, DocAddress]] = searcher.search(query, limit=limit, count=False).hits
        if len(hits) <= window:
            return hits
        edge = hits[window - 1][0]
        if len(hits) < limit or hits[-1][0] < edge:
            return [hit for hit in hits if hit[0] >= edge]
        limit *= _TIES_FACTOR


def _number_of(key: str) -> int:
    """Name a key by 64 bits; among a million keys two share a number with a chance of one in 30 million."""
    return int.from_bytes(blake2b(key.encode(), digest_size=8).digest(), "big")
