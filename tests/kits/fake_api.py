"""A Kubernetes API in memory: versions, conflicts, watches in order, and versions that expire.

Every call gives other tasks a turn of the event loop, so that they can come in between.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Coroutine

from sidecar_injector import names
from sidecar_injector.core.validity import releases
from sidecar_injector.kube import api

Key = tuple[str, str]
MOST_TURNS = 5000


def discovery(resources: list[api.Resource]) -> api.Json:
    """The aggregated discovery document of these custom resources."""
    return {
        "kind": "APIGroupDiscoveryList",
        "items": [
            {
                "metadata": {"name": resource.group},
                "versions": [{
                    "version": resource.api_version.rpartition("/")[2],
                    "resources": [{
                        "resource": resource.plural,
                        "responseKind": {"kind": resource.kind},
                        "singularResource": resource.kind.lower(),
                        "scope": "Namespaced",
                        "shortNames": [resource.kind.lower()[:2]],
                    }],
                }],
            }
            for resource in resources
        ],
    }  # fmt: skip


class FakeApi:
    """Implements `kube.api.Api`. `calls` counts calls by method and plural."""

    def __init__(self) -> None:
        self.objects: dict[api.Resource, dict[Key, api.Json]] = {}
        self.calls: Counter[tuple[str, str]] = Counter()
        self.failures: dict[tuple[str, str], list[api.KubeError]] = {}
        """The errors of the next calls of a method and plural, in this order."""
        self.version = "v1.37.2"
        """The release of Kubernetes."""
        self.custom_kinds: list[api.Resource] = []
        """What is served besides the kinds of Kubernetes."""
        self.manager = names.PRODUCT
        """The field manager of writes."""
        self._version = 100
        self._oldest = 0
        self._history: list[tuple[int, api.Resource, api.Json]] = []
        self._changed = asyncio.Event()
        self._epoch = 0

    async def document(self, path: str, *, accept: str = "") -> api.Json:
        """The answer for `/version`, for `/apis`: the kinds of `custom_kinds`, and for policies."""
        self.calls["document", path] += 1
        if path == f"/apis/{api.POLICIES.api_version}":
            is_served = (releases.minor_of(self.version) or 0) >= 36
            return {"resources": [{"name": api.POLICIES.plural}] if is_served else []}
        if path == "/apis":
            return discovery(self.custom_kinds) if "apidiscovery" in accept else {}
        return {"gitVersion": self.version}

    def seed(self, resource: api.Resource, item: api.Json) -> api.Json:
        """Create or replace an object."""
        item = copy.deepcopy(item)
        item.setdefault("metadata", {}).setdefault("uid", f"uid-{self._version + 1}")
        exists = key_of(item) in self.objects.get(resource, {})
        return self._store(resource, item, event="MODIFIED" if exists else "ADDED")

    def take(self, resource: api.Resource, *, name: str, namespace: str = "") -> None:
        """Delete an object."""
        deleted = self.objects[resource].pop((namespace, name))
        self._record(resource, copy.deepcopy(deleted), event="DELETED")

    def break_watches(self) -> None:
        """Break the connection of every watch."""
        self._epoch += 1
        self._wake()

    def expire(self) -> None:
        """Forget all versions up to now: a watch from one of them gets 410."""
        self._oldest = self._version
        self._history.clear()

    def bookmark(self) -> None:
        """Send a bookmark to every watch."""
        self._record(api.EVENTS, {"metadata": {}}, event="BOOKMARK")

    async def get(
        self,
        resource: api.Resource,
        *,
        name: str,
        namespace: str | None = None,
        metadata_only: bool = False,
    ) -> api.Json:
        await self._begin("get", resource)
        item = copy.deepcopy(self._find(resource, name=name, namespace=namespace))
        return {"metadata": item["metadata"]} if metadata_only else item

    async def pages(
        self, resource: api.Resource, *, scope: api.Scope = api.EVERYTHING, limit: int = 500
    ) -> AsyncGenerator[api.Page]:
        await self._begin("list", resource)
        version = str(self._version)
        selected = [
            copy.deepcopy(item)
            for item in self.objects.get(resource, {}).values()
            if _within(item, scope)
        ]
        for start in range(0, max(len(selected), 1), limit):
            yield api.Page(selected[start : start + limit], version)
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
                yield _expired()
                return
            for version, changed, event in list(self._history):
                if version <= position:
                    continue
                position = version
                if event["type"] == "BOOKMARK" or (
                    changed == resource and _within(event["object"], scope)
                ):
                    yield copy.deepcopy(event)
            if self._epoch != epoch:
                raise api.UnreachableError(host="fake", detail="broken off")
            if not self._history or self._history[-1][0] <= position:
                await self._changed.wait()

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
        self,
        resource: api.Resource,
        body: api.Json,
        *,
        name: str,
        namespace: str | None = None,
        dry_run: bool = False,
    ) -> api.Json:
        await self._begin("replace", resource)
        current = self._find(resource, name=name, namespace=namespace)
        if api.resource_version(body) != api.resource_version(current):
            raise refusal(409, "Conflict")
        body = copy.deepcopy(body)
        return body if dry_run else self._store(resource, body, event="MODIFIED")

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
        assert content_type in {api.MERGE_PATCH, api.STRATEGIC_PATCH}
        assert subresource in {"", "status"}
        body = copy.deepcopy(body)
        current = copy.deepcopy(self._find(resource, name=name, namespace=namespace))
        expected = (body.get("metadata") or {}).pop("resourceVersion", None)
        if expected not in {None, api.resource_version(current)}:
            raise refusal(409, "Conflict")
        if content_type == api.STRATEGIC_PATCH:
            entries = {entry["name"]: entry for entry in body.pop("webhooks", [])}
            for entry in current["webhooks"]:
                _merge(entry, entries.get(entry["name"], {}))
            fields = {
                f'k:{{"name":"{n}"}}': {"f:clientConfig": {"f:caBundle": {}}} for n in entries
            }
            current["metadata"]["managedFields"] = [
                {"manager": self.manager, "time": "t", "fieldsV1": {"f:webhooks": fields}}
            ]
        _merge(current, body)
        return self._store(resource, current, event="MODIFIED")

    async def _begin(self, method: str, resource: api.Resource) -> None:
        self.calls[method, resource.plural] += 1
        await asyncio.sleep(0)
        errors = self.failures.get((method, resource.plural))
        if errors:
            raise errors.pop(0)

    def _find(self, resource: api.Resource, *, name: str, namespace: str | None) -> api.Json:
        try:
            return self.objects[resource][namespace or "", name]
        except KeyError:
            raise refusal(404, "NotFound") from None

    def _store(self, resource: api.Resource, item: api.Json, *, event: str) -> api.Json:
        item["metadata"]["resourceVersion"] = str(self._version + 1)
        self.objects.setdefault(resource, {})[key_of(item)] = item
        self._record(resource, copy.deepcopy(item), event=event)
        return copy.deepcopy(item)

    def _record(self, resource: api.Resource, item: api.Json, *, event: str) -> None:
        self._version += 1
        item["metadata"]["resourceVersion"] = str(self._version)
        self._history.append((self._version, resource, {"type": event, "object": item}))
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


def key_of(item: api.Json) -> Key:
    return (item["metadata"].get("namespace") or "", item["metadata"]["name"])


def refusal(status: int, reason: str, message: str = "no") -> api.ApiError:
    return api.ApiError(status=status, reason=reason, message=message, path="/fake")


async def eventually(condition: Callable[[], object], what: str = "") -> None:
    """Give other tasks turns of the event loop until the condition is true; never by the clock."""
    for _ in range(MOST_TURNS):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError(f"this never became true: {what or condition}")


async def run_until_idle(work: Callable[[], Coroutine[None, None, None]]) -> None:
    """Give a task all the turns that it needs, then cancel it."""
    task = asyncio.create_task(work())
    for _ in range(MOST_TURNS):
        await asyncio.sleep(0)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def _within(item: api.Json, scope: api.Scope) -> bool:
    if scope.namespace not in {None, key_of(item)[0]}:
        return False
    return all(_selected(item, term) for term in scope.field_selector.split(",") if term)


def _selected(item: api.Json, term: str) -> bool:
    """Whether an object matches one term of a field selector."""
    field, _, wanted = term.partition("=")
    value: object = item
    for member in field.removesuffix("!").split("."):
        value = value.get(member) if isinstance(value, dict) else None
    text = str(value or "").lower() if isinstance(value, bool) else str(value or "")
    if field.startswith("spec.hostNetwork"):
        text = text or "false"
    return (text == wanted) is not field.endswith("!")


def _merge(target: api.Json, patch: api.Json) -> None:
    for key, value in patch.items():
        if value is None:
            target.pop(key, None)
        elif isinstance(value, dict) and isinstance(target.get(key), dict):
            _merge(target[key], value)
        else:
            target[key] = value


def _expired() -> api.Json:
    status = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}
    return {"type": "ERROR", "object": status}
