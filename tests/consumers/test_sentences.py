"""Sentences: where they begin, with exact offsets."""

from __future__ import annotations

import pytest

from consumers.sentences import sentence_starts


@pytest.mark.parametrize(
    "sentences",
    [
        ["One here. ", "Two there! ", "Three? ", "Four… ", "Five"],
        ["He said “Stop.” ", "Then (he went.) ", "Gone."],
        ["Dr. Smith met J. R. Jones at 5 p.m. sharp, e.g. here. ", "See Fig. 3 and pp. 4, Smith et al. Found."],
        ["It costs 3.50 on example.org. ", "Really?! ", "Yes."],
        ["今日は良い天気です。", "明日も晴れ！", "「本当？」", "はい。"],
        ["It was in 1999. ", "Then came more."],
        ["Wait... what? ", "Well... ", "Fine."],
        ["सत्य है। ", "हाँ।"],
        ["Wrapped over\nlines. ", "Next."],
        ["\n1. First point\n2. Second point"],
        ["no end at all"],
        ["Lower follows. but goes on. ", "Yes"],
    ],
)
def test_sentences_begin_where_a_reader_says(sentences):
    """Abbreviations, initials, numbers and enumerators end no sentence."""
    text = "".join(sentences)
    starts = [0, *sentence_starts(text, 0, len(text))]

    assert [text[start:end] for start, end in zip(starts, [*starts[1:], len(text)], strict=True)] == sentences


def test_only_the_asked_stretch_is_read():
    """Offsets are those of the whole text."""
    text = "A. One. Two. Three."

    assert list(sentence_starts(text, 3, 12)) == [8]
