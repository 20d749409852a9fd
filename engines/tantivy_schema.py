"""What a text index is created with in Tantivy: its analyzer and its few fields."""

from __future__ import annotations

from typing import Final

from tantivy import Filter, Schema, SchemaBuilder, TextAnalyzer, TextAnalyzerBuilder, Tokenizer

from engines.analysis import STANDARD
from engines.tantivy_filters import TERMS_FIELD

#: Raised with every change to what stands in an index; an index of another format is refused.
_FORMAT: Final = 1


def tokenizer_name(analyzer: str) -> str:
    """Name the analysis inside the schema, which opening compares: another analyzer is another schema."""
    return f"inver_{_FORMAT}_{analyzer}"


def text_analyzer(analyzer: str) -> TextAnalyzer:
    """Return what makes terms of words that ``words_of`` has cut."""
    builder = TextAnalyzerBuilder(Tokenizer.whitespace())
    if analyzer != STANDARD:
        builder = builder.filter(Filter.stopword(analyzer)).filter(Filter.stemmer(analyzer))
    return builder.build()


def index_schema(analyzer: str) -> Schema:
    """Return the fields of a row; only the key and the row itself can be read back."""
    builder = SchemaBuilder()
    builder.add_text_field("key", stored=True, tokenizer_name="raw", index_option="basic")
    builder.add_unsigned_field("number", fast=True)
    builder.add_text_field("tenant", tokenizer_name="raw", index_option="basic")
    builder.add_text_field("words", tokenizer_name=tokenizer_name(analyzer), index_option="freq")
    builder.add_text_field(TERMS_FIELD, tokenizer_name="raw", index_option="basic")
    builder.add_bytes_field("row", stored=True)
    return builder.build()
