#!/usr/bin/env python3
"""Writes tables.inc: characters that cleaning replaces (pip install ftfy) and the names of HTML 5's entities."""
import html.entities
from pathlib import Path

from ftfy import fixes

FIXERS = [fixes.fix_c1_controls, fixes.fix_latin_ligatures, fixes.fix_character_width, fixes.uncurl_quotes,
          fixes.fix_line_breaks, fixes.remove_control_chars]


def literal(text):
    """A C++ string of UTF-8 bytes; octal escapes end by themselves."""
    return '"' + "".join(f"\\{b:03o}" if b < 32 or b > 126 or chr(b) in '"\\' else chr(b)
                         for b in text.encode()) + '"'


def lines(items):
    line = ""
    for item in items:
        if len(line) + len(item) + 1 > 116:
            yield line
            line = ""
        line += (" " if line else "") + item
    yield line


def replaced():
    for code in range(0x10000):
        if 0xD800 <= code < 0xE000:
            continue
        text = chr(code)
        for fix in FIXERS:
            text = fix(text)
        if text != chr(code):
            yield f"C({code:#x},{literal(text)})"


def entities():
    """3: known with a semicolon and without, 1: with one only."""
    html5 = html.entities.html5
    for name in sorted({n.rstrip(";") for n in html5}, key=str.encode):
        assert html5.get(name, html5[name + ";"]) == html5[name + ";"]
        yield f"E({literal(name)},{literal(html5[name + ';'])},{3 if name in html5 else 1})"


path = Path(__file__).with_name("tables.inc")
path.write_text("// make_tables.py wrote this. C(code point, what stands for it), E(name, text, 3: a browser knows it with a\n"
                "// semicolon and without, 1: only with one). Sorted.\n#ifdef C\n" + "\n".join(lines(replaced()))
                + "\n#endif\n#ifdef E\n" + "\n".join(lines(entities())) + "\n#endif\n")
