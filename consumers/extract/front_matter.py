"""Front matter: the YAML block at the top of a Markdown file, as flat metadata."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

import yaml

from schemas.errors import InvalidField
from schemas.metadata import FIELDS_LIMIT, NAME_PATTERN, MetadataValue, parse_value

_BLOCK: Final = re.compile(r"\A---[ \t]*\n(.*?)^(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL | re.MULTILINE)
#: More than this is no front matter, and YAML is slow.
_LIMIT_CHARACTERS: Final = 64 * 1024


class FrontMatter(NamedTuple):
    """What stood at the top, and the rest of the document."""

    title: str
    metadata: dict[str, MetadataValue]
    body: str


def split_front_matter(text: str) -> FrontMatter:
    """Take front matter off the text. What is no mapping in YAML stays in the text, so that nothing is lost."""
    match = _BLOCK.match(text[:_LIMIT_CHARACTERS])
    if match is None:
        return FrontMatter("", {}, text)
    try:
        values = yaml.safe_load(match[1])
    except (yaml.YAMLError, ValueError, RecursionError):
        values = None
    if not isinstance(values, Mapping):
        return FrontMatter("", {}, text)
    title = values.get("title")
    return FrontMatter(
        " ".join(str(title).split()) if isinstance(title, str | int | float) else "",
        flat_metadata({name: value for name, value in values.items() if name != "title"}),
        text[match.end() :],
    )


def flat_metadata(values: Mapping[object, object]) -> dict[str, MetadataValue]:
    """Keep the strings, numbers, booleans and lists of strings whose names metadata allows; drop all else."""
    kept: dict[str, MetadataValue] = {}
    for name, value in values.items():
        if len(kept) == FIELDS_LIMIT:
            break
        if not isinstance(name, str) or not NAME_PATTERN.fullmatch(name):
            continue
        if not isinstance(value, str | int | float | list) or value in ("", []):
            continue
        try:
            kept[name] = parse_value(name, value)
        except InvalidField:
            continue
    return kept
