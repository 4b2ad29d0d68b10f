"""Kopf's part: its settings, and the admission server's life from start to drain."""

from __future__ import annotations

import asyncio
import itertools
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import kopf
import orjson

from sidecar_injector import names, observe
from sidecar_injector.handlers import login, serving, trust
from sidecar_injector.server import http, listener, pool, readiness, reviews, tls
from sidecar_injector.settings import Settings

Json = dict[str, Any]
Judge = Callable[[Json], Json]
"""Makes the response to an admission request."""
RETRY_SECONDS = 5
SAID_SECONDS = 600.0
VALIDATE_SECONDS = 2.0
"""For Kopf: enough is left of the API server's five to judge without it."""
ATTEMPT = re.compile(r"Request attempt #\d+ failed; ")

_log = logging.getLogger(__name__)


class EndlessBackoffs:
    """Seconds between attempts, without end: Kopf gives up, and exits, when they run out."""

    def __iter__(self) -> Iterator[float]:
        return itertools.chain((1, 1, 2, 3, 5, 8), itertools.repeat(10))


class RepetitionFilter(logging.Filter):
    """Drops Kopf's ERROR line for a further attempt at the same request: the first has said it.

    After `SAID_SECONDS` it is said again. Kopf logs these as text only:
    https://github.com/nolar/kopf/blob/main/kopf/_cogs/clients/api.py
    """

    def __init__(self) -> None:
        super().__init__()
        self._said: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is about something else, or news."""
        found = ATTEMPT.match(text := record.getMessage())
        if found is None:
            return True
        problem, now = text[found.end() :], record.created
        if now - self._said.get(problem, float("-inf")) < SAID_SECONDS:
            return False
        fresh = {key: said for key, said in self._said.items() if now - said < SAID_SECONDS}
        self._said = {**fresh, problem: now}
        return True


def register(
    handlers: kopf.OperatorRegistry, *, login_handler: login.Login, server: AdmissionServer
) -> None:
    """Have Kopf log in as we do, and host our admission server."""

    # The bound method: Kopf would run an object that is merely callable in a thread.
    kopf.on.login(registry=handlers, id="login")(login_handler.renew)

    @kopf.on.startup(registry=handlers, id="settings")
    async def configure(settings: kopf.OperatorSettings, **_: Any) -> None:
        settings.admission.server = server
        # Kopf's own management of the configurations is not used: any replica's exit would strip
        # the webhooks of all. https://docs.kopf.dev/en/stable/admission/
        settings.admission.managed = None
        settings.posting.enabled = False
        settings.networking.error_backoffs = EndlessBackoffs()
        settings.networking.request_timeout = 30
        settings.networking.connect_timeout = 10
        settings.watching.server_timeout = 300
        settings.watching.client_timeout = 330
        settings.watching.connect_timeout = 10


class AdmissionServer:
    """What Kopf hosts as `settings.admission.server`: starts, serves, and drains at the end."""

    def __init__(
        self,
        settings: Settings,
        *,
        mutate: http.Handler,
        judge: Judge,
        shown: tls.ServingContext,
        ready: readiness.Readiness,
        metrics: observe.Metrics,
    ) -> None:
        self._ready, self._judge = ready, judge
        self._drain_seconds = settings.drain_seconds
        # `/validate` joins when Kopf starts the server and says how its handlers are called.
        self._routes: dict[str, dict[str, http.Handler]] = {
            names.MUTATE_PATH: {"POST": http.when(lambda: ready.able, mutate)}
        }
        limits = http.Limits(
            max_requests=settings.max_requests_per_connection,
            connections=settings.max_connections,
        )
        self._listener = listener.Listener(
            shared=pool.Pool(routes=self._routes, limits=limits, metrics=metrics),
            port=settings.webhook_port,
            context=shown.context,
        )
        self.started = asyncio.Event()

    async def __call__(
        self, dispatch: Callable[..., Awaitable[Any]]
    ) -> AsyncIterator[kopf.WebhookClientConfig]:
        """Serve until Kopf ends; `dispatch` runs Kopf's handlers on a review."""
        self._routes[names.VALIDATE_PATH] = {"POST": validation(dispatch, self._judge)}
        await self._listener.start()
        self.started.set()
        _log.info("the admission server listens on port %d", self._listener.port)
        try:
            yield {}
            await asyncio.Event().wait()
        finally:
            self._ready.unmet(readiness.Condition.NOT_DRAINING)
            _log.info("draining: serving for another %d s", self._drain_seconds)
            await self._listener.drain(self._drain_seconds)

    @property
    def port(self) -> int:
        """The port that is served, once `started`."""
        return self._listener.port


class Probe:
    """Keeps readiness right as far as certificates decide it: loaded, verified, trusted once."""

    def __init__(
        self,
        settings: Settings,
        *,
        origin: serving.Source,
        trusted: trust.Trust,
        shown: tls.ServingContext,
        server: AdmissionServer,
        ready: readiness.Readiness,
    ) -> None:
        self._origin, self._shown, self._server, self._ready = origin, shown, server, ready
        self._server_name = names.verified_dns_name(
            service=settings.fullname, namespace=settings.namespace
        )
        self._verified: int | None = None
        self._was_ready = False
        self._loop = serving.Loop(self._turn, what="the handshake with ourselves")
        origin.subscribe(self._loop.wake)
        trusted.subscribe(self._loop.wake)

    async def run(self) -> None:
        """Until cancelled."""
        await self._server.started.wait()
        await self._loop.run()

    async def _turn(self) -> float:
        if self._shown.leaf is not None:
            self._ready.met(readiness.Condition.CERTIFICATE_LOADED)
        if self._origin.issuer_seen():
            self._ready.met(readiness.Condition.ISSUER_SEEN)
        authorities = self._origin.authorities()
        if authorities is not None and self._verified != self._shown.serial:
            try:
                self._verified = await tls.self_probe(
                    port=self._server.port, server_name=self._server_name, ca_pem=authorities
                )
                self._ready.met(readiness.Condition.SELF_PROBE)
            except tls.TLSError as error:
                # What is shared by all replicas must never make all of them unready.
                _log.error("%s", error)
                return RETRY_SECONDS
        if self._ready.ready and not self._was_ready:
            _log.info("ready")
        self._was_ready = self._ready.ready
        return serving.TICK_SECONDS if self._ready.ready else 1.0


def validation(dispatch: Callable[..., Awaitable[Any]], judge: Judge) -> http.Handler:
    """The handler of `/validate`: Kopf's handlers decide, or `judge` where Kopf cannot be asked.

    What fails is allowed; what slips past is `Accepted=False` in the status, with its sentence.
    """
    # Some milliseconds each: where many are applied at once, pods have their turn in between.
    one_at_a_time = asyncio.Lock()

    async def validate(request: http.Request) -> http.Response:
        try:
            version, asked = await _read(request.body)
        except reviews.NoReview as error:
            return http.text(400, f"no AdmissionReview: {error}")
        if not reviews.is_injection(asked):
            return http.text(400, "no AdmissionReview of an injection")
        review = {"apiVersion": version, "kind": "AdmissionReview", "request": asked}
        try:
            async with asyncio.timeout(VALIDATE_SECONDS), one_at_a_time:
                answer = await dispatch(review, webhook=names.VALIDATE_HANDLER)
                await asyncio.sleep(0)  # Nothing in there waits: the next would follow at once.
        except Exception as error:  # noqa: BLE001 - the boundary of Kopf
            why = str(error) or type(error).__name__
            _log.warning("Kopf cannot dispatch an injection, it is judged directly: %s", why)
            response = _judged_directly(asked, judge)
            answer = {"apiVersion": version, "kind": "AdmissionReview", "response": response}
        return http.Response(200, orjson.dumps(answer))

    return validate


async def _read(body: bytes) -> reviews.Review:
    if len(body) <= reviews.AT_ONCE:
        return reviews.read(body)
    return await asyncio.to_thread(reviews.read, body)


def _judged_directly(asked: Json, judge: Judge) -> Json:
    try:
        return judge(asked)
    except Exception:  # noqa: BLE001 - an injection that we fail to judge is not refused for that
        _log.exception("cannot judge an injection, it is admitted unjudged")
        warning = f"{names.PRODUCT}: this injection could not be checked; see its status"
        return {"uid": asked["uid"], "allowed": True, "warnings": [warning]}
