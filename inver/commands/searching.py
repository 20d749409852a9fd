"""The search command."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from inver.commands.options import (
    DEFAULT_COLLECTION,
    DEFAULT_TENANT,
    CollectionOption,
    DataDir,
    JsonOption,
    ProfileOption,
    TenantOption,
    note,
    print_json,
    show_text,
)

_LEGS: Final = {"hybrid": ["dense", "sparse"], "dense": ["dense"], "sparse": ["sparse"]}
_CONDITION: Final = re.compile(r"([A-Za-z_][A-Za-z0-9_-]*)\s*(!=|>=|<=|=|>|<)\s*(.*)", re.DOTALL)
_BOUNDS: Final = {">": "gt", ">=": "gte", "<": "lt", "<=": "lte"}
_SHOWN_CHARACTERS: Final = 300


def search(
    query: Annotated[str, typer.Argument(help="What to look for, in plain words.")],
    size: Annotated[int, typer.Option("-k", "--size", help="How many hits.")] = 10,
    leg: Annotated[str, typer.Option("--leg", help="hybrid, dense or sparse.")] = "hybrid",
    filters: Annotated[
        list[str] | None,
        typer.Option("--filter", help="name=value, name>=number, … or the JSON form; several must all hold."),
    ] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Show each leg's score and what it added.")] = False,
    collection: CollectionOption = DEFAULT_COLLECTION,
    tenant: TenantOption = DEFAULT_TENANT,
    data_dir: DataDir = None,
    profile: ProfileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Search both engines and show the fused hits, with each leg's rank."""
    if leg not in _LEGS:
        raise typer.BadParameter(f"{leg!r} is not one of hybrid, dense, sparse", param_hint="--leg")
    body: dict[str, Any] = {
        "query": query,
        "tenant": tenant,
        "size": size,
        "legs": _LEGS[leg],
        "explain": explain,
    }
    conditions = [parse_condition(text) for text in filters or []]
    if conditions:
        body["filter"] = conditions[0] if len(conditions) == 1 else {"and": conditions}
    import asyncio

    answer = asyncio.run(_search(collection, body, data_dir=data_dir, profile=profile))
    if as_json:
        print_json(answer)
    else:
        print_hits(answer, explain=explain)


async def _search(
    collection: str, body: dict[str, Any], *, data_dir: Path | None, profile: str | None
) -> dict[str, Any]:
    from inver.client import collection_path, open_client, post_json

    async with open_client(data_dir=data_dir, profile=profile, writes=False) as client:
        return await post_json(client, collection_path(collection, "search"), body)


def parse_condition(text: str) -> dict[str, Any]:
    """Read ``name=value`` and its kin, or a filter's JSON form; values that read as JSON scalars are those."""
    if text.lstrip().startswith("{"):
        try:
            return dict(json.loads(text, parse_constant=_refuse_constant))
        except (ValueError, TypeError, RecursionError) as error:
            raise typer.BadParameter(f"{text!r} is not JSON: {error}", param_hint="--filter") from None
    match = _CONDITION.fullmatch(text.strip())
    if match is None:
        raise typer.BadParameter(
            f"{text!r} is neither JSON nor name=value, name!=value, name>=number", param_hint="--filter"
        )
    field, operator, raw = match.groups()
    value = _value(raw)
    if operator == "=":
        return {"field": field, "eq": value}
    if operator == "!=":
        return {"not": {"field": field, "eq": value}}
    return {"field": field, _BOUNDS[operator]: value}


def _value(raw: str) -> Any:
    try:
        value = json.loads(raw, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return raw
    return value if isinstance(value, str | int | float | bool) else raw


def _refuse_constant(name: str) -> Any:
    """Stop at NaN and its kin, which Python reads and JSON does not have."""
    raise ValueError(f"{name} is no JSON number")


def print_hits(answer: dict[str, Any], *, explain: bool) -> None:
    """Print hits for people: ranks first, then where it is from, then the text."""
    for place, hit in enumerate(answer["hits"], start=1):
        ranks = "  ".join(f"{name} {_rank(hit['legs'].get(name), explain=explain)}" for name in ("dense", "sparse"))
        heading = " › ".join(hit.get("heading_path") or [])
        show_text(f"{place:>3}. {hit['id']}  score {hit['score']:.4f}  {ranks}\n")
        title = " · ".join(part for part in (hit.get("title") or "", heading) if part)
        if title:
            show_text(f"     {title}\n")
        text = " ".join(hit["text"].split())
        ellipsis = "…" if len(text) > _SHOWN_CHARACTERS else ""
        show_text(f"     {text[:_SHOWN_CHARACTERS]}{ellipsis}\n")
    if not answer["hits"]:
        note("no hits")
    for name in answer.get("degraded", []):
        leg = answer.get("legs", {}).get(name, {})
        note(f"degraded: the {name} leg did not answer ({leg.get('state')}): {leg.get('detail', '')}")
    if answer.get("visibility") == "unverified":
        note("unverified: the manifests could not be read; hits may be outdated")


def _rank(leg: dict[str, Any] | None, *, explain: bool) -> str:
    if leg is None:
        return "–"
    if not explain:
        return f"#{leg['rank']}"
    return f"#{leg['rank']} ({leg.get('score', 0.0):.3f} → +{leg.get('contribution', 0.0):.5f})"
