"""Identity and order: the document key, the row key, and the rules a version follows."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, unquote

from schemas.errors import DecodeError, InvalidField

#: OpenSearch refuses ids above 512 bytes; version and ordinal need the rest.
DOCUMENT_KEY_LIMIT_BYTES: Final = 400
#: Versions taken from the log are ``epoch << 48 | offset``.
OFFSET_BITS: Final = 48
VERSION_LIMIT: Final = 2**63
_UNRESERVED: Final = re.compile(r"[A-Za-z0-9_.~-]*").fullmatch


@dataclass(frozen=True, slots=True, order=True)
class DocumentKey:
    """A document's identity inside its collection. Written ``tenant/id``, each part percent-encoded."""

    tenant: str
    id: str

    def encoded(self) -> str:
        """Return the key that travels in Kafka and prefixes every row key."""
        return f"{_encoded(self.tenant)}/{_encoded(self.id)}"

    @classmethod
    def decode(cls, encoded: str) -> DocumentKey:
        """Read a key back. Raises DecodeError when it is not ``tenant/id`` in this encoding."""
        tenant, separator, identifier = encoded.partition("/")
        key = cls(unquote(tenant), unquote(identifier))
        if not separator or key.encoded() != encoded:
            raise DecodeError(
                f"record key {encoded!r} is not percent-encoded 'tenant/id': encode each part on its own",
                reason="invalid_key",
            )
        return key


def _encoded(part: str) -> str:
    # Asked for several times per row; most ids need no encoding, and finding that out is five times as fast.
    return part if _UNRESERVED(part) else quote(part, safe="")


def validate_key(key: DocumentKey) -> None:
    """Refuse identities that no engine could hold. Raises InvalidField."""
    for field, value in (("tenant", key.tenant), ("id", key.id)):
        if not value:
            raise InvalidField(field, value, "it must not be empty")
        try:
            value.encode()
        except UnicodeEncodeError:
            raise InvalidField(field, value, "it must be valid Unicode; remove lone surrogates") from None
        if any(character < " " or character == "\x7f" for character in value):
            raise InvalidField(field, value, "it must not contain control characters")
    length = len(key.encoded())
    if length > DOCUMENT_KEY_LIMIT_BYTES:
        raise InvalidField(
            "id",
            key.id,
            f"tenant and id together, percent-encoded, may have {DOCUMENT_KEY_LIMIT_BYTES} bytes and have {length}; "
            "OpenSearch refuses ids above 512 bytes; use a shorter id, such as a hash",
        )


def row_key(document: DocumentKey, version: int, ordinal: int) -> str:
    """Name one immutable row: ``tenant/id@version#ordinal``."""
    return f"{document.encoded()}@{version}#{ordinal}"


def row_keys(document: DocumentKey, version: int, row_count: int) -> list[str]:
    """Name every row of one document version, in order."""
    prefix = f"{document.encoded()}@{version}#"
    return [f"{prefix}{ordinal}" for ordinal in range(row_count)]


@dataclass(frozen=True, slots=True)
class RowKey:
    """A row key taken apart."""

    document: DocumentKey
    version: int
    ordinal: int


def parse_row_key(key: str) -> RowKey:
    """Take a row key apart. Raises DecodeError when it is not one of ours."""
    document, at, rest = key.rpartition("@")
    version, hash_sign, ordinal = rest.partition("#")
    tenant, slash, identifier = document.partition("/")
    if not (at and hash_sign and slash and version.isdecimal() and ordinal.isdecimal()):
        raise DecodeError(f"row key {key!r} is not 'tenant/id@version#ordinal'", reason="invalid_row_key")
    # Row keys come from our own engines by the hundred per query, so they are not encoded again to be compared.
    return RowKey(DocumentKey(unquote(tenant), unquote(identifier)), int(version), int(ordinal))


def log_version(epoch: int, offset: int) -> int:
    """Compute the version a record's place in the log gives it; replays compute the same number."""
    if not 0 <= epoch < 2 ** (63 - OFFSET_BITS):
        raise InvalidField("epoch", epoch, f"it must be between 0 and {2 ** (63 - OFFSET_BITS) - 1}")
    if not 0 <= offset < 2**OFFSET_BITS:
        raise InvalidField("offset", offset, f"it must be between 0 and {2**OFFSET_BITS - 1}")
    return epoch << OFFSET_BITS | offset
