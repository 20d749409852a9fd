"""Splitting: exact spans, nothing left out, never more than the model reads."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consumers.extract.extracted import Extracted
from consumers.extract.markdown import extract_markdown
from consumers.split import split
from engines.ports import Tokenizer
from schemas.chunk import Chunk
from schemas.errors import Fatal, Poison
from schemas.generation import Chunking, ChunkStrategy
from tests.consumers.word_tokenizer import ByteTokenizer, GreedyTokenizer, WordTokenizer

STRUCTURED = Chunking(max_tokens=40, overlap_tokens=8)
SENTENCES = "The cat sat on the mat. A dog came by. It barked twice! Nobody was there to hear it? The end came early."

fragments = st.sampled_from(
    [
        "# Heading\n\n", "## Sub heading\n\n", "### Deep\n", "\n\n", "\n", " ", "   \n \n", "- one\n- two\n\n",
        "1. first\n2. second\n\n", "```\ncode line\n    more code()\n```\n\n", "| a | b |\n|---|---|\n| 1 | 2 |\n\n",
        "A sentence of some words. ", "Dr. Who e.g. lives here! ", "今日は良い天気です。明日も。", "word " * 30,
        "unbrokenwordwithoutend" * 12, "........", "👩‍👩‍👧‍👦", "é̀̂", "\u200b", "\u3000",
        "مرحبا بالعالم. ", "\t", "x", "𝔘𝔫𝔦", " " * 700,
    ]
)  # fmt: skip
texts = st.lists(st.one_of(fragments, st.text(max_size=40)), max_size=30).map("".join)
titles = st.one_of(st.sampled_from(["", "A title", "T" * 600, "many words in a title " * 20]), st.text(max_size=30))
chunkings = st.builds(
    Chunking,
    strategy=st.sampled_from(ChunkStrategy),
    max_tokens=st.integers(20, 160),
    overlap_tokens=st.integers(0, 60),
)
tokenizers = st.sampled_from(
    [WordTokenizer(), WordTokenizer(max_tokens=24, piece=200), ByteTokenizer(), GreedyTokenizer()]
)


def check(extracted: Extracted, chunks: list[Chunk], chunking: Chunking, tokenizer: Tokenizer) -> None:
    """Assert everything that holds for every document."""
    text = extracted.text
    limit = min(chunking.max_tokens, tokenizer.max_tokens)
    covered = bytearray(len(text))
    for ordinal, chunk in enumerate(chunks):
        assert chunk.ordinal == ordinal
        assert chunk.text == text[chunk.start : chunk.end]
        assert chunk.text.strip()
        assert len(chunk.text.encode()) <= 65_535
        assert tokenizer.count(chunk.searchable_text()) + tokenizer.special_tokens <= limit
        covered[chunk.start : chunk.end] = b"\x01" * (chunk.end - chunk.start)
    starts = [chunk.start for chunk in chunks]
    assert starts == sorted(starts)
    assert [place for place, character in enumerate(text) if not character.isspace() and not covered[place]] == []


@settings(max_examples=400, deadline=None)
@given(texts, titles, chunkings, tokenizers, st.booleans())
def test_every_document_keeps_the_invariants(text, title, chunking, tokenizer, as_markdown):
    """Spans are exact, every visible character is covered, no chunk is too long, ordinals count, twice is the same."""
    if as_markdown:
        extracted = extract_markdown(text.replace("\x00", "").encode("utf-8", "ignore"))
    else:
        extracted = Extracted(text=text)
    if chunking.strategy is ChunkStrategy.WHOLE:
        with contextlib.suppress(Poison):
            check(extracted, split(extracted, title=title, chunking=chunking, tokenizer=tokenizer), chunking, tokenizer)
        return
    chunks = split(extracted, title=title, chunking=chunking, tokenizer=tokenizer)
    check(extracted, chunks, chunking, tokenizer)
    assert chunks == split(extracted, title=title, chunking=chunking, tokenizer=tokenizer)


def split_words(text: str, *, strategy: ChunkStrategy = ChunkStrategy.STRUCTURE, title: str = "", **sizes: int):
    chunking = Chunking(strategy=strategy, **({"max_tokens": 40, "overlap_tokens": 8} | sizes))
    return split(Extracted(text=text), title=title, chunking=chunking, tokenizer=WordTokenizer(piece=99))


def split_markdown(source: str, *, title: str = "", **sizes: int) -> list[Chunk]:
    chunking = Chunking(**({"max_tokens": 40, "overlap_tokens": 8} | sizes))
    return split(extract_markdown(source.encode()), title=title, chunking=chunking, tokenizer=WordTokenizer(piece=99))


def test_a_short_text_is_one_chunk():
    """A text that fits is one chunk with the title in front."""
    (chunk,) = split_words("  A short text. Two sentences.\n", title="The title")

    assert chunk.text == "A short text. Two sentences."
    assert chunk.start == 2
    assert chunk.searchable_text() == "The title\nA short text. Two sentences."


def test_a_blank_text_has_no_chunks():
    """White space alone gives nothing."""
    assert split_words(" \n\t ") == []


def test_cuts_fall_between_sentences():
    """Every chunk ends where a sentence ends."""
    chunks = split_words(SENTENCES * 3, max_tokens=30, overlap_tokens=0)

    assert len(chunks) > 2
    assert all(chunk.text[-1] in ".!?" for chunk in chunks)


def test_cuts_prefer_paragraphs_to_sentences():
    """A paragraph's end in a chunk's second half is a better place than a later sentence's end."""
    first = "One two three four five six seven eight. Nine ten eleven twelve thirteen fourteen."
    second = "Alpha beta gamma delta. Epsilon zeta eta theta. Iota kappa lambda mu. Nu xi omicron pi rho sigma."

    chunks = split_words(f"{first}\n\n{second}", max_tokens=28, overlap_tokens=0)

    assert chunks[0].text == first


def test_the_overlap_is_whole_sentences_that_fit():
    """The last sentence before the cut is repeated where the overlap holds it."""
    chunks = split_words(SENTENCES, max_tokens=24, overlap_tokens=8)

    assert chunks[0].text.endswith("It barked twice!")
    assert chunks[1].text.startswith("It barked twice! Nobody")


def test_the_overlap_is_whole_words_where_no_sentence_fits():
    """A sentence longer than the overlap lends its last words."""
    words = " ".join(f"W{number}" for number in range(30))
    chunks = split_words(f"{words}. {words}.", max_tokens=40, overlap_tokens=5)

    assert chunks[1].text.startswith("W26 W27 W28 W29. W0")


def test_the_overlap_gives_way_to_a_whole_sentence():
    """A sentence that fits a chunk only without overlap is not cut for the overlap's sake."""
    long_sentence = " ".join(f"X{number}" for number in range(36)) + "."
    chunks = split_words(f"A short one here. {long_sentence}", max_tokens=40, overlap_tokens=8)

    assert [chunk.text for chunk in chunks] == ["A short one here.", long_sentence]


def test_sections_are_never_crossed_and_never_overlap():
    """A chunk belongs to one section and names the headings above it, without the title."""
    source = f"# Guide\n\n## One\n\n{SENTENCES}\n\n## Two\n\n### Deep\n\nText here. {SENTENCES}"
    chunks = split_markdown(source, title="Guide")

    assert {chunk.heading_path for chunk in chunks} == {("One",), ("Two", "Deep")}
    first_of_two = next(chunk for chunk in chunks if chunk.heading_path == ("Two", "Deep"))
    assert first_of_two.text.startswith("Two\n\nDeep\n\nText here.")
    assert first_of_two.prefix == "Guide\nTwo\nDeep"


def test_a_heading_without_text_goes_with_the_next_section():
    """No chunk is a heading alone where more text follows."""
    chunks = split_markdown("# A\n\n## B\n\nSome text.", title="Else")

    assert [chunk.text for chunk in chunks] == ["A\n\nB\n\nSome text."]
    assert chunks[0].heading_path == ("A", "B")


def test_code_is_cut_between_lines():
    """Lines of code stay whole, and no full stop in them counts."""
    lines = "\n".join(f"call.method_{number}(argument). Next" for number in range(20))
    chunks = split_markdown(f"```\n{lines}\n```", overlap_tokens=0)

    assert len(chunks) > 2
    assert all(line in lines.split("\n") for chunk in chunks for line in chunk.text.split("\n"))


def test_long_prefixes_leave_half_the_room_to_the_text():
    """First the outer headings give way, then the title's end."""
    title = "title " * 15
    chunks = split_markdown(f"# {'outer ' * 10}\n\n## Inner\n\n{SENTENCES}", title=title, max_tokens=42)

    assert chunks[0].prefix == f"{title.strip()}\nInner"
    assert all(WordTokenizer(piece=99).count(chunk.prefix) <= 20 for chunk in chunks)
    assert split_words(SENTENCES, title="word " * 500)[0].prefix == "word " * 18 + "word"


def test_pages_are_counted_from_one():
    """A chunk's page is the one it starts on."""
    text = f"{SENTENCES}\n\n{SENTENCES}"
    extracted = Extracted(text=text, pages=(0, len(SENTENCES) + 2))
    chunks = split(extracted, title="", chunking=Chunking(max_tokens=30, overlap_tokens=0), tokenizer=WordTokenizer())

    assert chunks[0].page == 1
    assert chunks[-1].page == 2
    assert split_words("text")[0].page is None


def test_fixed_windows_have_the_size_whatever_they_cut():
    """Windows are full but for the last, and cut between words, not at sentences."""
    chunks = split_words(SENTENCES * 4, strategy=ChunkStrategy.FIXED, max_tokens=22, overlap_tokens=4)

    tokenizer = WordTokenizer(piece=99)
    assert all(18 <= tokenizer.count(chunk.text) <= 20 for chunk in chunks[:-1])
    assert any(chunk.text[-1] not in ".!?" for chunk in chunks)


def test_sentence_strategy_does_not_look_at_headings():
    """Chunks run across headings, with the title alone in front."""
    extracted = extract_markdown(b"# A\n\nOne.\n\n# B\n\nTwo.")
    chunking = Chunking(strategy=ChunkStrategy.SENTENCE, max_tokens=40)

    (chunk,) = split(extracted, title="T", chunking=chunking, tokenizer=WordTokenizer())

    assert chunk.text == "A\n\nOne.\n\nB\n\nTwo."
    assert chunk.prefix == "T"
    assert chunk.heading_path == ()


def test_whole_refuses_what_does_not_fit():
    """A document above the size is refused with both numbers."""
    assert split_words(SENTENCES, strategy=ChunkStrategy.WHOLE)[0].text == SENTENCES
    with pytest.raises(Poison, match=r"tokens.*may have 38") as caught:
        split_words(SENTENCES * 2, strategy=ChunkStrategy.WHOLE)
    assert caught.value.reason == "document_exceeds_chunk"


def test_sizes_that_no_document_can_meet_are_fatal():
    """Too little room is the settings' fault, not a document's."""
    with pytest.raises(Fatal, match=r"max_tokens to 18 or more"):
        split_words("text", max_tokens=10)


def test_the_models_limit_is_kept_where_it_is_lower():
    """``max_tokens`` above what the model reads has no effect."""
    tokenizer = WordTokenizer(max_tokens=24)
    chunks = split(Extracted(text=SENTENCES * 5), title="", chunking=Chunking(max_tokens=500), tokenizer=tokenizer)

    assert max(tokenizer.count(chunk.text) for chunk in chunks) <= 22


def test_text_the_model_reads_as_one_token_is_still_cut():
    """A megabyte without spaces, one unknown word to the model, becomes chunks that engines can hold."""
    tokenizer = WordTokenizer(piece=10_000_000)
    extracted = Extracted(text="é" * 100_000)
    chunks = split(extracted, title="", chunking=Chunking(), tokenizer=tokenizer)

    check(extracted, chunks, Chunking(), tokenizer)
    assert len(chunks) > 40


@pytest.mark.parametrize(
    "unit",
    ["word ", "One sentence here. ", "x" * 50, "\n", " ", ".", "a. ", "para\n\n", "- item\n", "。", "1. ", "\n \n"],
)
def test_work_grows_with_the_text_and_not_faster(unit):
    """Ten times the text is ten times the characters tokenised."""
    read = []
    for size in (20_000, 200_000):
        tokenizer = WordTokenizer()
        extracted = Extracted(text="start " + unit * (size // len(unit)) + " end")
        check(
            extracted,
            split(extracted, title="T", chunking=Chunking(), tokenizer=tokenizer),
            Chunking(),
            WordTokenizer(),
        )
        read.append(tokenizer.characters_read)
    assert read[1] <= 11 * read[0]
    assert read[1] <= 5 * 200_000
