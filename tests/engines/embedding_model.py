"""Model folders for tests: where conversions are kept between runs, and a tiny model of any shape."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from engines.models import DEFAULT_MODEL, locate_model

#: Ignored by git; a conversion takes half a minute and is the same every time.
CACHE_DIRECTORY = Path(__file__).parents[2] / ".cache" / "models"


def default_model_folder() -> Path:
    """Return the folder of the default model, which the package in requirements/ holds."""
    return locate_model(DEFAULT_MODEL, model_directory=None).path


def copy_without_weights(target: Path) -> Path:
    """Copy the default model's folder, but for its weights."""
    return Path(shutil.copytree(default_model_folder(), target, ignore=shutil.ignore_patterns("*.safetensors")))


def write_tiny_model(
    target: Path, *, pooling: str = "cls", prompts: dict[str, str] | None = None, dense: int | None = None
) -> Path:
    """Write a random model of 2 layers and 32 dimensions that uses the default model's tokenizer."""
    import torch
    from transformers import BertConfig, BertModel

    copy_without_weights(target)
    torch.manual_seed(7)
    shape = BertConfig(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64)
    BertModel(shape).save_pretrained(target, safe_serialization=True)
    kinds = [("Transformer", ""), ("Pooling", "1_Pooling")]
    if dense is not None:
        from sentence_transformers.sentence_transformer.modules import Dense

        (target / "2_Dense").mkdir()
        Dense(in_features=32, out_features=dense).save(str(target / "2_Dense"), safe_serialization=True)
        kinds.append(("Dense", "2_Dense"))
    modules = [
        {"idx": index, "name": str(index), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for index, (kind, path) in enumerate(kinds)
    ]
    pooling_config = {"embedding_dimension": 32, "pooling_mode": pooling}
    (target / "modules.json").write_text(json.dumps(modules))
    (target / "1_Pooling" / "config.json").write_text(json.dumps(pooling_config))
    (target / "config_sentence_transformers.json").write_text(json.dumps({"prompts": prompts or {}}))
    return target
