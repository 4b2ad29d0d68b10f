"""Asynchronous tests run on both event loops; an exception that nothing catches fails them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import uvloop

Factory = Callable[[], asyncio.AbstractEventLoop]
ERRORS: list[dict[str, Any]] = []


def collecting_errors(factory: Factory) -> Factory:
    def new_event_loop() -> asyncio.AbstractEventLoop:
        loop = factory()
        loop.set_exception_handler(lambda _, context: ERRORS.append(context))
        return loop

    return new_event_loop


def pytest_asyncio_loop_factories() -> dict[str, Factory]:
    factories = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
    return {name: collecting_errors(factory) for name, factory in factories.items()}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown() -> Iterator[None]:
    yield  # This closes the event loop.
    errors = ERRORS.copy()
    ERRORS.clear()
    assert errors == []
