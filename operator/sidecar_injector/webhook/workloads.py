"""The validating webhook for workloads: warnings for who applies one, and nothing else.

A controller makes the pods, and nobody reads what the API server tells it. So the same decision is
made about the pod of the template, while its author waits. A workload is never refused or changed:
after an error of ours, and while too many large reviews wait, it is admitted without a word.
"""

from __future__ import annotations

import dataclasses
import logging
from typing import Any, Final

import orjson

from sidecar_injector import names
from sidecar_injector.core import decision, templates
from sidecar_injector.core.injections import namespace_view
from sidecar_injector.core.merging import budget
from sidecar_injector.core.pods import lenient, shapes, workloads
from sidecar_injector.core.reasons import Reason
from sidecar_injector.httpserver import messages
from sidecar_injector.observability import logs
from sidecar_injector.webhook import admission_review, cluster_state, mutate, response, worker

Json = dict[str, Any]

MOST_TEMPLATES: Final = 4
"""Of one object; the kinds of Kubernetes have one."""

_log = logging.getLogger(__name__)


class WorkloadWebhook:
    """Answers `/workloads`."""

    def __init__(self, state: cluster_state.ClusterState, *, long_work: worker.Worker) -> None:
        """`long_work` is the worker of the webhook for pods, so that both share its turns."""
        self._state, self._worker = state, long_work

    def review(self, request: messages.Request) -> messages.Answer:
        """The answer to the review of a workload; 400 if the body is not a review."""
        body = request.body
        try:
            if len(body) > mutate.SHORT_BYTES or admission_review.is_heavy(body):
                return self._long(body, cost=budget.MOST + (len(body) >> 10))
            return self._answer(admission_review.read(body), is_waited_for=True)
        except budget.LongWorkError as error:
            return self._long(body, cost=error.work)
        except admission_review.InvalidReview as error:
            return _unread(body, error)

    def _long(self, body: bytes, *, cost: int) -> messages.Answer:
        """The same for what takes long, in turn with pods. Raises TooLargeReview."""
        if not self._worker.has_room(body):
            raise admission_review.TooLargeReview("too many large reviews wait")
        admission_review.check_size(body)
        return self._in_worker_thread(body, cost=cost)

    async def _in_worker_thread(self, body: bytes, *, cost: int) -> messages.Response:
        try:
            async with self._worker.turn(body, cost=cost):
                review = await self._worker.run(admission_review.read, body)
                return await self._worker.run(self._answer, review)
        except admission_review.InvalidReview as error:
            return _unread(body, error)

    def _answer(
        self, review: admission_review.Review, *, is_waited_for: bool = False
    ) -> messages.Response:
        """The warnings about a workload; none after an error of ours."""
        admission_request = review.request
        found: list[str] = []
        try:
            state = self._state.of_namespace(admission_request.get("namespace") or "")
            found = warnings(admission_request["object"], state.view, is_waited_for=is_waited_for)
        except budget.LongWorkError:
            raise
        except Exception as error:  # noqa: BLE001 - our own bug must not cost a workload
            _report(admission_request, error)
        return _admitted(review.version.encode(), orjson.dumps(admission_request["uid"]), found)


def warnings(
    manifest: Json, view: namespace_view.NamespaceView, *, is_waited_for: bool = False
) -> list[str]:
    """What the author of a workload should know of the pods that will be made of it."""
    found: dict[str, None] = {}
    for path in workloads.pod_paths(manifest)[:MOST_TEMPLATES]:
        if path and (template := workloads.at(manifest, path)):
            planned = templates.decide_template(
                manifest, path, template, view=view, is_waited_for=is_waited_for
            )
            found |= dict.fromkeys(response.warnings(_foreseen(planned.decision), _name(manifest)))
    return list(found)[: response.MAX_WARNINGS]


def _foreseen(decided: decision.Decision) -> decision.Decision:
    """The decision without what depends on the ServiceAccount, which is not known."""
    lines = [line for line in decided.evaluated if not _depends_on_account(line)]
    return dataclasses.replace(decided, evaluated=lines)


def _name(manifest: Json) -> str:
    metadata = lenient.child(manifest, "metadata")
    name = lenient.text(metadata, "name") or lenient.text(metadata, "generateName")
    return f"{response.EACH_POD} of {name}"


def _depends_on_account(line: decision.Line) -> bool:
    """Whether it would fit if the ServiceAccount had no token mounted."""
    return line.reason is Reason.MOUNT_PATH_CONFLICT and names.TOKEN_PATH in line.message


def _admitted(version: bytes, uid: bytes, found: list[str]) -> messages.Response:
    members = b'"allowed":true,"warnings":%b}' % orjson.dumps(found) if found else None
    return messages.Response(200, mutate.REVIEW % (version, uid, members or response.UNCHANGED))


def _unread(body: bytes, error: admission_review.InvalidReview) -> messages.Response:
    """The answer to what is not read: a workload is admitted, other bodies are an error."""
    opening = admission_review.opening(body)
    if isinstance(error, admission_review.TooLargeReview) and opening:
        return _admitted(*opening, found=[])
    return messages.text(400, f"no AdmissionReview: {error}")


def _report(admission_request: Json, error: Exception) -> None:
    """Log an error of ours, or that the object is none that an API server sends."""
    message = "cannot foresee the pods of a workload, it is admitted without warnings"
    manifest: Json = admission_request.get("object") or {}
    try:
        pods = [workloads.at(manifest, path) for path in workloads.pod_paths(manifest)]
        is_foreign = any(problem for pod in pods for problem in shapes.problems(shapes.POD, pod))
    except Exception:  # noqa: BLE001 - it is not even an object
        is_foreign = True
    if is_foreign:
        _log.warning("%s: no API server sends this", message)
    else:
        _log.exception("%s", message, exc_info=logs.unquoted(error))
