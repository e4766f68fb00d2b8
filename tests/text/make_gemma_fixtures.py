#!/usr/bin/env python3
"""Writes tests/text/data/gemma: a small vocabulary of our own lines in the form of Gemma 4's tokenizer.json, and what
transformers' GemmaTokenizer makes of hard strings (pip install transformers tokenizers; make_fixtures.py's packages)."""
import json
from pathlib import Path

from tokenizers import Tokenizer, models, normalizers, processors, trainers
from transformers import GemmaTokenizer

from make_clip_fixtures import MORE
from make_fixtures import HARD, LINES
from make_qwen_fixtures import SPACES, mixtures

DATA = Path(__file__).parent / "data" / "gemma"
SPECIAL = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"]
ADDED = ["<start_of_turn>", "<end_of_turn>", "\n\n", "\t", "\u2581\u2581\u2581", "<table>"]


def made():
    """Pieces of whole lines, as Gemma's: spaces are a letter, and nothing is cut before pieces are joined."""
    trained = Tokenizer(models.BPE())
    trained.normalizer = normalizers.Replace(" ", "\u2581")
    trained.train_from_iterator([line[:60] for line in LINES * 3], trainers.BpeTrainer(
        vocab_size=420, limit_alphabet=90, max_token_length=12, show_progress=False))
    model = json.loads(trained.to_str())["model"]
    vocab = {piece: i for i, piece in enumerate(SPECIAL + [f"<0x{b:02X}>" for b in range(256)])}
    for piece in model["vocab"]:
        vocab.setdefault(piece, len(vocab))
    merges = [tuple(m) if isinstance(m, list) else tuple(m.split(" ")) for m in model["merges"]]
    theirs = GemmaTokenizer(vocab=vocab, merges=merges, additional_special_tokens=ADDED[:2])
    theirs.backend_tokenizer.add_tokens(ADDED[2:])
    theirs.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A", special_tokens=[("<bos>", 2)])
    return theirs, len(vocab), len(merges)


def main():
    DATA.mkdir(exist_ok=True)
    theirs, pieces, merges = made()
    theirs.backend_tokenizer.save(str(DATA / "tokenizer.json"), pretty=False)
    file = json.loads((DATA / "tokenizer.json").read_text())
    for token in file["added_tokens"]:  # as Gemma's file has them
        token["normalized"] = False
    (DATA / "tokenizer.json").write_text(json.dumps(file, ensure_ascii=False, separators=(",", ":")) + "\n")
    theirs = Tokenizer.from_file(str(DATA / "tokenizer.json"))
    texts = [t for t in HARD + MORE + SPACES if t] + mixtures(
        6, ADDED + SPECIAL + ["'ll", "\u3000", "\n\t", "  ", "    ", "\r\n", "\u2581", "<0x41>", "12"])
    cases = [[text, theirs.encode(text).ids] for text in texts]
    assert len(cases) >= 500 and all(ids[0] == 2 for _, ids in cases)
    (DATA / "ids.json").write_text(json.dumps(cases, separators=(",", ":")) + "\n")
    print(pieces, merges, len(cases), theirs.get_vocab_size())


if __name__ == "__main__":
    main()
