"""What a text index is created with in OpenSearch: its analyzer, its similarity and its few fields."""

from __future__ import annotations

from typing import Final

from engines.analysis import STANDARD
from engines.opensearch_filters import TERMS_FIELD

#: Set explicitly, because an index without it stops refreshing when nobody has searched it for 30 seconds.
_REFRESH_INTERVAL: Final = "1s"


def index_definition(
    *, analyzer: str, similarity: dict[str, object], meta: dict[str, object], shards: int, replicas: int
) -> dict[str, object]:
    """Return the body that creates the index; ``meta`` is kept in it, so that a later start can compare."""
    return {
        "settings": {
            "number_of_shards": shards,
            "number_of_replicas": replicas,
            "refresh_interval": _REFRESH_INTERVAL,
            "similarity": {"default": similarity},
            "analysis": _analysis(analyzer),
        },
        "mappings": {
            "_meta": meta,
            "dynamic": "strict",
            # Derived from the row; storing them as well would double the index.
            "_source": {"excludes": ["key", "tenant", "words", TERMS_FIELD]},
            "properties": {
                # Ties are broken and scans are ordered by it; the same text as the document's id.
                "key": {"type": "keyword", "index": False},
                "tenant": {"type": "keyword", "doc_values": False},
                "words": {"type": "text", "analyzer": "words", "index_options": "freqs"},
                TERMS_FIELD: {"type": "keyword", "doc_values": False},
                "row": {"type": "object", "enabled": False},
            },
        },
    }


def _analysis(analyzer: str) -> dict[str, object]:
    if analyzer == STANDARD:
        return {"analyzer": {"words": {"type": "custom", "tokenizer": "whitespace", "filter": []}}}
    return {
        "filter": {
            "stop_words": {"type": "stop", "stopwords": f"_{analyzer}_"},
            "stem": {"type": "snowball", "language": analyzer.capitalize()},
        },
        "analyzer": {
            "words": {"type": "custom", "tokenizer": "whitespace", "filter": ["stop_words", "stem"]},
        },
    }
