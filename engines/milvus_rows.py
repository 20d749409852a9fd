"""How a row lies in a Milvus collection: the fields, their limits, and the way there and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import orjson
from numpy.typing import NDArray
from pymilvus import AsyncMilvusClient, CollectionSchema, DataType

from engines.milvus_filters import decode_metadata, encode_metadata
from schemas.errors import Poison
from schemas.keys import parse_row_key
from schemas.row import Row

KEY: Final = "key"
VECTOR: Final = "vector"
#: What ``row_of`` needs.
ROW_FIELDS: Final = (KEY, "text", "attributes", "metadata")
_FIELDS: Final = frozenset({*ROW_FIELDS, "tenant", VECTOR})
_KEY_LIMIT_BYTES: Final = 600
_TENANT_LIMIT_BYTES: Final = 512
#: What Milvus takes in one string and in one JSON value.
_TEXT_LIMIT_BYTES: Final = 65_535
_JSON_LIMIT_BYTES: Final = 65_536


def collection_schema(dimension: int) -> CollectionSchema:
    """Describe the fields.

    The tenant is an ordinary field, not the partition key: Milvus 2.3.5 puts upserted rows into other partitions than
    the ones a search by tenant looks into, and finds nothing.
    """
    schema = AsyncMilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
    schema.add_field(KEY, DataType.VARCHAR, is_primary=True, max_length=_KEY_LIMIT_BYTES)
    schema.add_field("tenant", DataType.VARCHAR, max_length=_TENANT_LIMIT_BYTES)
    schema.add_field("text", DataType.VARCHAR, max_length=_TEXT_LIMIT_BYTES)
    schema.add_field("attributes", DataType.JSON)
    schema.add_field("metadata", DataType.JSON)
    schema.add_field(VECTOR, DataType.FLOAT_VECTOR, dim=dimension)
    return schema


def difference(description: Mapping[str, Any], dimension: int) -> str:
    """Say how an existing collection differs from what is needed; empty where it does not."""
    fields = {field["name"]: field for field in description["fields"]}
    if fields.keys() != _FIELDS:
        return f"has the fields {sorted(fields)} where {sorted(_FIELDS)} are needed"
    found = int(fields[VECTOR]["params"]["dim"])
    return f"has vectors of dimension {found} and the model gives {dimension}" if found != dimension else ""


def check_sizes(rows: Sequence[Row]) -> None:
    """Refuse rows that are larger than Milvus takes. Raises Poison."""
    for row in rows:
        sizes = (
            ("text", len(row.text.encode()), _TEXT_LIMIT_BYTES),
            ("title, headings and source", len(orjson.dumps(_attributes(row))), _JSON_LIMIT_BYTES),
            ("metadata", len(orjson.dumps(encode_metadata(row.metadata))), _JSON_LIMIT_BYTES),
        )
        for what, size, limit in sizes:
            if size > limit:
                raise Poison(
                    "row_too_large", f"row {row.key}: {what} has {size} bytes and Milvus takes {limit}; make it shorter"
                )


def entities_of(rows: Sequence[Row], vectors: NDArray[np.float32]) -> list[dict[str, object]]:
    """Write rows for Milvus."""
    return [
        {
            KEY: row.key,
            "tenant": row.document.tenant,
            "text": row.text,
            "attributes": _attributes(row),
            "metadata": encode_metadata(row.metadata),
            VECTOR: vector,
        }
        for row, vector in zip(rows, vectors, strict=True)
    ]


def _attributes(row: Row) -> dict[str, object]:
    return {
        "title": row.title,
        "prefix": row.prefix,
        "start": row.start,
        "end": row.end,
        "heading_path": list(row.heading_path),
        "page": row.page,
        "source": row.source,
    }


def row_of(entity: Mapping[str, Any]) -> Row:
    """Read a row back."""
    parsed = parse_row_key(entity[KEY])
    attributes = entity["attributes"]
    return Row(
        document=parsed.document,
        version=parsed.version,
        ordinal=parsed.ordinal,
        title=attributes["title"],
        text=entity["text"],
        prefix=attributes["prefix"],
        start=attributes["start"],
        end=attributes["end"],
        heading_path=tuple(attributes["heading_path"]),
        page=attributes["page"],
        metadata=decode_metadata(entity["metadata"]),
        source=attributes["source"],
    )
