"""The pictures of the documents are what the code prints today, and need no network."""

from __future__ import annotations

import re
import xml.etree.ElementTree

import pytest

from tools import pictures


@pytest.mark.parametrize("name", ["pod.svg", "way.svg", "terminal.svg"])
def test_a_picture_is_up_to_date_and_refers_to_nothing_outside(name: str) -> None:
    text = (pictures.FOLDER / name).read_text(encoding="utf-8")
    assert text == pictures.pictures()[name]
    root = xml.etree.ElementTree.fromstring(text)
    assert root.tag.endswith("svg")
    addresses = set(re.findall(r"(?:https?:|url\()[^\s'\")]*", re.sub("<!--.*?-->", "", text)))
    assert addresses <= {"http://www.w3.org/2000/svg", *(a for a in addresses if a[:5] == "url(#")}


def test_every_part_that_the_pod_had_is_in_the_second_column() -> None:
    texts = re.findall(r"<text[^>]*>([^<]*)</text>", pictures.pod())
    assert texts.count("container alpine") == 2
    assert texts.count("container sidecar-nginx") == 1


def test_each_line_of_the_recording_appears_within_twenty_seconds() -> None:
    picture = pictures.terminal()
    appears = dict(re.findall(r"#(terminal-line-\d+)\)'\] \{ .* ([\d.]+)s backwards", picture))
    assert appears.keys() == set(re.findall(r'clip-path="url\(#(terminal-line-\d+)\)"', picture))
    seconds = [float(second) for second in appears.values()]
    assert seconds == sorted(seconds)
    assert seconds[0] == 0
    assert 15 <= seconds[-1] <= 20


def test_the_picture_of_the_playground_is_of_the_page_as_it_is_and_small() -> None:
    picture = (pictures.FOLDER / pictures.PLAYGROUND).read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert b"tEXt" + pictures.SOURCE + b"\0" + pictures.page_digest() in picture, "make pictures"
    assert len(picture) < 200_000
