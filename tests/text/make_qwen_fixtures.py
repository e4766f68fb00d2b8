#!/usr/bin/env python3
"""Writes tests/text/data/qwen: a small vocabulary of our own lines in the form of Qwen's, and what transformers'
Qwen2Tokenizer makes of hard strings (pip install transformers tokenizers; make_fixtures.py's packages)."""
import json
import random
from pathlib import Path

from tokenizers import Tokenizer, models, trainers, pre_tokenizers
from transformers import Qwen2TokenizerFast

from make_clip_fixtures import MORE
from make_fixtures import HARD, LINES

DATA = Path(__file__).parent / "data" / "qwen"
ADDED = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<tool_call>"]
SPACES = ["a\n\nb", "a \n b", "a\r\n\r\nb  ", "  \n\n  x", "\n", " \n", "x\t\ty", "x  1", "x   !", "!\n\n!", " !!\r\n\n a",
          "a\u3000\u3000b", "1 2  3", "\u00a0\u00a0é", "tab\tx", "don'T 'ſ 'LLama", "'reve", "x'\u017f", " 's", "''s", "?'d",
          "<|im_end|><|im_end|>", "a<|im_start|>b<tool_call>", "<|im_end", "<|endoftext|>\n\n x", "(a)b", "#tag @x _y",
          "\u2028a", "\u0301a", "१२३ क्षि", "x\u200bx", "\ufeffx"]


def mixtures(seed, marks):
    """420 texts of words, characters of many scripts, and marks."""
    g = random.Random(seed)
    words = [w for line in HARD + MORE for w in line.split() if len(w) < 40]
    texts = []
    for _ in range(420):
        parts = []
        for _ in range(g.randint(1, 9)):
            kind = g.random()
            if kind < 0.5:
                parts.append(g.choice(words))
            elif kind < 0.7:
                parts.append("".join(chr(g.choice([g.randrange(0x20, 0x7f), g.randrange(0xa0, 0x530), g.randrange(0x900, 0xe80),
                                                   g.randrange(0x2000, 0x2300), g.randrange(0x4e00, 0x4f00)]))
                                     for _ in range(g.randint(1, 5))))
            else:
                parts.append(g.choice(marks))
        texts.append(g.choice(["", " "]).join(parts))
    return texts


def main():
    DATA.mkdir(exist_ok=True)
    plain = Qwen2TokenizerFast(vocab={"a": 0}, merges=[])
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = plain.backend_tokenizer.normalizer
    tokenizer.pre_tokenizer = plain.backend_tokenizer.pre_tokenizer
    tokenizer.train_from_iterator(LINES * 3, trainers.BpeTrainer(
        vocab_size=520, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    model = json.loads(tokenizer.to_str())["model"]
    merges = [tuple(m) if isinstance(m, list) else tuple(m.split(" ")) for m in model["merges"]]
    theirs = Qwen2TokenizerFast(vocab=model["vocab"], merges=merges, unk_token=None, eos_token="<|endoftext|>",
                                pad_token="<|endoftext|>", additional_special_tokens=ADDED[1:])
    theirs.backend_tokenizer.save(str(DATA / "tokenizer.json"), pretty=False)
    texts = HARD + MORE + SPACES + mixtures(5, ADDED + ["'ll", "\u3000", "\n\t", "  ", "\r\n", " \n", "\n\n", "'S", "12"])
    cases = [[text, theirs(text, add_special_tokens=False).input_ids] for text in texts]
    assert len(cases) >= 500
    (DATA / "ids.json").write_text(json.dumps(cases, separators=(",", ":")) + "\n")
    print(len(model["vocab"]), len(merges), len(cases), len(theirs))


if __name__ == "__main__":
    main()
