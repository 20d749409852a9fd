"""How fast documents become searchable, and where the time goes: run ``python benchmarks/throughput.py CORPUS…``.

(a) ``pipeline``: chunks per second of the whole pipeline, from the first request to the last searchable document,
divided by what the embedder alone does with the same chunks in the same run, before and after; vectors are not cached.
(b) ``loop``: the stages without an embedder: documents already stand in the log, and vectors cost nothing.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import httpx
import numpy as np
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.common import Place, new_parser, open_inver, open_place, remove_collections, while_running
from benchmarks.documents import Finished, drained, finished, ingest, read_documents
from benchmarks.report import Report, table
from consumers.extract.registry import extract
from consumers.split import split
from engines.embedders import load_embedder
from engines.ports import Embedder, Tokenizer
from inver.client import Client, LocalClient
from inver.ingest import Ingest
from inver.runtime import Runtime
from inver.sources import SourceDocument
from schemas.document import DEFAULT_TENANT, parse_document_event
from schemas.embedding import Vectors
from schemas.generation import Chunking

STAGES = ("chunk", "embed", "index", "status")
MUST_BE_OF_EMBEDDER = {"embedded": 0.90, "servers": 0.80}
LOOP_MUST_BE = 2_000.0
WORK_SECONDS = 3_600.0
_POOL = 4_096


class NoEmbedder:
    """An Embedder whose vectors cost nothing: it hands out vectors made beforehand, one after the other.

    It passes for the one it stands for, so that collections of that model can be opened.
    """

    def __init__(self, real: Embedder) -> None:
        self.fingerprint = real.fingerprint
        self.dimension = real.dimension
        vectors = np.random.default_rng(1).standard_normal((_POOL, real.dimension), dtype=np.float32)
        self._pool: Vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        self._next = 0

    async def embed_documents(self, texts: Sequence[str]) -> Vectors:
        """Hand out the next vectors."""
        numbers = np.arange(self._next, self._next + len(texts)) % _POOL
        self._next = int(self._next + len(texts)) % _POOL
        vectors: Vectors = self._pool[numbers]
        return vectors

    async def embed_query(self, text: str) -> Vectors:
        """Hand out a vector that depends on the text's length alone."""
        vector: Vectors = self._pool[len(text) % _POOL]
        return vector

    async def close(self) -> None:
        """Hold nothing."""


@dataclass(frozen=True, slots=True)
class Busy:
    """What a stage has done so far, and how long that took from poll to commit."""

    records: float
    batches: float
    seconds: float


async def busy(runtime: Runtime) -> dict[str, Busy]:
    """Read from the metrics what each stage has done."""
    transport = httpx.ASGITransport(app=runtime.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://inver") as client:
        answer = await client.get("/metrics")
    samples = {
        (sample.name, sample.labels.get("stage")): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
        if "le" not in sample.labels
    }
    return {
        stage: Busy(
            samples.get(("inver_records_total", stage), 0.0),
            samples.get(("inver_batch_seconds_count", stage), 0.0),
            samples.get(("inver_batch_seconds_sum", stage), 0.0),
        )
        for stage in STAGES
    }


async def pipeline(place: Place, report: Report, documents: list[SourceDocument]) -> None:
    """Measure (a)."""
    collection = place.collection("throughput")
    async with open_inver(place, collection) as runtime:
        client = LocalClient(runtime.app)
        config = (await runtime.directory.record(collection)).live_config
        embedder = await runtime.directory.embedder(config)
        texts = texts_of(documents, await runtime.wiring.tokenizer(config.model), config.chunking)
        # Everything is opened before the clock starts.
        await while_running(runtime, ingest(client, collection, [warm_up()]), seconds=WORK_SECONDS)
        await embedder.embed_documents(texts[:64])

        before = await embed_alone(embedder, texts)
        done_before = await busy(runtime)
        cpu, started = time.process_time(), time.time()
        result = await while_running(runtime, ingest(client, collection, documents), seconds=WORK_SECONDS)
        cpu = time.process_time() - cpu
        end = await finished(client, collection, [document.id for document in documents])
        done = await busy(runtime)
        after = await embed_alone(embedder, texts)
        await client.close()
    assert not result.failed, result.failed[:3]
    assert end.chunks == len(texts), (end.chunks, len(texts))
    seconds = end.last_at - started
    figures: dict[str, Any] = {"documents": len(documents), "chunks": end.chunks, "seconds": round(seconds, 2)}
    figures |= {"cpu_seconds_of_this_process": round(cpu, 2), "stages": stage_figures(done_before, done, seconds)}
    tell_pipeline(report, figures, rate=end.chunks / seconds, alone=(len(texts) / before, len(texts) / after))
    report.tables.append(stage_table(done_before, done, seconds))


def tell_pipeline(report: Report, figures: dict[str, Any], *, rate: float, alone: tuple[float, float]) -> None:
    """Fill the report; the embedder's rate is that of both its runs together."""
    together = 2 / (1 / alone[0] + 1 / alone[1])
    must_be = MUST_BE_OF_EMBEDDER[report.profile]
    report.figures["pipeline"] = {
        **figures,
        "pipeline_chunks_per_second": round(rate, 2),
        "embedder_alone_chunks_per_second": round(together, 2),
        "embedder_alone_before_and_after": [round(one, 2) for one in alone],
        "ratio": round(rate / together, 3),
    }
    report.tables.append(
        f"(a) {figures['documents']} documents, {figures['chunks']} chunks: whole pipeline {rate:.1f} chunks/s; "
        f"embedder alone {alone[0]:.1f} before, {alone[1]:.1f} after"
    )
    report.target(
        "whole pipeline ÷ embedder alone",
        must_be=f">= {must_be:.2f}",
        found=f"{rate / together:.3f}",
        met=rate / together >= must_be,
    )


async def embed_alone(embedder: Embedder, texts: Sequence[str]) -> float:
    """Embed all texts in one call, the best case for an embedder, and return the seconds."""
    started = time.perf_counter()
    await embedder.embed_documents(texts)
    return time.perf_counter() - started


def texts_of(documents: Sequence[SourceDocument], tokenizer: Tokenizer, chunking: Chunking) -> list[str]:
    """Cut documents into the texts that the pipeline embeds."""
    texts: list[str] = []
    for document in documents:
        event = parse_document_event(document.event)
        content = event.text.encode() if event.text is not None else event.content or b""
        extracted = extract(content, event.media_type)
        chunks = split(extracted, title=event.title or extracted.title, chunking=chunking, tokenizer=tokenizer)
        texts += [chunk.searchable_text() for chunk in chunks]
    return texts


def warm_up() -> SourceDocument:
    """Make a document that opens everything."""
    event: dict[str, object] = {
        "schema": 1,
        "op": "upsert",
        "tenant": DEFAULT_TENANT,
        "id": "warm-up",
        "text": "warm up",
    }
    return SourceDocument(id="warm-up", event=event)


async def loop(place: Place, report: Report, documents: list[SourceDocument]) -> None:
    """Measure (b)."""
    collection = place.collection("loop")
    identifiers = [document.id for document in documents]
    settings = place.settings()
    real = load_embedder(
        place.model,
        model_directory=settings.embedding.model_directory,
        cache_directory=settings.cache_directory,
        backend=settings.embedding.backend,
    )
    embedder = NoEmbedder(real)
    await real.close()
    with patch("engines.embedders.load_embedder", lambda _model, **_: embedder):
        async with open_inver(place, collection, stages=()) as runtime:
            client = LocalClient(runtime.app)
            started = time.perf_counter()
            run = Ingest(client, collection=collection, tenant=DEFAULT_TENANT, progress=lambda _: None)
            await run.submit(documents)
            submitted = len(documents) / (time.perf_counter() - started)
            await client.close()
        async with open_inver(place, collection) as runtime:
            client = LocalClient(runtime.app)
            cpu = time.process_time()
            first_at, end, done = await while_running(
                runtime, drain(runtime, client, collection, identifiers), seconds=WORK_SECONDS
            )
            cpu = time.process_time() - cpu
            await client.close()
    seconds = end.last_at - first_at
    figures: dict[str, Any] = {"documents": len(documents), "chunks": end.chunks, "seconds": round(seconds, 2)}
    figures |= {"cpu_seconds_of_this_process": round(cpu, 2), "submitted_documents_per_second": round(submitted, 1)}
    tell_loop(report, figures, done, rate=end.chunks / seconds, rate_by_cpu=end.chunks / cpu)


def tell_loop(
    report: Report, figures: dict[str, Any], done: Mapping[str, Busy], *, rate: float, rate_by_cpu: float
) -> None:
    """Fill the report."""
    nothing = dict.fromkeys(STAGES, Busy(0.0, 0.0, 0.0))
    stages = stage_figures(nothing, done, figures["seconds"])
    report.figures["loop"] = {**figures, "chunks_per_second": round(rate, 1), "stages": stages}
    report.tables.append(
        f"(b) {figures['documents']} documents, {figures['chunks']} chunks: {rate:,.0f} chunks/s through the stages "
        f"({rate_by_cpu:,.0f} per CPU second of this process); submitted before at "
        f"{figures['submitted_documents_per_second']:,.0f} documents/s"
    )
    report.tables.append(stage_table(nothing, done, figures["seconds"]))
    report.target(
        "stages without an embedder, chunks/s"
        + ("" if report.profile == "servers" else " (the target is for the servers profile)"),
        must_be=f">= {LOOP_MUST_BE:,.0f}",
        found=f"{rate:,.0f}",
        met=rate >= LOOP_MUST_BE,
    )


async def drain(
    runtime: Runtime, client: Client, collection: str, identifiers: Sequence[str]
) -> tuple[float, Finished, dict[str, Busy]]:
    """Wait until all is done; return when the first batch began, when the last ended, and what the stages did."""
    while not (first := (await busy(runtime))["chunk"]).batches:  # noqa: ASYNC110  metrics have no event to wait for
        await asyncio.sleep(0.02)
    # Joining the consumer groups is not the loop's work: the clock starts when the first batch was polled.
    first_at = time.time() - first.seconds
    await drained(client, collection)
    return first_at, await finished(client, collection, identifiers), await busy(runtime)


def stage_figures(before: Mapping[str, Busy], after: Mapping[str, Busy], seconds: float) -> dict[str, Any]:
    """Tell what each stage did in between."""
    return {
        stage: {
            "records": int(after[stage].records - before[stage].records),
            "batches": int(after[stage].batches - before[stage].batches),
            "busy_seconds": round(after[stage].seconds - before[stage].seconds, 2),
            "busy_share": round((after[stage].seconds - before[stage].seconds) / seconds, 3),
        }
        for stage in STAGES
    }


def stage_table(before: Mapping[str, Busy], after: Mapping[str, Busy], seconds: float) -> str:
    """Lay that out; the stage that is busy all the time is the bottleneck."""
    rows = [
        (stage, one["records"], one["batches"], f"{one['busy_seconds']:.2f}", f"{one['busy_share']:.0%}")
        for stage, one in stage_figures(before, after, seconds).items()
    ]
    return table(("stage", "records", "batches", "busy s", "of the time"), rows)


def main() -> int:
    """Measure."""
    parser = new_parser(__doc__)
    parser.add_argument("paths", type=Path, nargs="+", metavar="CORPUS", help="corpus.jsonl, a folder or an archive")
    parser.add_argument("--part", choices=("pipeline", "loop", "both"), default="both")
    parser.add_argument("--documents", type=int, default=1_000, help="for the pipeline against the embedder")
    parser.add_argument("--loop-documents", type=int, help="for the stages without an embedder; all unless set")
    options = parser.parse_args()
    report = Report(benchmark="throughput", profile=options.profile, model=options.model)
    with open_place(options, cache_bytes=0) as place:
        documents = read_documents(options.paths, place.directory, limit=options.loop_documents)
        if options.part != "loop":
            few = documents[: options.documents]
            asyncio.run(pipeline(place.below("pipeline"), report, few))
            # The next pipeline would work for this collection too, and with other vectors.
            asyncio.run(remove_collections(place))
        if options.part != "pipeline":
            asyncio.run(loop(place.below("loop"), report, documents))
    return report.show(as_json=options.json)


if __name__ == "__main__":
    sys.exit(main())
