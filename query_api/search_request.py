"""A search as it is asked for: its JSON, its address, and the SearchRequest that either becomes."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import orjson
from pydantic import BeforeValidator, ConfigDict, Field, WithJsonSchema

from query_api.validation import StrictModel
from schemas.document import DEFAULT_TENANT
from schemas.errors import InvalidField
from schemas.filters import parse_filter
from schemas.keys import DocumentKey, validate_key
from schemas.search import DENSE, LEG_NAMES, RRF_K, SPARSE, WINDOW, LegRequest, SearchRequest

SIZE_LIMIT: Final = 200
WINDOW_LIMIT: Final = 1_000
QUERY_LIMIT_CHARACTERS: Final = 10_000
DEADLINE_LIMIT_MS: Final = 60_000
HYBRID: Final = "hybrid"

LegName = Literal["dense", "sparse"]
Size = Annotated[int, Field(ge=1, le=SIZE_LIMIT)]
Query = Annotated[str, Field(max_length=QUERY_LIMIT_CHARACTERS)]
FilterJson = Annotated[Any, WithJsonSchema({"$ref": "#/components/schemas/Filter"})]


class LegBody(StrictModel):
    """How one leg takes part: how many candidates it gives, what they weigh, whether the answer depends on it."""

    window: int = Field(default=WINDOW, ge=1, le=WINDOW_LIMIT)
    weight: float = Field(default=1.0, ge=0, le=1_000)
    required: bool = False


class FusionBody(StrictModel):
    """Reciprocal rank fusion: a row at rank r of a leg adds weight / (k + r)."""

    k: int = Field(default=RRF_K, ge=1, le=10_000)


def _legs_by_name(raw: object) -> object:
    if isinstance(raw, list) and all(isinstance(name, str) for name in raw):
        return {name: LegBody() for name in raw}
    return raw


def _both_legs() -> dict[LegName, LegBody]:
    return {DENSE: LegBody(), SPARSE: LegBody()}


Legs = Annotated[
    dict[LegName, LegBody],
    BeforeValidator(_legs_by_name, json_schema_input_type=dict[LegName, LegBody] | list[LegName]),
    Field(min_length=1),
]


class SearchBody(StrictModel):
    """One question. ``legs`` names the engines to ask, both by default."""

    query: Query
    tenant: str = DEFAULT_TENANT
    size: Size = 10
    legs: Legs = Field(default_factory=_both_legs)
    fusion: FusionBody = FusionBody()
    filter: FilterJson | None = None
    collapse: bool = True
    explain: bool = False
    deadline_ms: int = Field(default=5_000, ge=1, le=DEADLINE_LIMIT_MS)


class SearchParameters(StrictModel):
    """One question in an address."""

    # An address holds text only, so that here a number does come as a string.
    model_config = ConfigDict(strict=False)

    q: Query
    k: Size = 10
    leg: Literal["hybrid", "dense", "sparse"] = HYBRID
    tenant: str = DEFAULT_TENANT
    filter: str | None = Field(default=None, description="a filter's JSON")


def request_of_body(collection: str, body: SearchBody) -> SearchRequest:
    """Make the request. Raises InvalidField."""
    legs: dict[str, LegRequest] = {
        name: LegRequest(window=leg.window, weight=leg.weight, required=leg.required) for name, leg in body.legs.items()
    }
    return SearchRequest(
        collection=collection,
        query=_query("query", body.query),
        tenant=_tenant(body.tenant),
        size=body.size,
        legs=legs,
        k=body.fusion.k,
        filter=None if body.filter is None else parse_filter(body.filter),
        collapse=body.collapse,
        explain=body.explain,
        deadline_ms=body.deadline_ms,
    )


def request_of_parameters(collection: str, parameters: SearchParameters) -> SearchRequest:
    """Make the request. Raises InvalidField."""
    names = LEG_NAMES if parameters.leg == HYBRID else (parameters.leg,)
    return SearchRequest(
        collection=collection,
        query=_query("q", parameters.q),
        tenant=_tenant(parameters.tenant),
        size=parameters.k,
        legs={name: LegRequest() for name in names},
        filter=None if parameters.filter is None else parse_filter(_filter_json(parameters.filter)),
    )


def _query(field: str, text: str) -> str:
    if not text or text.isspace():
        raise InvalidField(field, text, "it holds no visible character; ask something")
    return text


def _tenant(tenant: str) -> str:
    validate_key(DocumentKey(tenant, "any"))
    return tenant


def _filter_json(text: str) -> object:
    try:
        decoded: object = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise InvalidField("filter", text, f"it must be JSON ({error})") from None
    return decoded
