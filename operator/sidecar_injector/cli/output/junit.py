"""JUnit XML, as CI systems read it.

https://github.com/testmoapp/junitxml
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final
from xml.etree import ElementTree

_NOT_IN_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""https://www.w3.org/TR/xml/#charsets"""


def text(suites: Mapping[str, Mapping[str, str]], *, name: str) -> bytes:
    """The document with the tests of suites; each is its failure, empty if it has passed."""
    root = ElementTree.Element("testsuites", name=name)
    for suite, tests in suites.items():
        place = _printable(suite)
        element = ElementTree.SubElement(root, "testsuite", name=place)
        for test, problem in tests.items():
            attributes = {"classname": place, "name": _printable(test)}
            case = ElementTree.SubElement(element, "testcase", attributes)
            if problem:
                failure = ElementTree.SubElement(case, "failure", message="not as expected")
                failure.text = _printable(problem)
    for element in (root, *root):
        element.set("tests", str(len(element.findall(".//testcase"))))
        element.set("failures", str(len(element.findall(".//failure"))))
    ElementTree.indent(root)
    content: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return content + b"\n"


def _printable(value: str) -> str:
    return _NOT_IN_XML.sub("\N{REPLACEMENT CHARACTER}", value)
