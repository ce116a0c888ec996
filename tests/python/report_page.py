"""The report as its tests look at it, and segmentations to make one of."""

from __future__ import annotations

import re
from base64 import b64decode
from collections import defaultdict
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pandas as pd

from massgraph.data.spectra import Spectra
from massgraph.evidence.evaluate import Evaluation
from massgraph.report.page import write_report
from massgraph.segmentation import Segmentation

VOID = {"meta", "img", "br", "link", "hr", "input", "col", "base"}


class Page(HTMLParser):
    """What a browser sees: text and images by section, tables by id; checks that tags nest."""

    def __init__(self, path: Path) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[tuple[str, str]] = []
        self.width = 0.0
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.words: dict[str, list[str]] = defaultdict(list)
        self.images: dict[str, list[dict[str, str]]] = defaultdict(list)
        self.tables: list[tuple[str, list[list[str]]]] = []
        self.raw = path.read_text(encoding="utf-8")
        self.feed(self.raw)
        self.close()
        assert self.open == [], "elements that are never closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        assert len(attributes) == len(attrs), f"an attribute of {tag} twice"
        self.tags.append((tag, attributes))
        if tag == "figure":
            width = re.fullmatch(r"--width: ([\d.]+)in", attributes["style"])
            assert width is not None
            self.width = float(width.group(1))
        if tag == "img":
            self.images[self.section].append(attributes | {"width": str(self.width)})
        if tag == "table":
            self.tables.append((attributes.get("id", self.section), []))
        if tag == "tr":
            self.tables[-1][1].append([])
        if tag in {"td", "th"}:
            self.tables[-1][1][-1].append("")
        if tag not in VOID:
            self.open.append((tag, attributes.get("id", "")))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"{tag} is closed but was never opened"
        opened, _ = self.open.pop()
        assert opened == tag, f"{tag} closes {opened}"

    def handle_data(self, data: str) -> None:
        self.words[self.section].append(data)
        if self.open and any(tag in {"td", "th"} for tag, _ in self.open):
            self.tables[-1][1][-1][-1] += data

    @property
    def section(self) -> str:
        names = [name for tag, name in self.open if tag == "section" and name]
        return names[0] if names else ""

    @property
    def sections(self) -> list[str]:
        return [a["id"] for tag, a in self.tags if tag == "section" and "id" in a]

    def text(self, section: str) -> str:
        assert section in self.sections
        text = " ".join("".join(self.words[section]).split())
        assert "  " not in text
        assert " ." not in text, text
        assert " ," not in text, text
        return text

    def table(self, name: str) -> list[list[str]]:
        found = [rows for key, rows in self.tables if key == name]
        assert len(found) == 1
        return found[0]

    def family_tables(self) -> list[list[list[str]]]:
        return [rows for key, rows in self.tables if key == "families"]


def assert_needs_nothing_but_itself(page: Page) -> None:
    """Nothing of it is run, and nothing loaded from elsewhere."""
    assert not {"script", "link", "iframe", "object", "embed", "base"} & {t for t, _ in page.tags}
    for tag, attributes in page.tags:
        for name, value in attributes.items():
            assert not name.startswith("on"), f"{tag} runs {name}"
            if name in {"src", "href", "srcset", "data", "poster"}:
                assert value.startswith("data:image/"), f"{tag} loads {value[:60]}"
    style = page.raw[page.raw.index("<style>") : page.raw.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style


def assert_pictures_are_whole(page: Page) -> None:
    """Each is an image that opens, fits the paper, and has a text of its own."""
    images = [image for found in page.images.values() for image in found]
    assert len(images) == len({image["alt"] for image in images} - {""})
    for image in images:
        assert 0.5 < float(image["width"]) <= 7.1, "wider than the text on A4"
        kind, data = image["src"].split(";base64,")
        content = b64decode(data, validate=True)
        if kind == "data:image/png":
            assert content.startswith(b"\x89PNG")
            continue
        assert kind == "data:image/svg+xml"
        drawing = ElementTree.fromstring(content)  # noqa: S314
        assert drawing.tag == "{http://www.w3.org/2000/svg}svg"
        for element in drawing.iter():
            for name, value in element.attrib.items():
                if name.endswith("href"):
                    assert value.startswith(("#", "data:image/png;base64,"))


def number(text: str) -> float:
    return float("nan") if text == "–" else float(text.replace("−", "-").replace(",", ""))


def page(segmentation: Segmentation, tmp_path: Path, **options: Any) -> Page:
    path = tmp_path / "report.html"
    write_report(segmentation, path, **options)
    return Page(path)


def without_explanation(segmentation: Segmentation, **changes: Any) -> Segmentation:
    """Quick to write: few pictures."""
    return replace(segmentation, explanation=None, **changes)


def small(n_classes: int = 2, n_pixels: int = 12, **changes: Any) -> Segmentation:
    """Segmentation without explanation, one run, pixels of class 0, 1, 2, ... in turn."""
    matrix = np.random.default_rng(0).uniform(1, 2, (n_pixels, 5))
    matrix[changes.pop("empty", [])] = 0
    spectra = Spectra.from_matrix(
        matrix,
        [100.5, 200.25, 300.125, 760.5851, 1234.56789],
        coordinates=np.column_stack([np.arange(n_pixels) % 4, np.arange(n_pixels) // 4]),
        run=changes.pop("run", np.full(n_pixels, "slide")),
    )
    probability = np.full((n_pixels, n_classes), 0.5 / n_classes)
    probability[np.arange(n_pixels), np.arange(n_pixels) % n_classes] += 0.5
    names = [f"c{index}" for index in range(n_classes)]
    return Segmentation.from_probability(spectra, names, probability, **changes)


def score_rows(seed: int) -> list[dict[str, Any]]:
    """Balanced accuracy of three models, one of them a part of the default."""
    values = {"massgraph": (0.9, 0.81), "massgraph: no relations": (0.99, 0.99), "lda": (0.91, 0.5)}
    faults = (("clean", "clean", 0.0), ("keep 50 %", "keep", 50.0))
    return [
        {
            "seed": seed,
            "model": model,
            "fault": fault,
            "kind": kind,
            "strength": strength,
            "balanced_accuracy": value - 0.002 * seed,
        }
        for model, of_model in values.items()
        for (fault, kind, strength), value in zip(faults, of_model, strict=True)
    ]


def evaluation() -> Evaluation:
    """Two seeds of three models: the default loses clean and wins with half of the peaks."""
    none = pd.DataFrame()
    scores = pd.DataFrame([*score_rows(0), *score_rows(1)])
    return Evaluation(("a", "b"), scores, none, none, none, 0.25)
