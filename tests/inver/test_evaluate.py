"""`inver evaluate`: the figures are those of the definitions, and a folder that is not laid out right is refused."""

from __future__ import annotations

import json
import math
from pathlib import Path

import jsonschema
import pytest

from inver.operations.evaluate import collection_of, measure
from tests.inver.command_line import CommandLine
from tests.inver.shapes import EVALUATE_SHAPE

FATAL = 5
FILLER = "water reeds banks gravel weather seasons stones"
CORPUS = (
    {"_id": "short", "title": "", "text": "heron heron heron"},
    {"_id": "long", "title": "", "text": f"heron {FILLER}"},
    {"_id": "eel", "title": "", "text": "eel sargasso"},
    {"_id": "many", "title": "", "text": "\n\n".join(f"Paragraph {n} is about {FILLER}." for n in range(60))},
)
QUERIES = (
    {"_id": "q1", "text": "heron"},
    {"_id": "q2", "text": "eel"},
    {"_id": "unjudged", "text": "stones"},
)


@pytest.fixture
def inver(tmp_path: Path) -> CommandLine:
    """A folder that holds a judged collection named `Tiny_Set`."""
    folder = tmp_path / "Tiny_Set"
    folder.mkdir()
    (folder / "corpus.jsonl").write_text("\n".join(map(json.dumps, CORPUS)))
    (folder / "queries.jsonl").write_text("\n".join(map(json.dumps, QUERIES)))
    (folder / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\nq1\tlong\t1\nq2\teel\t2\nq2\tshort\t0\n")
    return CommandLine(tmp_path)


def test_the_figures_are_those_of_the_definitions():
    """nDCG@10 with linear gains, Recall@100 and MRR@10, averaged over the judged queries, worked out by hand."""
    judgements = {"a": {"d1": 2, "d2": 1, "d3": 1}, "b": {"d9": 1}}
    run = {"a": {"d2": 3.0, "d7": 2.0, "d1": 1.0}, "b": {"d1": 1.0}}

    gained = 1 / math.log2(2) + 2 / math.log2(4)
    ideal = 2 / math.log2(2) + 1 / math.log2(3) + 1 / math.log2(4)
    expected = {"ndcg@10": gained / ideal / 2, "recall@100": 2 / 3 / 2, "mrr@10": 1 / 2}
    assert measure(judgements, run) == pytest.approx(expected, abs=1e-4)


def test_a_folder_is_ingested_asked_and_judged(inver: CommandLine):
    """The report has the documented shape, counts documents and chunks, and its sparse figures are the known ones."""
    outcome = inver("evaluate", "Tiny_Set", "--json")

    report = outcome.json()
    jsonschema.validate(report, EVALUATE_SHAPE)
    assert (outcome.code, outcome.err) == (0, "")
    assert (report["collection"], report["profile"]) == ("evaluate-tiny-set", "embedded")
    many = inver("status", "many", "-c", "evaluate-tiny-set", "--json").json()["row_count"]
    assert many > 1
    assert (report["documents"], report["chunks"], report["queries"]) == (len(CORPUS), len(CORPUS) - 1 + many, 2)
    # BM25 puts `short`, which says nothing but heron, before `long`; `eel` is first for its query.
    sparse = {"ndcg@10": (1 / math.log2(3) + 1) / 2, "recall@100": 1.0, "mrr@10": (1 / 2 + 1) / 2}
    assert report["legs"]["sparse"] == pytest.approx(sparse, abs=1e-4)


def test_a_document_that_fails_is_named_and_makes_the_exit_code_say_so(inver: CommandLine):
    """Figures over fewer documents than were given are never passed off as the whole."""
    with (inver.home / "Tiny_Set" / "corpus.jsonl").open("a") as corpus:
        corpus.write('\n{"_id": "blank", "text": ""}')

    outcome = inver("evaluate", "Tiny_Set", "-c", "chosen")

    assert outcome.code == 1
    assert "4 documents searchable, 1 failed" in outcome.err
    assert outcome.out.splitlines()[1].split() == ["leg", "nDCG@10", "Recall@100", "MRR@10"]


MISTAKES = {
    "no judgements": ("qrels.tsv", None, "Tiny_Set has no qrels.tsv"),
    "judgements that are none": ("qrels.tsv", "q1 long 1\n", "qrels.tsv:1 is not 'query, document, relevance'"),
    "a relevance in words": ("qrels.tsv", "q1\tlong\tvery\n", "qrels.tsv:1 is not 'query, document, relevance'"),
    "queries of another set": ("qrels.tsv", "q7\tlong\t1\n", "none of the queries in"),
    "broken queries": ("queries.jsonl", '{"_id": "q1", "text"', "queries.jsonl:1 is not a JSON object with '_id'"),
    "queries without text": ("queries.jsonl", '{"_id": "q1"}', "queries.jsonl:1 is not a JSON object with '_id'"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_folder_that_is_not_a_judged_collection_is_refused(inver: CommandLine, name: str):
    """What is wrong is named with file and line, before anything is ingested."""
    file, content, words = MISTAKES[name]
    target = inver.home / "Tiny_Set" / file
    target.unlink() if content is None else target.write_text(content)

    assert words in inver("evaluate", "Tiny_Set").sentence(FATAL)
    assert not inver.data.exists()


@pytest.mark.parametrize(
    ("folder", "collection"),
    [
        ("scifact", "evaluate-scifact"),
        ("My Set (v2).final", "evaluate-my-set-v2-final"),
        ("x" * 300, "evaluate-" + "x" * 31),
    ],
)
def test_the_collection_is_named_after_the_folder(tmp_path: Path, folder: str, collection: str):
    """Whatever a folder is called, its collection's name is a good one."""
    assert collection_of(tmp_path / folder) == collection
