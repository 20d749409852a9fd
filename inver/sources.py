"""Where documents come from on a laptop: files, folders, JSON lines and standard input, as document events."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from consumers.extract.registry import media_type_of
from schemas.document import DEFAULT_TENANT
from schemas.errors import InvalidField, Poison

_JSON_LINES: Final = (".jsonl", ".ndjson")
#: A file above this is refused before it is read into memory.
FILE_LIMIT_BYTES: Final = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceDocument:
    """One document as found: an event in its JSON form, or the reason why it is none."""

    id: str
    event: dict[str, object] | None = None
    failure: Poison | None = None


def read_paths(paths: Iterable[Path], *, tenant: str) -> Iterator[SourceDocument]:
    """Read files and folders. A folder's files are named ``folder/path/in/it``; hidden ones are left alone."""
    for path in paths:
        if path.is_dir():
            for file in files_of(path):
                yield from read_file(file, identifier_of(file, path), tenant=tenant)
        elif path.is_file():
            yield from read_file(path, path.name, tenant=tenant)
        else:
            yield SourceDocument(
                id=str(path), failure=Poison("no_such_file", f"there is no file or folder {str(path)!r}")
            )


def files_of(folder: Path) -> list[Path]:
    """List a folder's files, sorted, without hidden ones; links out of the folder are not followed."""
    return sorted(
        file
        for file in folder.rglob("*")
        if file.is_file() and not file.is_symlink() and not _is_hidden(file.relative_to(folder))
    )


def identifier_of(file: Path, folder: Path) -> str:
    """Name a file below a folder so that two folders ingested into one collection do not meet."""
    return f"{folder.resolve().name}/{file.relative_to(folder).as_posix()}"


def read_file(file: Path, identifier: str, *, tenant: str) -> Iterator[SourceDocument]:
    """Read one file: one document, or one per line of JSON lines."""
    try:
        if file.suffix.lower() in _JSON_LINES:
            with file.open("rb") as lines:
                yield from read_json_lines(lines, name=file.name, tenant=tenant)
            return
        media_type = media_type_of(file.name)
        size = file.stat().st_size
        if size > FILE_LIMIT_BYTES:
            raise InvalidField("file", f"{size} bytes", f"a file may have {FILE_LIMIT_BYTES} bytes; split it")
        yield SourceDocument(
            id=identifier,
            event=file_event(file.read_bytes(), identifier, media_type=media_type, source=str(file), tenant=tenant),
        )
    except Poison as poison:
        yield SourceDocument(id=identifier, failure=poison)
    except OSError as error:
        yield SourceDocument(id=identifier, failure=Poison("unreadable_file", f"{file}: {error.strerror}"))


def file_event(content: bytes, identifier: str, *, media_type: str, source: str, tenant: str) -> dict[str, object]:
    """Make an upsert of a file's bytes. Raises Poison for an empty file."""
    if not content.strip():
        raise Poison("empty_file", f"{source} holds no text: fill it, or delete the document")
    from base64 import b64encode

    return {
        "schema": 1,
        "op": "upsert",
        "tenant": tenant,
        "id": identifier,
        "content": b64encode(content).decode(),
        "media_type": media_type,
        "source": source,
    }


def read_json_lines(lines: IO[bytes], *, name: str, tenant: str) -> Iterator[SourceDocument]:
    """Read document events, or a BEIR corpus (``_id``, ``title``, ``text``, ``metadata``), one object per line."""
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        place = f"{name}:{number}"
        try:
            raw = json.loads(line)
        except (ValueError, RecursionError) as error:
            yield SourceDocument(id=place, failure=Poison("invalid_json", f"{place} is not JSON in UTF-8: {error}"))
            continue
        if not isinstance(raw, dict):
            yield SourceDocument(id=place, failure=Poison("invalid_json", f"{place} must be a JSON object"))
            continue
        yield _line_document(raw, place, tenant)


def _line_document(raw: dict[str, object], place: str, tenant: str) -> SourceDocument:
    if "_id" in raw:
        raw = {
            "id": raw["_id"],
            "title": raw.get("title") or None,
            "text": raw.get("text"),
            "metadata": raw.get("metadata") or None,
        }
    event = {"schema": 1, "op": "upsert", **raw}
    if tenant != DEFAULT_TENANT or "tenant" not in raw:
        event["tenant"] = tenant
    identifier = event.get("id")
    return SourceDocument(id=identifier if isinstance(identifier, str) and identifier else place, event=event)


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)
