"""A report as a browser's parser reads it."""

import base64
import io
import re
from collections.abc import Iterator
from xml.etree.ElementTree import Element

import html5lib

from curation.report import page
from curation.report.page import Report
from curation.run.layout import RunFolder


def build_page(run: RunFolder, clips: int = 60) -> Report:
    return page.build_report(run, clips, lambda done, total: None)


def parsed(html: str) -> Element:
    """The tree of a page; raises where it is not HTML as the standard writes it."""
    parser = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False)
    root: Element = parser.parse(html)
    return root


def text(root: Element) -> str:
    """All that a reader reads, its blanks made one."""
    return re.sub(r"\s+", " ", " ".join(_texts(root)))


def _texts(element: Element) -> Iterator[str]:
    if element.tag not in ("style", "script"):
        yield element.text or ""
        for child in element:
            yield from _texts(child)
            yield child.tail or ""


def clips(root: Element) -> dict[str, list[Element]]:
    """The example clips, by group."""
    return {
        section.attrib["data-stratum"]: section.findall("article")
        for section in root.iter("section")
        if "data-stratum" in section.attrib
    }


def title(clip: Element) -> str:
    return " ".join(clip.find("h4").itertext()).strip()  # type: ignore[union-attr]


def data(element: Element) -> io.BytesIO:
    """What the data URI of an element holds."""
    kind, _, content = element.attrib["src"].partition(";base64,")
    assert kind.startswith("data:")
    return io.BytesIO(base64.b64decode(content))


def addresses(root: Element) -> Iterator[str]:
    """Whatever a browser might fetch or go to."""
    for element in root.iter():
        for name, value in element.attrib.items():
            if str(name).rpartition("}")[2] in ("src", "href", "srcset", "action", "poster"):
                yield value
