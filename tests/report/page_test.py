#!/usr/bin/env python3
"""Parses a page that report_test writes, with Python's parsers: tags close, every picture decodes, nothing is asked of
the network, and strings of the data stay text."""
import base64
import os
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser

VOID = {"meta", "img", "br"}
# What may make a browser fetch, follow or run something.
LOADS = {"src", "href", "srcset", "action", "data", "poster", "background", "xlink:href"}


class Checker(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.faults, self.tags, self.images, self.text = [], [], {}, [], ""

    def handle_starttag(self, tag, attrs):
        self.tags[tag] = self.tags.get(tag, 0) + 1
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name.startswith("on"):
                self.faults.append(f"{tag} has {name}")
            if name in LOADS:
                if tag == "img" and name == "src" and value.startswith("data:image/png;base64,"):
                    self.images.append(base64.b64decode(value.split(",")[1], validate=True))
                else:
                    self.faults.append(f"{tag} asks for {value}")

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.faults.append(f"</{tag}> closes something else at {self.getpos()}")

    def handle_data(self, data):
        self.text += data


def main():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "page.html")
        subprocess.run([sys.argv[1], "--test-case=a page with every kind of section"], check=True,
                       env={**os.environ, "ZOETROPE_REPORT_PAGE": path}, stdout=subprocess.DEVNULL)
        page = open(path, encoding="utf-8").read()  # strict: fails where it is not UTF-8
        svg = open(path + ".svg", encoding="utf-8").read()
    checker = Checker()
    checker.feed(page)
    checker.close()
    faults = checker.faults + [f"<{tag}> stays open" for tag in checker.open]
    for tag in ("script", "link", "iframe", "object", "embed", "form", "base"):
        if tag in checker.tags:
            faults.append(f"there is a <{tag}>")
    if len(checker.images) != 2 or not all(image.startswith(b"\x89PNG\r\n\x1a\n") for image in checker.images):
        faults.append("two PNG images were given")
    if checker.tags.get("svg") != 7:
        faults.append(f"seven plots were given, not {checker.tags.get('svg')}")
    for plot in re.findall(r"<svg.*?</svg>", page, re.DOTALL) + [svg]:
        ElementTree.fromstring(plot)  # SVG is XML: stricter than HTML
        for number in re.findall(r'\s(?:x|y|width|height|cx|cy|x1|x2|y1|y2)="([^"]*)"', plot):
            float(number.rstrip("%"))
    style = re.search(r"<style>(.*?)</style>", page, re.DOTALL).group(1)
    if "prefers-color-scheme:dark" not in style or re.search(r"url\(|@import", style):
        faults.append("the style lacks the dark look, or asks for something")
    if "default-src 'none'" not in page or "width=device-width" not in page:
        faults.append("the head lacks the policy or the phone's width")
    if "http://a.example/x" not in checker.text:
        faults.append("a given text is not shown")
    print("\n".join(faults) if faults else f"a page of {len(page)} bytes, {sum(checker.tags.values())} elements: sound")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
