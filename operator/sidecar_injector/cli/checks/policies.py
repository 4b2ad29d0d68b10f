"""Whether the API server injects by itself what asks for it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence

from sidecar_injector import names
from sidecar_injector import settings as settings_module
from sidecar_injector.cli.checks.finding import (
    FAILED,
    OK,
    UNKNOWN,
    WARNING,
    CheckContext,
    CheckResult,
)
from sidecar_injector.cli.cluster import injections as cluster_injections
from sidecar_injector.cli.cluster import policies
from sidecar_injector.core import remedies
from sidecar_injector.kube import api

LEAVE = """kubectl patch {} --type=merge -p '{{"spec":{{"engine":"Webhook"}}}}'"""


async def compiled(context: CheckContext) -> AsyncIterator[CheckResult]:
    """Whether the policy is there, is that of the injections, and does what they ask for."""
    if context.injections is None:
        return
    every = context.injections.injections
    asking = [live for live in every if live.injection.is_compiled]
    settings = context.release.settings if context.release else settings_module.Settings()
    if not asking and not await _exists(context.client, settings.fullname):
        return
    try:
        await policies.check_served(context.client)
    except policies.NotServedError as error:
        yield CheckResult("policies", WARNING, str(error), _leave(asking))
        return
    notes: list[str] = []
    place = await policies.place(context.client, settings, notes=notes)
    if notes:
        # With other namespaces left out, every policy would look stale.
        yield CheckResult("policies", UNKNOWN, f"not compared with the injections: {notes[0]}")
        return
    of_cluster, of_files = (
        policies.compiled(context.injections, place, as_files=each) for each in (False, True)
    )
    compared = await policies.compare(
        context.client, of_cluster, of_files, name=settings.fullname, guarded=True
    )
    # Nobody has to have a guard.
    states = [each for each in compared if each.name == settings.fullname or each.is_there]
    for result in _differences(states, settings):
        yield result
    for live in asking:
        if why := policies.obstacle(live, of_cluster):
            message = f"{live.injection.reference} is left to the webhook: {why}"
            yield CheckResult("policies", WARNING, message, _leave([live]))
    if states and all(each.state == policies.SAME for each in states):
        number = len(of_cluster.compiled)
        yield CheckResult("policies", OK, f"{states[0]} is that of the injections: {number}")


async def _exists(client: api.Api, name: str) -> bool:
    """Whether there may be something to compare; who may not look has not asked for it."""
    try:
        return await api.get_or_none(client, api.POLICIES, name=name) is not None
    except api.ApiError as error:
        if error.status != api.FORBIDDEN:
            raise
        return False


def _differences(
    states: Sequence[policies.State], settings: settings_module.Settings
) -> Iterator[CheckResult]:
    """What is not as it should be. Without a policy nothing is lost while the webhook runs."""
    options = [] if settings.fullname == names.PRODUCT else ["--name", settings.fullname]
    if any(each.name != settings.fullname for each in states):
        options.append("--guard")
    command = " ".join((names.PRODUCT, "compile", *options))
    remedy = "; ".join(policies.remedies(states, command))
    if settings.policies_are_managed:
        logs = f"kubectl -n {settings.namespace} logs deployment/{settings.fullname}"
        remedy = f"the operator writes it within seconds; if not: {logs}"
    for each in states:
        if each.state != policies.SAME:
            level = FAILED if each.is_there else WARNING
            message = ": ".join(filter(None, (f"{each} is {each.state}", each.message)))
            yield CheckResult("policies", level, message, remedy)


def _leave(asking: Sequence[cluster_injections.LiveInjection]) -> str:
    commands = (LEAVE.format(remedies.object_of(live.injection)) for live in asking)
    return f"change it, or leave it to the webhook: {'; '.join(commands)}"
