"""The page of the playground in a real browser, with a real cluster to choose from."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Iterator

import pytest

from sidecar_injector.cli.cluster import errors
from tests.kits import controlplane_cli as cli
from tests.kits import product as kit
from tools import browser, thirdparty

WIDTHS = (1280, 800)
SCHEMES = ("light", "dark")
HEADLINE = "document.getElementById('headline').textContent"
RESULT = "document.getElementById('result').innerText"
CUT = """
[...document.querySelectorAll('body *')].filter((element) => {
  const box = element.getBoundingClientRect();
  if (!box.width || element.tagName === 'OPTION') return false;
  const isCut = getComputedStyle(element).display !== 'inline'
    && element.scrollWidth > element.clientWidth + 1;
  return box.left < 0 || box.right > document.documentElement.clientWidth + 0.5
    || (isCut && element.clientWidth > 0);
}).map((element) => element.outerHTML.slice(0, 200))
"""
"""What is wider than the window or than its own box."""
PALE = """
(() => {
  const numbers = (colour) => colour.match(/[0-9.]+/g).map(Number);
  const light = (colour) => {
    const [red, green, blue] = numbers(colour).map((value) => value / 255)
      .map((value) => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const back = (element) => {
    const colour = getComputedStyle(element).backgroundColor;
    return numbers(colour)[3] === 0 && element.parentElement ? back(element.parentElement) : colour;
  };
  const contrast = (element) => {
    const both = [getComputedStyle(element).color, back(element)].map(light).sort((a, b) => b - a);
    return (both[0] + 0.05) / (both[1] + 0.05);
  };
  return [...document.querySelectorAll('body *')]
    .filter((element) => element.innerText && element.offsetParent && contrast(element) < 4.5)
    .map((element) => `${contrast(element)} ${element.outerHTML.slice(0, 200)}`);
})()
"""
"""Texts with less contrast than WCAG wants. https://www.w3.org/TR/WCAG22/#contrast-minimum"""
FOCUS = """
(() => {
  const element = document.activeElement;
  const style = getComputedStyle(element);
  const name = element.labels?.[0]?.innerText ?? element.innerText;
  const isVisible = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 1;
  return [element.tagName, name, isVisible];
})()
"""
"""What has the focus, how it is called, and whether that is seen."""


@pytest.fixture(scope="module")
def page() -> Iterator[browser.Page]:
    with browser.page(thirdparty.chromium()) as page:
        page.resize(1280, 900)
        yield page


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with browser.playground() as address:
        yield address


@pytest.fixture
def playground(page: browser.Page, address: str) -> Iterator[browser.Page]:
    """The page with its first answer; at its end nothing was said on its console."""
    opened(page, address)
    yield page
    check_quiet(page, address)


def opened(page: browser.Page, address: str) -> None:
    page.events.clear()
    page.open(address)
    page.wait(f"{HEADLINE} !== ''")


def check_quiet(page: browser.Page, address: str) -> None:
    assert page.trouble() == []
    # Nothing of it goes on when its server ends.
    page.open("about:blank")
    requests = [each for each in page.requests() if not each.startswith("data:")]
    assert all(each.startswith(address) for each in requests if each != "about:blank")
    assert address in requests


def select(page: browser.Page, editor: str, text: str) -> None:
    """Select a text in an editor, as by the mouse."""
    page.evaluate(
        f"(() => {{ const editor = document.getElementById('{editor}'); editor.focus();"
        f" const at = editor.value.indexOf({json.dumps(text)});"
        f" if (at < 0) throw new Error('no such text');"
        f" editor.setSelectionRange(at, at + {len(text)}); }})()"
    )


def test_the_result_follows_each_change(playground: browser.Page) -> None:
    page = playground
    assert page.evaluate(HEADLINE) == "default/Deployment/web: injected: logs"
    before = page.evaluate(RESULT)
    assert "UnknownInjection" in before
    assert "→ did you mean 'proxy'?" in before
    assert "image: envoyproxy/envoy:v1.34.1" not in before
    select(page, "pods", "prxy")
    page.type("proxy")
    page.wait(f"{HEADLINE} === 'default/Deployment/web: injected: logs, proxy'")
    after = page.evaluate(RESULT)
    assert "UnknownInjection" not in after
    assert "+    image: envoyproxy/envoy:v1.34.1" in after


def test_a_mistake_is_beside_its_editor_and_a_key_leads_to_it(playground: browser.Page) -> None:
    page = playground
    result = page.evaluate(RESULT)
    select(page, "injections", "kind: SidecarInjection")
    page.type("kind: [")
    message = "document.getElementById('injections-mistake').innerText"
    page.wait(f"{message} !== ''")
    assert "injections, line 5, column 7: is not valid YAML: " in page.evaluate(message)
    assert page.evaluate("document.getElementById('injections').ariaInvalid") == "true"
    # The last result stays, and says that it is old.
    assert page.evaluate(RESULT) == result
    assert "last result" in page.evaluate(HEADLINE)
    page.press("Tab")
    page.press("Enter")
    place = (
        "(({ id, value, selectionStart }) =>"
        " id + value.slice(0, selectionStart).split('\\n').length)(document.activeElement)"
    )
    assert page.evaluate(place) == "injections5"
    select(page, "injections", "kind: [")
    page.type("kind: SidecarInjection")
    page.wait(f"{message} === ''")
    assert page.evaluate(RESULT) == result


def test_markup_stays_text(playground: browser.Page) -> None:
    select(playground, "pods", "prxy")
    playground.type("<img src=x onerror=alert(1)>")
    playground.wait(f"{RESULT}.includes('<img src=x')")
    assert playground.evaluate("document.querySelectorAll('img').length") == 0


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_is_cut_and_every_text_can_be_read(
    playground: browser.Page, width: int, scheme: str
) -> None:
    page = playground
    page.resize(width, 900)
    page.prefer(scheme)
    select(page, "pods", "prxy")
    page.type(f"a-word-of-{'no' * 200}-end")
    page.wait(f"{RESULT}.includes('no-end')")
    back = "getComputedStyle(document.body).backgroundColor"
    assert (page.evaluate(back) == "rgb(255, 255, 255)") is (scheme == "light")
    for _ in range(2):
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate(CUT) == []
        assert page.evaluate(PALE) == []
        # And once more with a mistake.
        select(page, "injections", "kind: SidecarInjection")
        page.type("kind: [")
        page.wait("document.getElementById('injections-mistake').innerText !== ''")


def focused(page: browser.Page) -> list[list[str | bool]]:
    """What gets the focus one after the other, until the first comes again."""
    page.evaluate("document.activeElement.blur()")
    page.press("Tab")
    seen = [page.evaluate(FOCUS)]
    page.press("Tab")
    while (current := page.evaluate(FOCUS)) not in seen and len(seen) < 20:
        seen.append(current)
        page.press("Tab")
    return seen


def test_keys_reach_everything_and_each_has_a_name(playground: browser.Page) -> None:
    reached = [each for each in focused(playground) if each[0] != "BODY"]
    assert reached == [["TEXTAREA", "Injections", True], ["TEXTAREA", "Pods and workloads", True]]
    assert playground.evaluate("document.getElementById('headline').role") == "status"


def test_when_the_server_has_ended_the_page_says_so(page: browser.Page) -> None:
    with browser.playground() as address:
        opened(page, address)
    select(page, "pods", "prxy")
    page.type("proxy")
    page.wait(f"{HEADLINE}.startsWith('The playground does not answer')")
    page.open("about:blank")


def test_a_namespace_of_a_cluster_is_chosen_from_by_keys_and_is_only_read(
    page: browser.Page, product: kit.Product, injecting_namespace: str, tmp_path: pathlib.Path
) -> None:
    """The user may read and nothing else: a write would be an error on the page."""
    product.created_by(injecting_namespace, kit.workload("Deployment"))
    config = cli.stranger(product.plane, tmp_path, injecting_namespace, role=errors.CLI_ROLE)
    arguments = ("--cluster", "-n", injecting_namespace, "--kubeconfig", str(config))
    with browser.playground(*arguments) as address:
        opened(page, address)
        page.wait("!document.querySelector('form').hidden")
        names = ["Injection of namespace", "Use this injection", "Injections"]
        names += ["Workload of namespace", "Use this workload", "Pods and workloads"]
        reached = [each for each in focused(page) if each[0] != "BODY"]
        assert [name.removesuffix(f" {injecting_namespace}") for _, name, _ in reached] == names
        assert all(is_visible for _, _, is_visible in reached)
        for editor, choice in (("injections", "all"), ("pods", "Deployment/")):
            page.evaluate(f"document.getElementById('{editor}-choice').focus()")
            assert page.evaluate("document.activeElement.value").startswith(choice)
            page.press("Tab")
            page.press("Enter")
            page.wait(f"document.getElementById('{editor}').value.includes('namespace: ')")
        page.wait(f"{HEADLINE}.startsWith('{injecting_namespace}/Deployment/')")
        assert page.evaluate(HEADLINE).endswith(": injected: proxy")
        assert page.evaluate("document.getElementById('cluster').innerText") == ""
        for width in WIDTHS:
            page.resize(width, 900)
            assert page.evaluate(CUT) == []
        check_quiet(page, address)
