"""Chromium without a window, driven by its DevTools protocol, for tests and pictures.

Messages go through a pipe, so there is neither a port nor a library, and the browser ends when the
pipe is closed. https://chromedevtools.github.io/devtools-protocol/
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from typing import IO, Any, Final

LAUNCH: Final = 'exec "$@" 3<&0 4>&1 </dev/null >/dev/null'
"""Shell: the protocol's pipes are 3 and 4."""
OPTIONS: Final = (
    "--headless", "--remote-debugging-pipe", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--force-color-profile=srgb",
    # Without rights of their own, users may have no sandbox; only pages of ours are loaded.
    "--no-sandbox",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)  # fmt: skip
SECONDS: Final = 20
"""How long a page may take until something is to be seen."""
KEYS: Final = {"Tab": 9, "Enter": 13, " ": 32, "End": 35, "Home": 36, "ArrowDown": 40}
SHIFT: Final = 8
TROUBLE: Final = ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded")

Json = dict[str, Any]


class BrowserError(Exception):
    """The browser has ended, or refuses a command."""


class Page:
    """One page. Every method waits for the browser's answer."""

    def __init__(self, commands: IO[bytes], answers: IO[bytes]) -> None:
        self._commands, self._answers = commands, answers
        self._number, self._session = 0, ""
        self.events: list[Json] = []
        """What the browser has told by itself, as `method` and `params`."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> Json:
        """The result of a command. Raises BrowserError."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        self._commands.write(json.dumps(message).encode() + b"\0")
        self._commands.flush()
        while (answer := self._read()).get("id") != self._number:
            self.events.append(answer)
        if "error" in answer:
            raise BrowserError(f"{method}: {answer['error']['message']}")
        result: Json = answer["result"]
        return result

    def _read(self) -> Json:
        text = bytearray()
        while (character := self._answers.read(1)) != b"\0":
            if not character:
                raise BrowserError("the browser has ended")
            text += character
        message: Json = json.loads(text)
        return message

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression, awaited. Raises BrowserError."""
        answer = self.call(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        if "exceptionDetails" in answer:
            details = answer["exceptionDetails"]
            problem = details.get("exception", {}).get("description") or details["text"]
            raise BrowserError(f"{expression}: {problem}")
        return answer["result"].get("value")

    def wait(self, expression: str) -> None:
        """Return when the expression is true, which is looked at before each frame."""
        self.evaluate(
            "new Promise((resolve, reject) => {"
            f" setTimeout(() => reject(new Error('not within {SECONDS} s')), {SECONDS * 1000});"
            f" const look = () => ({expression}) ? resolve() : requestAnimationFrame(look);"
            " look(); })"
        )

    def open(self, address: str) -> None:
        """Load a page, with its scripts."""
        self.call("Page.navigate", url=address)
        self.wait(f"location.href === {json.dumps(address)} && document.readyState === 'complete'")

    def resize(self, width: int, height: int) -> None:
        """Give the window this size."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=False,
        )  # fmt: skip

    def prefer(self, colour_scheme: str) -> None:
        """Let the user prefer `light` or `dark`."""
        features = [{"name": "prefers-color-scheme", "value": colour_scheme}]
        self.call("Emulation.setEmulatedMedia", features=features)

    def press(self, key: str, *, modifiers: int = 0) -> None:
        """Press a key of KEYS and let it go."""
        text = {"Enter": "\r", " ": " "}.get(key, "")
        for kind in ("keyDown" if text else "rawKeyDown", "keyUp"):
            self.call(
                "Input.dispatchKeyEvent",
                type=kind, key=key, windowsVirtualKeyCode=KEYS[key], modifiers=modifiers,
                text=text if kind == "keyDown" else "",
            )  # fmt: skip

    def type(self, text: str) -> None:
        """Type a text where the focus is."""
        self.call("Input.insertText", text=text)

    def picture(self) -> bytes:
        """What the window shows, as PNG."""
        return base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])

    def trouble(self) -> list[Json]:
        """Errors and messages of the page so far."""
        self.call("Runtime.evaluate", expression="0")
        return [event for event in self.events if event["method"] in TROUBLE]

    def requests(self) -> list[str]:
        """The addresses that the page has loaded so far."""
        sent = [each for each in self.events if each["method"] == "Network.requestWillBeSent"]
        return [event["params"]["request"]["url"] for event in sent]


@contextlib.contextmanager
def page(program: pathlib.Path) -> Iterator[Page]:
    """A page of a new browser, which keeps nothing."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        browser = subprocess.Popen(
            ["/bin/sh", "-c", LAUNCH, "sh", str(program), *OPTIONS, f"--user-data-dir={folder}"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        with browser:
            assert browser.stdin is not None
            assert browser.stdout is not None
            try:
                yield Page(browser.stdin, browser.stdout)
            finally:
                browser.terminate()


@contextlib.contextmanager
def playground(*arguments: str) -> Iterator[str]:
    """The address of a playground in a process of its own, which is ended as by a shell."""
    command = [sys.executable, "-m", "sidecar_injector", "playground", *arguments]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.send_signal(signal.SIGTERM)
