"""Manifests are read as kubectl reads them: both read the same text.

`kubectl label --local` prints any object as kubectl parsed it, without asking a server.
"""

from __future__ import annotations

import json
import subprocess

import pytest
import yaml

from sidecar_injector.cli.input import yaml_documents

HEAD = "apiVersion: example.com/v1\nkind: Anything\nmetadata: {name: it}\n"

LINES = (
    "1e3 1.0 1. 1.e3 .5 -.5 +.5 .5e3 .1_5 ._5 . .e3 1e 1e21 1e22 1e-7 5e-324 1e400 1e-400 -0 -0.0",
    "0. 0 00 0o17 017 0O17 0o8 08 0o_7 0_7 -0o17 0b1 0B11 -0b11 0b12 0x1F 0X1f 0x 0x1p3 1_000 1__0",
    "1_ _1 +12 9223372036854775807 -9223372036854775808 -9223372036854775809 18446744073709551615",
    "12345678901234567890123 0777777777777777777777777777 +0xFFFFFFFFFFFFFFFF 0xFFFFFFFFFFFFFFFF",
    "y Y yes Yes YES yEs n no NO on On oN off OFF true True TRUE tRue false ~ null Null NULL nUll",
    "12:30:45 1:30 190:20:30 2001-12-14 2001-1-1 2001-12-14t21:59:43.10-05:00 = << .Nan NaN",
    'Infinity inf + 1,000 10.0.0.1 1.2.3 v1 0.10 1e3x x#y a:b \'quoted\' "1e3" "\\x07\\e\\u00e9"',
    '"" é \U0001f600 x\u00a0y',
)
TAGGED = (
    "!!str 12", "!!int '12'", "!!float 3", "!!bool yes", "!!null ~", "!!binary aGk=", "!other text",
    "! 12", "!!timestamp 2001-01-01",
)  # fmt: skip
SCALARS = [word for line in LINES for word in line.split(" ")] + list(TAGGED)

STRUCTURES = {
    "merge-overrides-what-stands-before": "p: 1\n<<: {p: 2, q: 3}\n",
    "merge-is-overridden-by-what-follows": "<<: {p: 2}\np: 1\n",
    "merge-of-several": "<<: [{p: 1}, {p: 2, q: 3}]\n",
    "merge-of-an-alias": "base: &b {p: 1}\nover:\n  <<: *b\n  q: 2\n",
    "merge-quoted": '"<<": {p: 1}\n',
    "anchor": "p: &a [1, {x: 1e3}]\nq: *a\n",
    "anchor-of-a-scalar": "p: &a 1e3\nq: *a\n",
    "anchor-given-anew": "p: &a 1\nq: &a 2\nr: *a\n",
    "duplicate-key": "p: 1\np: 2\n",
    "keys": "1: a\ntrue: b\n0o17: c\n2001-01-01: d\n",
    "keys-that-are-words": "n: a\nyes: b\nnot: c\n",
    "empty": "p:\nq: []\nr: {}\ns: ''\n",
    "flow": "p: {x, y: [a, b: c], z: }\n",
    "flow-colons-without-a-value": "p: {a:, b:c, d: e:f:}\nq: [a:, {b: http://x:}]\n",
    "text-after-empty-lines": "p: |\n\n  a\nq: |+\n  b\n\n\nr: >2-\n    c\n   d\n",
    "flow-colons": "p: {a: b:, c:, d: [e:], f: 'g:'}\nq: [x::, é:, \U0001f600:, h: i]\n",
    "literal": "p: |\n  a\n   b\n\n  c\nq: |-\n  a\nr: |+\n  a\n\n",
    "folded": "p: >\n  a\n  b\n\n  c\n   d\nq: >-\n  a\n  b\n",
    "multi-line-plain": "p: a\n  b\n\n  c\n",
    "multi-line-quoted": "p: \"a \\\n  b\n  c\"\nq: 'a\n\n  b'\n",
    "comments": "p: a # b\nq: 'a # b' # c\n# d\n",
    "dashes-in-text": "p: |\n  ---\n  x\nq: a ---\n",
    "tabs": "p:\t1\nq: \tx\n",
    "windows": "p: 1\r\nq: |\r\n  a\r\n  b\r\n",
    "question-mark": "? p\n: 1\n? q\n",
    "set": "p: !!set {a, b}\n",
}

REFUSED = {
    "nan": "p: .nan\n",
    "infinity": "p: -.inf\n",
    "contains-itself": "p: &a [*a]\n",
    "unknown-alias": "p: *a\n",
    "merge-of-a-number": "<<: 3\n",
    "key-null": "~: 1\n",
    "key-list": "? [a]\n: 1\n",
    "key-too-large": "18446744073709551615: 1\n",
    "wrong-tag": "p: !!int 1.5\n",
    "not-base64": "p: !!binary x\n",
    "half-a-pair": 'p: "\\ud83d"\n',
    "at": "p: @x\n",
    "backtick": "p: `x\n",
    "unclosed": "p: [1\n",
    "control-character": "p: \x07\n",
    "tab-as-indentation": "p:\n\tq: 1\n",
    "text-after-the-dashes": "p: 1\n--- q\n",
    "two-keys-on-a-line": "p: q: 1\n",
}

STREAMS = {
    "separators": f"---\n{HEAD}p: 1\n--- # comment\n{HEAD}p: 2\n---   \n",
    "empty-documents": f"# nothing\n---\n---\n{HEAD}p: 1\n---\n# nothing\n",
    "windows": f"{HEAD}p: 1\n---\n{HEAD}p: 2\n".replace("\n", "\r\n"),
    "json-after-json": '{"apiVersion": "v1", "kind": "A", "p": 1.0}' * 2,
    "json-between-dashes": '{"apiVersion": "v1", "kind": "A", "p": 1.0}\n---\n' * 2,
    "json-with-tabs": '{\n\t"apiVersion": "v1",\n\t"kind": "A", "p": [1e3, 1E2]}',
    "json-with-a-pair": '{"apiVersion": "v1", "kind": "A", "p": "\\ud83d\\ude00"}',
    "flow-mapping": "{apiVersion: v1, kind: A, p: yes}\n",
    "text-without-a-last-line-break": f"{HEAD}p: |\n  a\n  b",
    "folded-text-without-a-last-line-break": f"{HEAD}---\n{HEAD}p: >+\n  a",
    "text-that-ends-in-spaces": f"{HEAD}p: |\n  a\n   ",
    "byte-order-mark": f"\ufeff{HEAD}p: 1\n",
}


@pytest.fixture
def kubectl(programs):
    """The objects that kubectl reads from a text; None where it refuses the text."""

    def parse(text):
        result = subprocess.run(
            [programs.kubectl, "label", "--local", "-f", "-", "-o", "json", "seen=yes"],
            input=text.encode(), capture_output=True, env={"KUBECONFIG": "/dev/null"},
            check=False, timeout=60,
        )  # fmt: skip
        if result.returncode:
            return None
        objects, rest = [], result.stdout.decode()
        while rest := rest.lstrip():
            item, length = json.JSONDecoder(parse_int=number).raw_decode(rest)
            item["metadata"].pop("labels")
            objects.append(item)
            rest = rest[length:]
        return objects

    return parse


def number(digits):
    """Beyond 64 bits kubectl has a float, and prints fewer digits of it than Python does."""
    value = int(digits)
    return value if -(2**63) <= value < 2**63 else float(value)


def ours(text):
    documents = [document for document in yaml_documents.load_all(text) if document is not None]
    for document in documents:
        document.setdefault("metadata", {})
    return documents


def test_scalars_mean_what_they_mean_to_kubectl(kubectl):
    text = HEAD + "values:\n" + "".join(f"- {scalar}\n" for scalar in SCALARS)
    (theirs,), (mine,) = kubectl(text), ours(text)
    pairs = zip(SCALARS, theirs["values"], mine["values"], strict=True)
    # Python's True is equal to 1.
    assert [
        (scalar, their_value, our_value)
        for scalar, their_value, our_value in pairs
        if their_value != our_value or isinstance(their_value, bool) != isinstance(our_value, bool)
    ] == []


@pytest.mark.parametrize("text", STRUCTURES.values(), ids=STRUCTURES)
def test_structures_mean_what_they_mean_to_kubectl(kubectl, text):
    assert ours(HEAD + text) == kubectl(HEAD + text)


@pytest.mark.parametrize("text", STREAMS.values(), ids=STREAMS)
def test_streams_are_cut_as_kubectl_cuts_them(kubectl, text):
    objects = kubectl(text)
    assert objects
    assert ours(text) == objects


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED)
def test_what_kubectl_refuses_is_refused(kubectl, text):
    assert kubectl(HEAD + text) is None
    with pytest.raises(yaml.YAMLError):
        ours(HEAD + text)


def printed(text):
    """The text of the values with the styles that they were read with."""
    values = list(yaml_documents.load_written(text))
    return yaml_documents.dump_all([value for value, _ in values], [each for _, each in values])


STYLES = [*STRUCTURES.values(), *(f"p:\n  - {word}\n" for word in SCALARS if word not in TAGGED)]


def test_what_is_printed_as_it_was_written_is_read_by_kubectl_as_the_same(kubectl):
    for text in [text for text in STYLES if can_be_printed(text)]:
        again = printed(HEAD + text)
        assert printed(again) == again
        assert list(yaml_documents.load_all(again)) == list(yaml_documents.load_all(HEAD + text))
    texts = [printed(f"---\n{HEAD}{text}") for text in STYLES if can_be_printed(text)]
    assert kubectl("".join(texts)) == ours("".join(texts))


def can_be_printed(text):
    """Whether kubectl reads it at all."""
    try:
        ours(HEAD + text)
    except yaml.YAMLError:
        return False
    return True


def test_what_we_write_is_read_by_kubectl_as_the_same(kubectl):
    texts = [scalar.strip("'\"") for scalar in SCALARS] + [
        "", " lead", "trail ", "two\nlines", "two\nlines\n\n", "\nfirst", "  in\nout", "tab\t",
        "\t", "trailing \nspace", "\x07\x1b\x7f\x85\u2028\ufeff", "a\r\nb", "x" * 300, "word " * 60,
        "- a", "a: b", "a #b", "#", "&a", "*a", "!a", "@", "%", "{", "[", "'", '"', "\\", "---",
        "...", "\x00",
    ]  # fmt: skip
    values = [True, None, 0, -1, 1.5, 1e21, 1e-7, 2**63 - 1, {"a": []}, [{}]]
    document = {
        "apiVersion": "example.com/v1", "kind": "Anything", "metadata": {},
        "texts": texts, "keys": {text: text for text in texts}, "values": values,
    }  # fmt: skip
    assert kubectl(yaml_documents.dump_all([document, document])) == [document, document]
