"""What the API needs to say whether this process is ready to serve."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class Health(Protocol):
    """Knows the components behind the API."""

    async def ready(self) -> Mapping[str, str]:
        """Return each component with ``ok`` or the sentence that says what it lacks; never raises for one of them."""
