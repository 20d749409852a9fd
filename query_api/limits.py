"""How much one request may carry; checked while a body is being read, never after."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiLimits:
    """Limits of size. What a search may ask for is part of the contract and stands in ``search_request``."""

    #: A search, a list of ids.
    question_bytes: int = 1024**2
    #: One document, alone or as one line of a bulk request.
    document_bytes: int = 32 * 1024**2
    bulk_bytes: int = 64 * 1024**2
    #: Results are held until the end of a bulk request, so that their number must be bounded too.
    bulk_lines: int = 100_000
