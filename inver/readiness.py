"""Readiness: whether every engine answers and no stage waits for one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Final

from inver.observer import PipelineObserver
from inver.wiring import Wiring
from schemas.errors import InverError

_PING_SECONDS: Final = 5.0


class Readiness:
    """Asks the log and the catalog; a stage that waits names what it waits for."""

    def __init__(self, wiring: Wiring, observer: PipelineObserver) -> None:
        self._wiring = wiring
        self._observer = observer

    async def ready(self) -> dict[str, str]:
        """Return each component with ``ok`` or a sentence."""
        log, catalog = await asyncio.gather(_answer(self._ping_log()), _answer(self._ping_catalog()))
        waiting = {f"stage {stage}": reason for stage, reason in self._observer.waiting().items()}
        return {"log": log, "catalog": catalog, **waiting}

    async def _ping_log(self) -> None:
        await (await self._wiring.log()).ping()

    async def _ping_catalog(self) -> None:
        await (await self._wiring.catalog()).ping()


async def _answer(question: Awaitable[None]) -> str:
    try:
        await asyncio.wait_for(question, _PING_SECONDS)
    except TimeoutError:
        return f"no answer within {_PING_SECONDS:.0f} s"
    except InverError as error:
        return str(error)
    return "ok"
