"""The shapes of what `--json` prints, as JSON Schema."""

from typing import Any, Final

FAILURE: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {"id": {"type": "string"}, "reason": {"type": "string", "minLength": 1}},
    "required": ["id", "reason"],
    "additionalProperties": False,
}
INGEST_SHAPE: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "accepted": {"type": "integer"},
        "searchable": {"type": "integer"},
        "failed": {"type": "array", "items": FAILURE},
    },
    "required": ["accepted", "searchable", "failed"],
    "additionalProperties": False,
}
RANK: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {"rank": {"type": "integer", "minimum": 1}},
    "required": ["rank"],
}
LEGS: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {"dense": RANK, "sparse": RANK},
    "additionalProperties": False,
}
HIT: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "id": {"type": "string"},
        "score": {"type": "number", "exclusiveMinimum": 0},
        "text": {"type": "string"},
        "legs": LEGS | {"minProperties": 1},
    },
    "required": ["id", "score", "text", "legs"],
}
SEARCH_SHAPE: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "hits": {"type": "array", "items": HIT},
        "degraded": {"type": "array", "items": {"enum": ["dense", "sparse"]}},
    },
    "required": ["hits", "degraded"],
}
STATUS_SHAPE: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "id": {"type": "string"},
        "version": {"type": ["integer", "null"]},
        "state": {"enum": ["searchable", "pending", "failed", "deleted", "unknown"]},
    },
    "required": ["id", "version", "state"],
}
_FIGURE: Final[dict[str, Any]] = {"type": "number", "minimum": 0, "maximum": 1}
_FIGURES: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {"ndcg@10": _FIGURE, "recall@100": _FIGURE, "mrr@10": _FIGURE},
    "required": ["ndcg@10", "recall@100", "mrr@10"],
    "additionalProperties": False,
}
EVALUATE_SHAPE: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "collection": {"type": "string"},
        "profile": {"enum": ["embedded", "servers", "cluster"]},
        "documents": {"type": "integer"},
        "chunks": {"type": "integer"},
        "queries": {"type": "integer"},
        "failed": {"type": "array", "items": FAILURE},
        "legs": {
            "type": "object",
            "properties": {"dense": _FIGURES, "sparse": _FIGURES, "hybrid": _FIGURES},
            "required": ["dense", "sparse", "hybrid"],
            "additionalProperties": False,
        },
    },
    "required": ["collection", "profile", "documents", "chunks", "legs"],
    "additionalProperties": False,
}
