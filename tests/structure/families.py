#!/usr/bin/env python3
"""Reads the runtime's sources and fails where one knows a model: a family's name, a component's name, a tokenizer, or
a constant that a recipe states. What differs from model to model stands in the model file.

The names are read from models/: its folders, and the names that builders give their graphs. Constants are those that
a family's sources give to fields of a recipe.
"""
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Families that people ask for and their tokenizers, whether or not they are in models/ yet.
KNOWN = {"ltx", "hunyuan", "minimax", "sora", "flux", "mochi", "cogvideo", "umt5", "gemma", "qwen", "clip_l", "byt5",
         "dac", "bigvgan"}
# The commands name what they convert from, and what is built in.
EXCEPT = {"runtime/c/convert.cc", "runtime/cli/convert.cc", "runtime/cli/models.cc"}
BUILDER = re.compile(r'Builder\w*\s*\w*\(\s*(?:config,\s*)?"(\w+)"|\bb_\("(\w+)"|\(config, "(\w+)"\)')
# Words that a component may be called by and that mean something else too.
COMMON = {"decoder", "encoder", "clip"}
# What holds such a word and is no model's.
OTHERS = re.compile(r"dolby[ _]vision", re.IGNORECASE)
# What only a file may state: mask values, ids, counts of channels.
STATED = re.compile(r"\b\w*(mask|bos|eos|pad_id|channels|latents?_(?:mean|std))\w*\s*=\s*(-?\d+(?:\.\d+)?)f?\b",
                    re.IGNORECASE)
# Zero, one and minus one are what "none", "known" and "absent" begin with.
NEUTRAL = {0.0, 1.0, -1.0}


def model_names():
    names = {p.name for p in (ROOT / "models").iterdir() if p.is_dir()} | KNOWN
    for source in (ROOT / "models").rglob("*.cc"):
        for groups in BUILDER.findall(source.read_text()):
            names |= {g for g in groups if g}
    return names - COMMON


def violations(path, text, names):
    bad = []
    word = re.compile(r"(?<![A-Za-z0-9])(" + "|".join(sorted(map(re.escape, names))) + r")(?![A-Za-z])", re.IGNORECASE)
    for number, line in enumerate(text.splitlines(), 1):
        line = re.sub(r"(?<!:)//.*", "", line)  # a comment may cite where something comes from
        line = OTHERS.sub("", line)
        for found in word.findall(line):
            bad.append(f"{path}:{number}: names the model part '{found}': {line.strip()}")
        if not path.startswith("runtime/engine"):
            continue
        for what, value in STATED.findall(line):
            if float(value) not in NEUTRAL:
                bad.append(f"{path}:{number}: states {what} = {value}, which is a recipe's to say: {line.strip()}")
    return bad


def self_test(names):
    """Planted knowledge must be found, and ordinary words must not."""
    if not {"toybox", "dit", "wan", "tae_decoder", "text_encoder", "codec_encoder"} <= names:
        sys.exit(f"self-test: names of families and components were not found in models/: {sorted(names)}")
    cases = [
        ("runtime/engine/a.cc", 'phase("tae_decoder")', 1),
        ("runtime/engine/a.cc", "// Wan's own formula", 0),
        ("runtime/engine/a.cc", 'if (name == "wan2.1")', 1),
        ("runtime/engine/a.cc", "inline constexpr float kMaskFirstFrame = 0.5f;", 1),
        ("runtime/engine/a.cc", "constexpr int kByteBos = 256;", 1),
        ("runtime/engine/a.cc", "const int channels = 16;", 1),
        ("runtime/engine/a.cc", "int64_t channels = 0; bool wanted = edit(auditor);", 0),
        ("runtime/cli/a.cc", "app.add_option(\"--dit\")", 1),
        ("runtime/media/a.cc", 'if (needs_dolby_vision(s)) return phase("vision");', 1),
    ]
    for path, text, expected in cases:
        found = violations(path, text, names)
        if len(found) != expected:
            sys.exit(f"self-test: {path} with {text}: {found}, expected {expected}")


def main():
    names = model_names()
    self_test(names)
    files = [p for e in ("h", "cc") for p in sorted((ROOT / "runtime").rglob(f"*.{e}"))]
    bad = []
    for path in files:
        name = str(path.relative_to(ROOT))
        if name not in EXCEPT:
            bad += violations(name, path.read_text(), names)
    print("\n".join(bad) if bad else f"{len(files)} files of the runtime know no model")
    sys.exit(1 if bad or not files else 0)


if __name__ == "__main__":
    main()
