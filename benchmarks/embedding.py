"""Compares embedding backends and token budgets on chunks of a corpus, in alternating rounds of one run.

Usage: python benchmarks/embedding.py CORPUS.jsonl [--chunks 128] [--rounds 9] [--model-directory DIR]
CORPUS.jsonl has a JSON object with "title" and "text" on each line. Other work on the machine only ever slows a round
down, so each variant's best round is compared, by time on the clock and by processor time, which other work hardly
changes. Where the two ratios differ much the machine was busy: believe the second, or run it again.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path

from engines.batching_embedder import BatchingEmbedder, EmbeddingModel
from engines.model_description import describe_model
from engines.models import DEFAULT_MODEL, fingerprint, locate_model
from engines.openvino import OpenVinoModel
from engines.openvino_conversion import converted_graph
from engines.sentence_transformer import SentenceTransformerModel, load_sentence_transformer
from engines.tokenizer import ModelTokenizer

CHUNK_TOKENS = 126
OVERLAP_TOKENS = 24
BUDGETS = (512, 1_024, 2_048, 4_096, 8_192)
BASELINE = "sentence-transformers, batch 32"


def chunks_of(corpus: Path, tokenizer: ModelTokenizer, count: int) -> list[str]:
    """Cut the corpus into windows as long as the default chunk, in an order that mixes lengths."""

    def windows() -> Iterator[str]:
        for line in corpus.open(encoding="utf-8"):
            document = json.loads(line)
            text = f"{document['title']}\n{document['text']}"
            spans = tokenizer.offsets(text)
            for first in range(0, len(spans), CHUNK_TOKENS - OVERLAP_TOKENS):
                window = spans[first : first + CHUNK_TOKENS]
                yield text[window[0][0] : window[-1][1]]

    return list(islice(windows(), count))


def variants(folder_name: Path | None) -> tuple[ModelTokenizer, dict[str, Callable[[list[str]], object]]]:
    """Load every backend once and return what to measure."""
    folder = locate_model(DEFAULT_MODEL, model_directory=folder_name)
    description, name = describe_model(folder.path), fingerprint(folder)
    graph = converted_graph(description, fingerprint=name, cache_directory=Path(".cache/models/openvino"))
    reference = load_sentence_transformer(description)
    torch_model, openvino_model = SentenceTransformerModel(description), OpenVinoModel(description, graph=graph)

    def batching(model: EmbeddingModel, budget: int) -> Callable[[list[str]], object]:
        embedder = BatchingEmbedder(load=lambda: model, fingerprint=name, token_budget=budget)
        return lambda texts: asyncio.run(embedder.embed_documents(texts))

    measured: dict[str, Callable[[list[str]], object]] = {
        BASELINE: partial(reference.encode_document, normalize_embeddings=True, show_progress_bar=False)
    }
    measured |= {f"torch, budget {budget}": batching(torch_model, budget) for budget in (1_024, 2_048)}
    measured |= {f"openvino, budget {budget}": batching(openvino_model, budget) for budget in BUDGETS}
    return ModelTokenizer(description), measured


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--chunks", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--model-directory", type=Path)
    options = parser.parse_args()
    tokenizer, measured = variants(options.model_directory)
    texts = chunks_of(options.corpus, tokenizer, options.chunks)
    tokens = sum(map(len, tokenizer.document_ids(texts)))
    print(f"{len(texts)} chunks of {tokens / len(texts):.0f} tokens on average, {options.rounds} rounds")
    for run in measured.values():
        run(texts)
    waited: dict[str, list[float]] = {name: [] for name in measured}
    worked: dict[str, list[float]] = {name: [] for name in measured}
    for _ in range(options.rounds):
        for name, run in measured.items():
            wall, processor = time.perf_counter(), time.process_time()
            run(texts)
            waited[name].append(time.perf_counter() - wall)
            worked[name].append(time.process_time() - processor)
    report(waited, worked, len(texts))


def report(waited: dict[str, list[float]], worked: dict[str, list[float]], chunks: int) -> None:
    """Print each variant's best speeds, and their ratios to the baseline's best."""
    print(f"{'':34} chunks/s  ratio  chunks/processor-second  ratio")
    for name, seconds in waited.items():
        clock, processor = min(seconds), min(worked[name])
        clock_ratio, processor_ratio = min(waited[BASELINE]) / clock, min(worked[BASELINE]) / processor
        print(
            f"{name:34} {chunks / clock:8.1f}  {clock_ratio:5.2f}  {chunks / processor:23.1f}  {processor_ratio:5.2f}"
        )


if __name__ == "__main__":
    main()
