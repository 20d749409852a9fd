"""Plain text: what is written is what is shown."""

from __future__ import annotations

from consumers.extract.decoding import decode_text
from consumers.extract.extracted import Extracted


def extract_text(content: bytes) -> Extracted:
    """Decode plain text. Raises Poison."""
    return Extracted(text=decode_text(content))
