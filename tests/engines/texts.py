"""Texts of many kinds and lengths, to compare tokenizers and embedders on."""

from __future__ import annotations

from itertools import islice

#: Prose, questions, code, numbers, other scripts, emoji, combining marks, white space and what tokenizers stumble over.
SEEDS = (
    "The confluence of two rivers is called an inver in Gaelic place names.",
    "Where do the waters of the Ness reach the sea?",
    "def reciprocal_rank(rank: int, k: int = 60) -> float:\n    return 1.0 / (k + rank)",
    "SELECT id, version FROM manifests WHERE tenant = 'default' AND deleted IS NOT TRUE;",
    "At 37.5 °C and 101.325 kPa, 1,234,567 cells/ml (±5 %) were counted on 2024-02-29T23:59:60Z.",
    "Falsches Üben von Xylophonmusik quält jeden größeren Zwerg; Straße, Fuß, Maßstab.",
    "Le cœur déçu mais l'âme plutôt naïve, Louÿs rêva de crapaüter en canoë.",
    "Съешь же ещё этих мягких французских булок, да выпей чаю.",
    "Ξεσκεπάζω την ψυχοφθόρα βδελυγμία.",
    "いろはにほへと ちりぬるを。東京都千代田区で会議が開かれた。",
    "我能吞下玻璃而不伤身体。搜索引擎与向量数据库。",
    "키스의 고유조건은 입술끼리 만나야 하고 특별한 기술은 필요치 않다.",
    "نص حكيم له سر قاطع وذو شأن عظيم مكتوب على ثوب أخضر.",
    "עטלף אבק נס דרך מזגן שהתפוצץ כי חם.",
    "ऋषियों को सताने वाले दुष्ट राक्षसों के राजा रावण का सर्वनाश।",
    "เป็นมนุษย์สุดประเสริฐเลิศคุณค่า กว่าบรรดาฝูงสัตว์เดรัจฉาน",
    "Family: \U0001f468\u200d\U0001f469\u200d\U0001f467, flag: \U0001f1ee\U0001f1ea, heart: \u2764\ufe0f.",
    "Decomposed: e\u0301te\u0301, A\u030angstro\u0308m, q\u0307\u0323; composed: été, Ångström.",
    "Zero\u200bwidth, soft\u00adhyphen, no\u00a0break, narrow\u202fspace, bidi\u202emark\u202c, BOM\ufeff.",
    "ﬁne ﬂow ﬀ ½ ² ™ Ⅷ ㎏ ｆｕｌｌｗｉｄｔｈ İstanbul ıspanak ẞ",
    "https://example.org/a/b?c=d&e=%20f#g  user.name+tag@example.com  C:\\Temp\\x.txt  ::1  10.0.0.0/8",
    "pneumonoultramicroscopicsilicovolcanoconiosis Donaudampfschifffahrtsgesellschaftskapitän",
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    "\t tabs \r\n and \n\n newlines \x0b and \x0c more   spaces   ",
    "[CLS] special [SEP] tokens [MASK] written [PAD] out [UNK] and <s> </s> ##wordpiece",
    "!!! ??? ... --- *** ((( ))) {{{ }}} ### $$$ %%% ^^^ &&& ~~~ ``` ||| \\\\\\ «» “” ‘’ – — …",
    "don't can't won't it's O'Neill rock'n'roll e.g. i.e. U.S.A. Ph.D. 3rd 20% C++ C# .NET",
    "Interleukin-6 (IL-6) and TNF-α were up-regulated 2.5-fold (p < 0.001, n=48) in CD4+ T cells.",
)


def varied_texts(count: int = 200) -> list[str]:
    """Return so many different texts, from one word to about 120 tokens; the same ones every time."""
    return list(islice(_endlessly_varied(), count))


def _endlessly_varied():
    yield from SEEDS
    step = 1
    while True:
        for position, seed in enumerate(SEEDS):
            other = SEEDS[(position + step) % len(SEEDS)]
            words = seed.split(" ")
            yield f"{step}. {' '.join(words[: step + 1])} {other}" if step % 2 else f"{other}\n{seed} {step}"
        step += 1
