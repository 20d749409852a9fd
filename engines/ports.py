"""The ports: what Inver asks of every engine. Their docstrings are the contract each adapter is tested against.

Every call that fails raises one of three types: Retryable (connection, time-out, 429, 503, a read-only or full
store: the same call may succeed later), Poison (this row or request can never succeed) or Fatal (credentials, mapping
or model conflict). No adapter retries for longer than its own time-out: waiting is the caller's decision. All methods
may be called concurrently from one event loop; none blocks the loop for more than a few milliseconds.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from schemas.embedding import Vectors
from schemas.filters import Filter
from schemas.generation import CollectionRecord, StoredCollection
from schemas.indexed import Indexed
from schemas.keys import DocumentKey
from schemas.manifest import Manifest, StoredManifest
from schemas.row import Candidate, Row
from schemas.status import DocumentStatus


class RowStore(Protocol):
    """What both indexes have in common. One instance serves one generation of one collection.

    Rows are immutable: writing a key again writes the same bytes, so repeats and reorderings of upserts are harmless.
    """

    async def ensure(self) -> None:
        """Create what is missing; keep what is there.

        Raises Fatal where something of the same name was built with other settings (dimension, analyzer).
        """

    async def make_searchable(self, keys: Sequence[str]) -> None:
        """Return when every acknowledged write to these keys, upsert or delete, shows in every later search.

        Raises Retryable when that cannot be confirmed in time; calling again is safe.
        """

    async def delete(self, keys: Sequence[str]) -> None:
        """Delete rows durably; keys that are absent are no error. Shows in searches after ``make_searchable``."""

    async def missing(self, keys: Sequence[str]) -> set[str]:
        """Return those of the keys that are not stored, judged after every acknowledged write."""

    async def fetch(self, keys: Sequence[str]) -> dict[str, Row]:
        """Return the rows that are there, by key; absent keys are left out."""

    def scan(self) -> AsyncIterator[str]:
        """Yield every stored key once, in no order, while writes go on. Raises Retryable rather than end early."""

    async def count(self) -> int:
        """Return the number of stored rows, judged after every acknowledged write."""

    async def drop(self) -> None:
        """Delete everything this instance stands for; harmless when nothing is there."""

    async def ping(self) -> None:
        """Return quickly when the engine answers. Raises Retryable or Fatal."""

    async def close(self) -> None:
        """Release connections and files. Acknowledged writes are durable without it."""


class VectorIndex(RowStore, Protocol):
    """Dense vectors with cosine similarity; vectors arrive normalised to length 1."""

    async def upsert(self, rows: Sequence[Row], vectors: Vectors) -> None:
        """Store rows with their vectors, an array of shape (rows, dimension); durable when it returns.

        A process that dies in the middle leaves some rows stored and others not; the caller writes all again.
        Raises Poison for a vector of another dimension or one that is not finite; nothing is stored then.
        """

    async def search(
        self, vector: Vectors, *, tenant: str, window: int, condition: Filter | None = None
    ) -> list[Candidate]:
        """Return up to ``window`` nearest rows of the tenant that meet the condition, best first, ties by key.

        ``vector`` has shape (dimension,). Scores are cosine similarities. Fewer than ``window`` come back only where
        fewer match: a narrow filter never loses matches.
        """


class TextIndex(RowStore, Protocol):
    """BM25 over each row's ``searchable_text()``, with the generation's analyzer."""

    async def upsert(self, rows: Sequence[Row]) -> None:
        """Store rows; durable when it returns. Same crash rule as VectorIndex.upsert.

        Raises Poison naming the row's key when one row is refused; the others are stored.
        """

    async def search(self, query: str, *, tenant: str, window: int, condition: Filter | None = None) -> list[Candidate]:
        """Return up to ``window`` best rows of the tenant that hold any of the query's terms, best first, ties by key.

        The query is plain text: no character in it has a meaning of its own. Terms beyond 1,024 are left out, rarest
        kept where the engine can tell. A query without terms finds nothing.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestChange:
    """A manifest to write, and the token of the one it was decided from; None where there was none."""

    document: DocumentKey
    manifest: Manifest
    expected: str | None


class ManifestStore(Protocol):
    """One manifest per document, for one generation: a linearizable register each."""

    async def ensure(self) -> None:
        """Create what is missing."""

    async def read(self, documents: Sequence[DocumentKey]) -> dict[DocumentKey, StoredManifest]:
        """Return the manifests that exist, each at least as new as every acknowledged ``advance``."""

    async def advance(self, changes: Sequence[ManifestChange]) -> list[str | None]:
        """Write each manifest whose document still carries the expected token, and durably so.

        Returns, in order, the new token, or None where another writer was first: read again and decide again. A call
        that raises may have written any of them.
        """

    def scan(self) -> AsyncIterator[tuple[DocumentKey, Manifest]]:
        """Yield every manifest once, in no order, while writes go on."""

    async def drop(self) -> None:
        """Delete all manifests of this generation."""

    async def ping(self) -> None:
        """Return quickly when the store answers. Raises Retryable or Fatal."""

    async def close(self) -> None:
        """Release connections and files."""


class Catalog(Protocol):
    """One record per collection, written by compare-and-set."""

    async def ensure(self) -> None:
        """Create what is missing."""

    async def read(self, name: str) -> StoredCollection | None:
        """Return the newest acknowledged record, or None."""

    async def names(self) -> list[str]:
        """Return the names of all collections, sorted."""

    async def write(self, record: CollectionRecord, expected: str | None) -> str | None:
        """Write durably if the record still carries the expected token (None: only if there is none).

        Returns the new token, or None where another writer was first.
        """

    async def ping(self) -> None:
        """Return quickly when the store answers. Raises Retryable or Fatal."""

    async def close(self) -> None:
        """Release connections and files."""


class Tokenizer(Protocol):
    """Counts in the embedding model's own tokens, without loading the model."""

    #: What the model reads at most, special tokens included; anything beyond would be cut.
    max_tokens: int
    #: How many special tokens the model adds to every text.
    special_tokens: int

    def offsets(self, text: str) -> list[tuple[int, int]]:
        """Return each token's character span in the text, in order, without special tokens."""

    def count(self, text: str) -> int:
        """Return the number of tokens, without special tokens."""


class Embedder(Protocol):
    """Texts to vectors of length 1, float32."""

    #: Names model, weights, pooling, normalisation and prompts; vectors of other fingerprints are not comparable.
    fingerprint: str
    dimension: int

    async def embed_documents(self, texts: Sequence[str]) -> Vectors:
        """Return an array of shape (texts, dimension). Never cuts silently: raises Poison for a text over the limit."""

    async def embed_query(self, text: str) -> Vectors:
        """Return an array of shape (dimension,). A query over the model's limit is cut, as people expect of queries.

        Goes ahead of document batches that are still waiting.
        """

    async def close(self) -> None:
        """Release threads and memory."""


class BlobStore(Protocol):
    """Content too large for the log, named by its SHA-256."""

    async def put(self, content: bytes) -> str:
        """Store durably and return ``blob:<sha256>``; storing the same content again is a no-op."""

    async def get(self, uri: str, *, limit_bytes: int) -> bytes:
        """Return the content.

        Raises Poison for a URI of another form, a blob that is absent, larger than the limit, or not what its name
        says; Retryable where the store does not answer.
        """

    async def close(self) -> None:
        """Release connections."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """The fact that an event stands in the log."""

    document: DocumentKey
    version: int
    appended_at_ms: int


class StatusStore(Protocol):
    """What is known of each document on its way, folded from the log; rebuilt by reading the log again.

    Facts may arrive repeated and in any order; the newest version wins.
    """

    async def record(self, collection: str, facts: Sequence[Received | Indexed]) -> None:
        """Fold facts in; durable when it returns."""

    async def read(self, collection: str, documents: Sequence[DocumentKey]) -> dict[DocumentKey, DocumentStatus]:
        """Return what is known; documents never heard of are left out."""

    async def counts(self, collection: str) -> Mapping[str, int]:
        """Return the number of documents by state."""

    async def close(self) -> None:
        """Release files."""
