"""A Kubernetes API in memory: versions, conflicts, watches in order, and versions that expire.

It yields to the event loop in every call, so whatever runs at the same time gets in between.
"""

from __future__ import annotations

import asyncio
import copy
from collections import Counter
from collections.abc import AsyncGenerator, Callable

from sidecar_injector import names
from sidecar_injector.kube import api

Key = tuple[str, str]
MOST_TURNS = 5000


class FakeApi:
    """Implements `kube.api.Api`. `calls` counts them by method and plural."""

    def __init__(self) -> None:
        self.objects: dict[api.Resource, dict[Key, api.Json]] = {}
        self.calls: Counter[tuple[str, str]] = Counter()
        self.failures: dict[tuple[str, str], list[api.KubeError]] = {}
        """What the next calls of a method and plural are to raise, in this order."""
        self.manager = names.PRODUCT
        """To whom writes are attributed."""
        self._version = 100
        self._oldest = 0
        self._history: list[tuple[int, api.Resource, api.Json]] = []
        self._news = asyncio.Event()
        self._epoch = 0

    def seed(self, resource: api.Resource, thing: api.Json) -> api.Json:
        """Put an object there, whatever was there before."""
        thing = copy.deepcopy(thing)
        thing.setdefault("metadata", {}).setdefault("uid", f"uid-{self._version + 1}")
        present = key_of(thing) in self.objects.get(resource, {})
        return self._store(resource, thing, event="MODIFIED" if present else "ADDED")

    def take(self, resource: api.Resource, *, name: str, namespace: str = "") -> None:
        """Remove an object."""
        gone = self.objects[resource].pop((namespace, name))
        self._record(resource, copy.deepcopy(gone), event="DELETED")

    def break_watches(self) -> None:
        """Every watch that runs loses its connection."""
        self._epoch += 1
        self._wake()

    def expire(self) -> None:
        """Versions up to now are not kept: whoever is to go on from one has to list again."""
        self._oldest = self._version
        self._history.clear()

    def bookmark(self) -> None:
        """Tell every watch how far the server is."""
        self._record(api.EVENTS, {"metadata": {}}, event="BOOKMARK")

    async def get(
        self, resource: api.Resource, *, name: str, namespace: str | None = None
    ) -> api.Json:
        await self._begin("get", resource)
        return copy.deepcopy(self._find(resource, name=name, namespace=namespace))

    async def pages(
        self, resource: api.Resource, *, scope: api.Scope = api.EVERYTHING, limit: int = 500
    ) -> AsyncGenerator[api.Page]:
        await self._begin("list", resource)
        version = str(self._version)
        found = [
            copy.deepcopy(thing)
            for thing in self.objects.get(resource, {}).values()
            if _within(thing, scope)
        ]
        for start in range(0, max(len(found), 1), limit):
            yield api.Page(found[start : start + limit], version)
            await self._begin("list", resource)

    async def watch(
        self,
        resource: api.Resource,
        *,
        resource_version: str,
        scope: api.Scope = api.EVERYTHING,
        timeout_seconds: int,
    ) -> AsyncGenerator[api.Json]:
        assert timeout_seconds > 0
        epoch = self._epoch
        await self._begin("watch", resource)
        yield api.OPENED
        position = int(resource_version)
        while True:
            if position < self._oldest:
                yield _gone()
                return
            for version, where, event in list(self._history):
                if version <= position:
                    continue
                position = version
                if event["type"] == "BOOKMARK" or (
                    where == resource and _within(event["object"], scope)
                ):
                    yield copy.deepcopy(event)
            if self._epoch != epoch:
                raise api.UnreachableError(host="fake", detail="broken off")
            if not self._history or self._history[-1][0] <= position:
                await self._news.wait()

    async def create(
        self,
        resource: api.Resource,
        body: api.Json,
        *,
        namespace: str | None = None,
        dry_run: bool = False,
    ) -> api.Json:
        await self._begin("create", resource)
        assert api.metadata(body).get("namespace") == namespace
        if key_of(body) in self.objects.get(resource, {}):
            raise refusal(409, "AlreadyExists")
        return copy.deepcopy(body) if dry_run else self.seed(resource, body)

    async def replace(
        self, resource: api.Resource, body: api.Json, *, name: str, namespace: str | None = None
    ) -> api.Json:
        await self._begin("replace", resource)
        present = self._find(resource, name=name, namespace=namespace)
        if api.resource_version(body) != api.resource_version(present):
            raise refusal(409, "Conflict")
        return self._store(resource, copy.deepcopy(body), event="MODIFIED")

    async def patch(
        self,
        resource: api.Resource,
        body: api.Json | list[api.Json],
        *,
        name: str,
        namespace: str | None = None,
        content_type: str = api.MERGE_PATCH,
        subresource: str = "",
    ) -> api.Json:
        await self._begin("patch", resource)
        assert isinstance(body, dict)
        assert content_type != api.JSON_PATCH
        assert subresource in {"", "status"}
        body = copy.deepcopy(body)
        present = copy.deepcopy(self._find(resource, name=name, namespace=namespace))
        expected = (body.get("metadata") or {}).pop("resourceVersion", None)
        if expected not in {None, api.resource_version(present)}:
            raise refusal(409, "Conflict")
        if content_type == api.STRATEGIC_PATCH:
            entries = {entry["name"]: entry for entry in body.pop("webhooks", [])}
            for entry in present["webhooks"]:
                _merge(entry, entries.get(entry["name"], {}))
            fields = {
                f'k:{{"name":"{n}"}}': {"f:clientConfig": {"f:caBundle": {}}} for n in entries
            }
            present["metadata"]["managedFields"] = [
                {"manager": self.manager, "time": "t", "fieldsV1": {"f:webhooks": fields}}
            ]
        _merge(present, body)
        return self._store(resource, present, event="MODIFIED")

    async def _begin(self, method: str, resource: api.Resource) -> None:
        self.calls[method, resource.plural] += 1
        await asyncio.sleep(0)
        waiting = self.failures.get((method, resource.plural))
        if waiting:
            raise waiting.pop(0)

    def _find(self, resource: api.Resource, *, name: str, namespace: str | None) -> api.Json:
        try:
            return self.objects[resource][namespace or "", name]
        except KeyError:
            raise refusal(404, "NotFound") from None

    def _store(self, resource: api.Resource, thing: api.Json, *, event: str) -> api.Json:
        thing["metadata"]["resourceVersion"] = str(self._version + 1)
        self.objects.setdefault(resource, {})[key_of(thing)] = thing
        self._record(resource, copy.deepcopy(thing), event=event)
        return copy.deepcopy(thing)

    def _record(self, resource: api.Resource, thing: api.Json, *, event: str) -> None:
        self._version += 1
        thing["metadata"]["resourceVersion"] = str(self._version)
        self._history.append((self._version, resource, {"type": event, "object": thing}))
        self._wake()

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()


def key_of(thing: api.Json) -> Key:
    return (thing["metadata"].get("namespace") or "", thing["metadata"]["name"])


def refusal(status: int, reason: str, message: str = "no") -> api.ApiError:
    return api.ApiError(status=status, reason=reason, message=message, path="/fake")


async def eventually(condition: Callable[[], object], what: str = "") -> None:
    """Let everybody else go on until it is so; never by the clock."""
    for _ in range(MOST_TURNS):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError(f"it never came to this: {what or condition}")


def _within(thing: api.Json, scope: api.Scope) -> bool:
    if scope.namespace not in {None, key_of(thing)[0]}:
        return False
    return all(_selected(thing, term) for term in scope.field_selector.split(",") if term)


def _selected(thing: api.Json, term: str) -> bool:
    """Whether it fulfils one term of a field selector."""
    left, _, wanted = term.partition("=")
    value: object = thing
    for member in left.removesuffix("!").split("."):
        value = value.get(member) if isinstance(value, dict) else None
    text = str(value or "").lower() if isinstance(value, bool) else str(value or "")
    if left.startswith("spec.hostNetwork"):
        text = text or "false"
    return (text == wanted) is not left.endswith("!")


def _merge(target: api.Json, patch: api.Json) -> None:
    for key, value in patch.items():
        if value is None:
            target.pop(key, None)
        elif isinstance(value, dict) and isinstance(target.get(key), dict):
            _merge(target[key], value)
        else:
            target[key] = value


def _gone() -> api.Json:
    status = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}
    return {"type": "ERROR", "object": status}
