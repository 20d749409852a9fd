"""The model's tokens, counted as the model counts them, without the model."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.embedders import load_tokenizer
from engines.model_description import describe_model
from engines.models import DEFAULT_MODEL
from engines.tokenizer import ModelTokenizer
from schemas.errors import Fatal, Poison
from tests.engines.embedding_model import copy_without_weights, default_model_folder
from tests.engines.texts import varied_texts

TOKENIZER = ModelTokenizer(describe_model(default_model_folder()))


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("Two rivers meet.", ["Two", "rivers", "meet", "."]),
        ("unbelievably  spaced\n", ["un", "bel", "ie", "va", "bly", "spaced"]),
        ("Größe", ["Gr", "ö", "ße"]),
        ("cafe\u0301 au parc", ["cafe", "au", "parc"]),
        ("東京 都", ["東", "京", "都"]),
        ("a \U0001f30a b", ["a", "\U0001f30a", "b"]),
        ("\U0001f468‍\U0001f469‍\U0001f467 ok", ["\U0001f468‍\U0001f469‍\U0001f467", "ok"]),
        ("", []),
        (" \n\t", []),
    ],
)
def test_spans_cut_the_text_exactly(text: str, pieces: list[str]) -> None:
    """They count characters of the text as given, whatever the normalizer makes of it."""
    assert pieces == [text[start:end] for start, end in TOKENIZER.offsets(text)]


@given(text=st.text(st.characters(exclude_categories=["Cs"]), max_size=300))
def test_spans_are_in_order_and_inside_the_text(text: str) -> None:
    """And there are as many as are counted."""
    spans = TOKENIZER.offsets(text)

    assert TOKENIZER.count(text) == len(spans)
    assert all(0 <= start <= end <= len(text) for start, end in spans)
    assert spans == sorted(spans)


def test_counts_equal_those_of_transformers() -> None:
    """The library that the model was made with finds the same tokens, also the special ones."""
    from transformers import AutoTokenizer

    reference = AutoTokenizer.from_pretrained(default_model_folder(), local_files_only=True)
    texts = varied_texts(200)

    expected = [reference(text, truncation=False)["input_ids"] for text in texts]

    assert expected == TOKENIZER.document_ids(texts)
    assert [len(ids) for ids in expected] == [TOKENIZER.count(text) + TOKENIZER.special_tokens for text in texts]
    assert (TOKENIZER.max_tokens, TOKENIZER.special_tokens) == (256, 2)


def test_long_texts_are_counted_whole() -> None:
    """The file asks for truncation and padding to 128; neither may happen."""
    assert TOKENIZER.count("river " * 1_000) == 1_000
    assert len(TOKENIZER.document_ids(["two words"])[0]) == 4


def test_a_query_is_cut_at_the_limit() -> None:
    """With its special tokens in place."""
    ids = TOKENIZER.query_ids("river " * 1_000)

    assert len(ids) == 256
    assert (ids[0], ids[-1]) == (101, 102)
    assert TOKENIZER.document_ids(["river"])[0] == TOKENIZER.query_ids("river")


def test_a_lone_surrogate_is_bad_input() -> None:
    """Whichever way it comes in."""
    for call in (TOKENIZER.count, TOKENIZER.offsets, TOKENIZER.query_ids, lambda text: TOKENIZER.document_ids([text])):
        with pytest.raises(Poison, match="lone surrogate"):
            call("half \ud83c")


def test_a_prompt_counts_as_special_tokens(tmp_path: Path) -> None:
    """So that whoever cuts documents leaves room for it."""
    folder = copy_without_weights(tmp_path / "model")
    prompts = {"query": "find this: ", "passage": "passage: "}
    (folder / "config_sentence_transformers.json").write_text(json.dumps({"prompts": prompts}))

    tokenizer = ModelTokenizer(describe_model(folder))

    assert tokenizer.special_tokens == 2 + 2
    assert TOKENIZER.document_ids(["passage: rivers"]) == tokenizer.document_ids(["rivers"])
    assert TOKENIZER.query_ids("find this: rivers") == tokenizer.query_ids("rivers")
    assert tokenizer.offsets("rivers") == [(0, 6)]


def test_lower_case_is_the_models_choice(tmp_path: Path) -> None:
    """A cased tokenizer gets it where the model was trained with it; spans still fit the text as given."""
    folder = copy_without_weights(tmp_path / "model")
    raw = json.loads((folder / "tokenizer.json").read_text())
    raw["normalizer"]["lowercase"] = False
    (folder / "tokenizer.json").write_text(json.dumps(raw))
    cased = ModelTokenizer(describe_model(folder))
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 256, "do_lower_case": true}')
    lowered = ModelTokenizer(describe_model(folder))

    assert TOKENIZER.document_ids(["The RIVER"]) == lowered.document_ids(["The RIVER"])
    assert cased.document_ids(["The RIVER"]) != lowered.document_ids(["The RIVER"])
    assert lowered.offsets("The RIVER") == [(0, 3), (4, 9)]


def test_a_missing_or_broken_file_is_named(tmp_path: Path) -> None:
    """With what to do about it."""
    folder = copy_without_weights(tmp_path / "model")
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(Fatal, match=r"tokenizer.json cannot be read"):
        ModelTokenizer(describe_model(folder))

    (folder / "tokenizer.json").unlink()
    with pytest.raises(Fatal, match=r"tokenizer.json is missing"):
        ModelTokenizer(describe_model(folder))


def test_loading_is_quick_and_needs_no_torch() -> None:
    """Under 100 ms of processor time, imports of the library included."""
    program = (
        "import numpy, structlog, sys, time; import engines.embedders; began = time.process_time()\n"
        f"engines.embedders.load_tokenizer({DEFAULT_MODEL!r}, model_directory=None)\n"
        "print(time.process_time() - began, *{'torch', 'transformers', 'openvino'} & set(sys.modules))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}

    runs = [
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment)
        for _ in range(3)
    ]

    assert not any(run.stdout.split()[1:] for run in runs)
    assert min(float(run.stdout.split()[0]) for run in runs) < 0.1


def test_the_factory_makes_it() -> None:
    """By the model's name."""
    tokenizer = load_tokenizer(DEFAULT_MODEL, model_directory=None)

    assert tokenizer.count("two rivers meet") == 3
