"""Paths: each name is one segment, whatever it contains."""

from __future__ import annotations

import urllib.parse

import hypothesis
import pytest
from hypothesis import strategies as st

from sidecar_injector.kube import api

ANY_TEXT = st.text(alphabet=st.characters(), max_size=20) | st.sampled_from(
    ["..", ".", "../..", "a/b", "a?b", "a#b", "a%2Fb", "%2e%2e", "a b", "\r\nHost: x", "\ud800"]
)


@hypothesis.given(name=ANY_TEXT, namespace=ANY_TEXT)
def test_any_text_is_one_segment(name: str, namespace: str) -> None:
    path = api.DEPLOYMENTS.path(namespace=namespace, name=name, subresource="status")
    *prefix, first, plural, second, subresource = path.split("/")
    assert "/".join(prefix) == "/apis/apps/v1/namespaces"
    assert (plural, subresource) == ("deployments", "status")
    assert path.isascii()
    assert not set(path) & set("?# \r\n")
    assert not {first, second} & {".", ".."}
    for segment, text in ((first, namespace), (second, name)):
        assert urllib.parse.unquote(segment, errors="surrogatepass") == text


@pytest.mark.parametrize("text", ["", ".", "..", "a/b", "a%b", "a\nb", "a b", "a" * 254, "\ud800"])
def test_what_the_api_server_would_not_take_for_one_segment_is_refused(text: str) -> None:
    with pytest.raises(api.InvalidNameError):
        api.check_segment(text)


@pytest.mark.parametrize("text", ["web-0", "system:node-proxier", "a.b", "Über", "x" * 253])
def test_names_of_all_kinds_are_accepted(text: str) -> None:
    api.check_segment(text)
