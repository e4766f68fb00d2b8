#!/usr/bin/env python3
"""Writes tests/text/data: small SentencePiece models of our own lines, and what the libraries make of hard strings
(pip install sentencepiece transformers ftfy)."""
import html
import io
import json
import re
import tempfile
from pathlib import Path

import ftfy
import sentencepiece
from transformers import T5Tokenizer

DATA = Path(__file__).parent / "data"
LINES = """A red ball rolls over the green grass and stops at the wall.
Two small dogs run along the beach at sunset, slow motion, wide shot.
The camera moves slowly through an old library; dust floats in the light.
An old man laughs, then looks away. Close-up, soft light, 35 mm film.
Rain falls on a busy street at night, neon signs are mirrored in puddles.
A cat sleeps on a warm windowsill while snow falls outside.
Ein Vogel fliegt über den See, während der Nebel aufsteigt.
Un train traverse la forêt enneigée à l'aube, vue aérienne.
Una niña corre por el jardín con una cometa roja.
Кошка смотрит в окно, за окном идёт снег.
Старик рыбачит у реки ранним утром.
一只猫坐在窗台上看雪。 一艘小船在平静的湖面上漂过。
夕日の海辺を犬が走る。カメラはゆっくりと動く。
눈 내리는 거리를 고양이가 걷는다.
قطة تجلس قرب النافذة وتنظر إلى المطر.
ילד רץ בגן עם עפיפון אדום.
एक बिल्ली खिड़की पर बैठी है।
0123456789 1920x1080 24 fps 50% #1 (a) [b] {c} <d> "e" 'f' & + = ? !""".splitlines()

HARD = LINES + [
    "", " ", "\t\n ", "a", "  two  spaces  ", "line\nbreak\r\nand\rmore\u2028end\u0085", "tab\tin\vthe\fmiddle",
    "“curled” ‘quotes’ and ‚low‛ ones", "ﬁne ﬂow oﬀer ﬃ ﬄ ﬅ ﬆ Ĳssel ŉ ǆ", "ＦＵＬＬ　ＷＩＤＴＨ１２３！", "ﾊﾝｶｸ ｶﾀｶﾅ", "￦￥￡",
    "&lt;tag&gt; &amp;amp;amp; &quot;x&quot;", "&eacute;t&eacute; &copy; &notit; &not it &ampersand", "&#233;&#xe9;&#xE9 &#128;",
    "&#0; &#xd800; &#x110000; &#1; &#x1F600;", "<b>&amp;amp;</b> &lt;", "a\n<i>\n&amp;lt; later", "&unknown; & &; &# &#x &#x;",
    "&CounterClockwiseContourIntegral; &NotEqualTilde;", "&nbsp;space&ensp;en&#8203;zero", "\x1b[31mred\x1b[0m plain \x1b[",
    "bell\x07 null\x00 del\x7f bom\ufeff soft\u00ad hyphen", "\x80\x93\x94 c1", "zero\u200bwidth\u200djoin",
    "emoji 😀👍🏽 🇩🇪 👨‍👩‍👧‍👦 end", "math 𝒜𝓑 ∑∞≠", "x" * 300, "word " * 200, "é composed", "İstanbul ıI", "ß ẞ SS", "½ ² ™ ℃ №",
    "…—–-‐ ‑", "\u00a0nbsp\u3000ideographic\u202fnarrow", "1\u20442", "</s> <pad> <unk> ▁ under", "a▁b", "ΑΒΓ αβγ ς", "ไทย ภาษา",
    "\U0001F9D1\u200D\U0001F680 astronaut", "mixed 中文 and English и русский", "don't can't it's", "https://x.y/z?a=b&c=d&copy=1",
    "newline&#10;entity", "&lt;&lt;a&gt;&gt;", "&AMP; &LT &GT;", "a&b;c", "&thetasym; &thetasymx", "&#x26;amp;", "&amp;#38;lt;",
]


def clean(text):
    """diffusers' prompt_clean for Wan."""
    text = html.unescape(html.unescape(ftfy.fix_text(text))).strip()
    return re.sub(r"\s+", " ", text).strip()


def train(**options):
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(LINES * 3), model_writer=model, model_type="unigram", pad_id=0, eos_id=1, unk_id=2,
        bos_id=-1, character_coverage=1.0, num_threads=1, minloglevel=2, **options)
    return model.getvalue()


def compare_with_transformers(model):
    """The library that diffusers tokenizes with agrees, but for the names of control pieces, which it reads."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "spiece.model").write_bytes(model)
        theirs = T5Tokenizer.from_pretrained(folder, extra_ids=0)
        ours = sentencepiece.SentencePieceProcessor(model_proto=model)
        for text in map(clean, HARD):
            if "</s>" not in text:
                assert theirs(text).input_ids == ours.encode(text) + [1], (text, theirs(text).input_ids, ours.encode(text))


def main():
    DATA.mkdir(exist_ok=True)
    models = {"bytes": train(vocab_size=520, byte_fallback=True),
              "identity": train(vocab_size=270, normalization_rule_name="identity")}
    out = {"clean": [[text, clean(text)] for text in HARD], "tokens": {}}
    for name, model in models.items():
        (DATA / f"{name}.model").write_bytes(model)
        library = sentencepiece.SentencePieceProcessor(model_proto=model)
        out["tokens"][name] = [[clean(text), library.encode(clean(text))] for text in HARD]
    (DATA / "text.json").write_text(json.dumps(out, separators=(",", ":")) + "\n")
    compare_with_transformers(train(vocab_size=270))


if __name__ == "__main__":
    main()
