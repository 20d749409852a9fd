"""Cuts texts into the embedding model's own tokens with the ``tokenizers`` library alone, without the model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from engines.model_description import ModelDescription
from schemas.errors import Fatal, Poison

if TYPE_CHECKING:
    import tokenizers


class ModelTokenizer:
    """A Tokenizer that also makes the model's input. Nothing in it changes after construction."""

    def __init__(self, description: ModelDescription) -> None:
        self._tokenizer = _load(description)
        self._document_prompt = description.document_prompt
        self._query_prompt = description.query_prompt
        self.max_tokens = description.max_tokens
        #: With the prompt that goes in front of every document.
        self.special_tokens = self._tokenizer.num_special_tokens_to_add(is_pair=False) + len(
            self._encode(self._document_prompt).ids
        )

    def offsets(self, text: str) -> list[tuple[int, int]]:
        """Return each token's character span in the text, in order, without special tokens."""
        spans: list[tuple[int, int]] = self._encode(text).offsets
        return spans

    def count(self, text: str) -> int:
        """Return the number of tokens, without special tokens."""
        return len(self._encode(text).ids)

    def document_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Return what the model reads for each text, prompt and special tokens included.

        Raises Poison for a text the model would cut.
        """
        refuse_lone_surrogates(texts)
        prompted = [self._document_prompt + text for text in texts]
        encodings = self._tokenizer.encode_batch_fast(prompted, add_special_tokens=True)
        ids: list[list[int]] = [encoding.ids for encoding in encodings]
        for position, (text, one) in enumerate(zip(texts, ids, strict=True)):
            if len(one) > self.max_tokens:
                raise too_long(text, position=position, tokens=len(one), limit=self.max_tokens)
        return ids

    def query_ids(self, text: str) -> list[int]:
        """Return what the model reads for a query, cut to what the model takes."""
        encoding = self._encode(self._query_prompt + text)
        encoding.truncate(self.max_tokens - self._tokenizer.num_special_tokens_to_add(is_pair=False))
        ids: list[int] = self._tokenizer.post_process(encoding, add_special_tokens=True).ids
        return ids

    def _encode(self, text: str) -> Any:
        refuse_lone_surrogates([text])
        return self._tokenizer.encode(text, add_special_tokens=False)


def too_long(text: str, *, position: int, tokens: int, limit: int) -> Poison:
    """Build the error for a text that the model would cut."""
    return Poison(
        "text_too_long",
        f"text {position}, which begins {text[:40]!r}, has {tokens} tokens and the model reads {limit}: "
        "its end would not be found; cut it into smaller pieces",
    )


def refuse_lone_surrogates(texts: Sequence[str]) -> None:
    """Raise Poison for a text that is not Unicode; the library would say of it that it is no string."""
    for text in texts:
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise Poison("invalid_unicode", f"a text holds a lone surrogate at {error.start}; remove it") from None


def _load(description: ModelDescription) -> tokenizers.Tokenizer:
    import tokenizers

    path = description.tokenizer_folder / "tokenizer.json"
    if not path.is_file():
        raise Fatal(f"{path} is missing: load the model's tokenizer with transformers and save it again, it writes one")
    try:
        tokenizer = tokenizers.Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises Exception itself
        raise Fatal(f"{path} cannot be read: {error}; fetch the model again") from error
    # Files often carry both, from training: they would cut texts silently and count padding as tokens.
    tokenizer.no_truncation()
    tokenizer.no_padding()
    if description.lowercase and not _lowers(json.loads(path.read_bytes()).get("normalizer")):
        steps = [tokenizers.normalizers.Lowercase(), *([tokenizer.normalizer] if tokenizer.normalizer else [])]
        tokenizer.normalizer = tokenizers.normalizers.Sequence(steps)
    return tokenizer


def _lowers(normalizer: Any) -> bool:
    if not isinstance(normalizer, dict):
        return False
    if normalizer.get("type") == "Sequence":
        return any(_lowers(step) for step in normalizer.get("normalizers", []))
    return normalizer.get("type") == "Lowercase" or bool(normalizer.get("lowercase"))
