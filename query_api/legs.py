"""Asking both engines at once, under one deadline; a leg that does not answer is left out and named."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass

from query_api.serving import Serving
from schemas.embedding import Vectors
from schemas.errors import InverError, Poison
from schemas.row import Candidate
from schemas.search import DENSE, LEG_NAMES, SPARSE, LegState, LegStatus, SearchRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class LegAnswers:
    """What the legs found, and how each one did; a leg that found nothing is there with an empty list."""

    candidates: Mapping[str, Sequence[Candidate]]
    statuses: Mapping[str, LegStatus]
    #: Milliseconds the query's embedding took; 0 where the dense leg was not asked.
    embed_ms: float
    #: The query's embedding, for asking again; None where the dense leg was not asked.
    vector: Vectors | None


@dataclass(slots=True)
class _Embedding:
    vector: Vectors | None = None
    took_ms: float = 0.0


async def ask_legs(serving: Serving, request: SearchRequest, *, seconds: float, vector: Vectors | None) -> LegAnswers:
    """Ask the requested legs; ``vector`` is the query's embedding when it is already known.

    Never raises for an engine: what went wrong is in the statuses. Raises Poison for a request no engine can answer.
    """
    embedding = _Embedding(vector=vector)
    tasks = {
        name: asyncio.create_task(_timed(_ask(name, serving, request, embedding)))
        for name in LEG_NAMES
        if name in request.legs
    }
    if tasks:
        await asyncio.wait(tasks.values(), timeout=max(seconds, 0.0))
    candidates: dict[str, Sequence[Candidate]] = {}
    statuses: dict[str, LegStatus] = {}
    for name in LEG_NAMES:
        task = tasks.get(name)
        if task is None:
            statuses[name] = LegStatus(state=LegState.SKIPPED)
        elif not task.done():
            task.cancel()
            statuses[name] = LegStatus(
                state=LegState.TIMEOUT, took_ms=seconds * 1_000, detail=f"no answer within {seconds:.1f} s"
            )
        else:
            found, statuses[name] = _settle(task, embedding.took_ms if name == DENSE else 0.0)
            if found is not None:
                candidates[name] = found
    return LegAnswers(candidates=candidates, statuses=statuses, embed_ms=embedding.took_ms, vector=embedding.vector)


async def _ask(name: str, serving: Serving, request: SearchRequest, embedding: _Embedding) -> list[Candidate]:
    window = request.legs[name].window
    if name == SPARSE:
        return await serving.texts.search(request.query, tenant=request.tenant, window=window, condition=request.filter)
    if embedding.vector is None:
        started = time.perf_counter()
        embedding.vector = await serving.embedder.embed_query(request.query)
        embedding.took_ms = (time.perf_counter() - started) * 1_000
    return await serving.vectors.search(
        embedding.vector, tenant=request.tenant, window=window, condition=request.filter
    )


async def _timed(
    question: Coroutine[None, None, list[Candidate]],
) -> tuple[list[Candidate] | InverError, float]:
    started = time.perf_counter()
    try:
        answer: list[Candidate] | InverError = await question
    except InverError as error:
        answer = error
    return answer, (time.perf_counter() - started) * 1_000


def _settle(
    task: asyncio.Task[tuple[list[Candidate] | InverError, float]], embed_ms: float
) -> tuple[list[Candidate] | None, LegStatus]:
    answer, took_ms = task.result()
    match answer:
        case Poison():
            raise answer
        case InverError():
            return None, LegStatus(state=LegState.UNAVAILABLE, took_ms=took_ms, detail=str(answer))
        case found:
            return found, LegStatus(state=LegState.OK, candidates=len(found), took_ms=took_ms - embed_ms)
