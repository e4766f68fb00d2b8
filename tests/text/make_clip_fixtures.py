#!/usr/bin/env python3
"""Writes tests/text/data/clip: a small CLIP vocabulary of our own lines, and what transformers' CLIPTokenizer makes of
hard strings (pip install transformers tokenizers; make_fixtures.py's packages)."""
import json
import random
from pathlib import Path

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import CLIPTokenizer

from make_fixtures import HARD, LINES

DATA = Path(__file__).parent / "data" / "clip"
MORE = ["<|endoftext|>", "a<|startoftext|>b", "<|ENDOFTEXT|> x", "<|endoftext|", "A<|endoftext|>é<|endoftext|>\u0301",
        "İİıİSTANBUL", "ΑΣ ΣΑΣ", "Ǆ ǅ ǆ", "e\u0301 \u00e9 \u1e69 s\u0323\u0307", "\uac00 \u1100\u1161", "\u212b \u00c5", "'S 'LL 'tis don'T 'dx",
        "a''s''ll", "3.14 2½ ⅷ ²³ ٣٤ 一二三", "a_b-c+d=e", "!!!???...", "x" * 1500, "ab" * 700, "🤦🏽‍♂️🏴󠁧󠁢󠁥󠁮󠁧󠁿", "\x1c\x1d\x1e\x1f\x85\u180e\u2060",
        "\u0300\u0301", "क्षि ด้วย", "ﷺ ﬁ", "\ufeffa", "a\u00adb", "ẞßſ", "K\u212a", "ªº", "ⓐⒶ", "Ⅷⅷ", "𝐀𝔞𝟘", "\U000e0041", "_", "'", "''",
        "don't won't I'll he'd we've they're I'm it's", "\u2019s", "naïve façade", "Straße GROẞ", "ǰ̱", "\ud7a3\u11a8"]


def train():
    tokenizer = Tokenizer(models.BPE(continuing_subword_prefix="", end_of_word_suffix="</w>"))
    plain = CLIPTokenizer()
    tokenizer.normalizer = plain.backend_tokenizer.normalizer
    tokenizer.pre_tokenizer = plain.backend_tokenizer.pre_tokenizer
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=900, initial_alphabet=alphabet, end_of_word_suffix="</w>", show_progress=False,
                                  special_tokens=[])
    tokenizer.train_from_iterator(LINES * 3, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    # As OpenAI's: every byte, every byte at a word's end, the merges' results, the two marks.
    letters = sorted(alphabet)
    pieces = letters + [a + "</w>" for a in letters]
    merges = [m if isinstance(m, str) else " ".join(m) for m in model["merges"]]
    pieces += [m.replace(" ", "") for m in merges]
    pieces = list(dict.fromkeys(pieces)) + ["<|startoftext|>", "<|endoftext|>"]
    return {p: i for i, p in enumerate(pieces)}, merges


def strings():
    """HARD, MORE, and mixtures of their parts: words, spaces, marks and characters of every plane."""
    g = random.Random(3)
    words = [w for line in HARD + MORE for w in line.split() if len(w) < 40]
    ranges = [(0x20, 0x7f), (0xa0, 0x250), (0x300, 0x370), (0x370, 0x530), (0x590, 0x700), (0x900, 0xe80), (0x1e00, 0x2000),
              (0x2000, 0x2300), (0x3000, 0x3100), (0x4e00, 0x4f00), (0xac00, 0xac80), (0xff00, 0xffef), (0x1d400, 0x1d7ff),
              (0x1f300, 0x1f650)]
    out = HARD + MORE
    for _ in range(420):
        parts = []
        for _ in range(g.randint(1, 9)):
            kind = g.random()
            if kind < 0.6:
                parts.append(g.choice(words))
            elif kind < 0.9:
                parts.append("".join(chr(g.randrange(*g.choice(ranges))) for _ in range(g.randint(1, 5))))
            else:
                parts.append(g.choice(["<|endoftext|>", "'ll", "\u3000", "\n\t", "  "]))
        out.append(g.choice(["", " "]).join(parts))
    return out


def main():
    DATA.mkdir(exist_ok=True)
    vocab, merges = train()
    (DATA / "vocab.json").write_text(json.dumps(vocab, ensure_ascii=False, separators=(",", ":")) + "\n")
    (DATA / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n")
    theirs = CLIPTokenizer(vocab=vocab, merges=[tuple(m.split(" ")) for m in merges])
    theirs.backend_tokenizer.save(str(DATA / "tokenizer.json"))
    texts = strings()
    cases = [[text, theirs(text, add_special_tokens=False).input_ids] for text in texts]
    assert len(cases) >= 500
    (DATA / "ids.json").write_text(json.dumps(cases, separators=(",", ":")) + "\n")
    print(len(vocab), len(merges), len(cases))


if __name__ == "__main__":
    main()
