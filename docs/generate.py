#!/usr/bin/env python3
"""Writes the reference pages that are made from code: run ``python docs/generate.py``; ``--check`` only compares."""

from __future__ import annotations

import argparse
import enum
import io
import json
import sys
import tokenize
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from types import UnionType
from typing import Any, Final, Literal, Union, get_args, get_origin

import annotated_types
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from inver import settings
from query_api.app import openapi_document
from schemas.document_schema import document_event_schema

REFERENCE: Final = Path(__file__).resolve().parent / "reference"
_BOUNDS: Final = ((annotated_types.Ge, "ge", "≥"), (annotated_types.Le, "le", "≤"))
#: Defaults that depend on the machine, as people write them.
_COMPUTED_DEFAULTS: Final = {"cache_directory": "`$XDG_CACHE_HOME/inver`, else `~/.cache/inver`"}
#: What is said of settings that carry no comment in the code. One that carries a comment must not stand here.
_WORDS: Final = {
    "profile": "Which engines stand behind the ports.",
    "data_directory": "Where everything that must survive lies.",
    "cache_directory": "What may be made again: converted models.",
    "host": "Where the API listens; loopback only, as there is no authentication.",
    "port": "The API's port; 0 takes a free one.",
    "addresses.kafka": "`host:port`, several with commas.",
    "addresses.opensearch": "A URL, such as `http://127.0.0.1:9200`.",
    "addresses.milvus": "A URL, such as `http://127.0.0.1:19530`.",
    "embedding.model": "A name of sentence-transformers; `hash` is a stand-in for tests that needs no model.",
    "embedding.backend": "What runs the model. Both give the same vectors; a model OpenVINO cannot take runs on torch.",
    "collections.create": "Whether the first document makes its collection.",
    "collections.partitions": "Of each topic; it bounds how many processes share a stage.",
    "collections.version_source": "Whether versions are the log's own or come with each event.",
    "collections.analyzer": "`standard`, or a language of `engines/analysis.py`.",
    "collections.chunking.strategy": "See [chunking](../architecture/chunking.md).",
    "collections.chunking.max_tokens": "What a chunk may have, prefix and special tokens included.",
    "collections.chunking.overlap_tokens": "At most half of `max_tokens`.",
    "collections.hnsw_m": "Milvus only: links per row.",
    "collections.hnsw_ef_construction": "Milvus only: how widely a new row looks for neighbours.",
    "collections.hnsw_ef_search": "Milvus only: how widely a search looks; at least the window in any case.",
}
_SETTINGS_HEAD: Final = """\
# Settings

Generated from `inver/settings.py` by `make docs`.

Settings are read once, when a process starts. A flag wins over the environment, the environment over the file, the file
over the default. The file is `inver.toml` in the working directory, or the one that `INVER_CONFIG` names. An unknown
name in the file is refused, and so are contradictions: the message names the setting, its value and the rule. No
setting is read from a `.env` file.

```toml
profile = "servers"
data_directory = "/srv/inver"

[collections.chunking]
max_tokens = 256
overlap_tokens = 32
```

`INVER_COLLECTIONS__CHUNKING__MAX_TOKENS=256` says the same as the line in the file: `INVER_`, then the name in
capitals, with two underscores for each dot. Everything below `collections` is what *new* collections are made with;
existing ones keep what they have.
"""


def document_event_page() -> str:
    """Return the JSON Schema of document events."""
    return _json(document_event_schema())


def openapi_page() -> str:
    """Return the description of the HTTP API."""
    return _json(openapi_document())


def settings_page() -> str:
    """Return the page of settings."""
    comments = _comments(Path(settings.__file__).read_text(encoding="utf-8"))
    parts = [_SETTINGS_HEAD]
    for prefix, section in _sections(settings.Settings):
        parts.append(f"## {f'`{prefix}`' if prefix else 'General'}\n\n{_first_line(section)}\n")
        rows = ["| setting | values | default | what |", "| --- | --- | --- | --- |"]
        for name, field in section.model_fields.items():
            if not _is_section(field):
                rows.append(_row(f"{prefix}.{name}" if prefix else name, field, comments.get((section.__name__, name))))
        parts.append("\n".join(rows) + "\n")
    return "\n".join(parts)


PAGES: Final[Mapping[str, Callable[[], str]]] = {
    "document-event.schema.json": document_event_page,
    "openapi.json": openapi_page,
    "settings.md": settings_page,
}


def main(arguments: list[str] | None = None) -> int:
    """Write the pages, or say which ones differ and return 1."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when a page differs")
    check = parser.parse_args(arguments).check
    differing = []
    for name, page in PAGES.items():
        file = REFERENCE / name
        if not file.is_file() or file.read_text(encoding="utf-8") != page():
            differing.append(name)
            if not check:
                file.write_text(page(), encoding="utf-8")
    for name in differing:
        sys.stdout.write(f"docs/reference/{name} {'differs: run `make docs`' if check else 'written'}\n")
    return 1 if check and differing else 0


def _json(document: Any) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _comments(source: str) -> dict[tuple[str, str], str]:
    """Return what ``#:`` comments say of the attribute below them, by class and attribute."""
    found: dict[tuple[str, str], str] = {}
    owner, said = "", list[str]()
    line_start = True
    tokens = list(tokenize.generate_tokens(io.StringIO(source).readline))
    for token, following in pairwise(tokens):
        match token.type, token.string:
            case tokenize.COMMENT, text if text.startswith("#:"):
                said.append(text[2:].strip())
            case tokenize.NAME, "class" if line_start:
                owner = following.string
            case tokenize.NAME, name if line_start:
                if said and following.string == ":":
                    found[owner, name] = " ".join(said)
                said = []
            case _:
                pass
        line_start = token.type in {tokenize.NEWLINE, tokenize.NL, tokenize.INDENT, tokenize.DEDENT, tokenize.COMMENT}
    return found


def _sections(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, type[BaseModel]]]:
    yield prefix, model
    for name, field in model.model_fields.items():
        if _is_section(field):
            yield from _sections(field.annotation, f"{prefix}.{name}" if prefix else name)  # type: ignore[arg-type]


def _is_section(field: FieldInfo) -> bool:
    return isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)


def _row(name: str, field: FieldInfo, comment: str | None) -> str:
    if (comment is None) is (name not in _WORDS):
        raise SystemExit(f"setting {name} needs one description: a `#:` comment in inver/settings.py, or one in _WORDS")
    words = _WORDS[name] if comment is None else comment
    return f"| `{name}` | {_values(field)} | {_default(name, field)} | {words} |"


def _values(field: FieldInfo) -> str:
    bounds = [
        f"{sign} {getattr(bound, attribute):,}"
        for bound in field.metadata
        for kind, attribute, sign in _BOUNDS
        if isinstance(bound, kind)
    ]
    return ", ".join([_type(field.annotation), *bounds])


def _type(annotation: Any) -> str:
    if get_origin(annotation) is Literal:
        return " · ".join(f"`{value}`" for value in get_args(annotation))
    if get_origin(annotation) in {UnionType, Union}:
        return _type(next(inner for inner in get_args(annotation) if inner is not type(None)))
    if issubclass(annotation, enum.Enum):
        return " · ".join(f"`{member.value}`" for member in annotation)
    return {bool: "`true` · `false`", int: "integer", str: "text", Path: "path"}[annotation]


def _default(name: str, field: FieldInfo) -> str:
    if name in _COMPUTED_DEFAULTS:
        return _COMPUTED_DEFAULTS[name]
    default = field.default
    if default is None:
        return "–"
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    return f"`{default.value if isinstance(default, enum.Enum) else default}`"


def _first_line(model: type[BaseModel]) -> str:
    return (model.__doc__ or "").strip().partition("\n")[0].replace("``", "`")


if __name__ == "__main__":
    sys.exit(main())
