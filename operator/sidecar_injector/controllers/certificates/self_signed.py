"""The certificate loop: makes, keeps and rolls our own CA and certificate, on every replica.

The Secret is the truth. Each replica looks at it, asks `pki.plan` for the next step and takes it
by compare-and-swap; whoever loses the race takes over what the winner wrote. There is no leader.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Callable
from typing import Final

from sidecar_injector import names
from sidecar_injector.controllers import loop
from sidecar_injector.controllers.certificates import (
    problems,
    rate_limit,
    secret_store,
    serving,
    trust,
)
from sidecar_injector.kube import api, informer, server_clock
from sidecar_injector.observability.metrics import Metrics
from sidecar_injector.pki import checks, keys, plan, roll, secret_data, webhook_configuration

log = logging.getLogger(__name__)

MOST_STEPS: Final = 30
"""In one go. A step leads to the next, or to somebody else's having been faster."""
SHORTEST_WAIT: Final = 0.05


class SelfSigned:
    """A `serving.CertificateSource` whose certificates we make ourselves."""

    def __init__(
        self,
        client: api.Api,
        *,
        place: secret_store.SecretRef,
        policy: plan.Policy,
        serve: serving.ServedCertificate,
        trusted: trust.Trust,
        metrics: Metrics,
        raising: problems.Alarms,
        clocks: server_clock.Clocks,
        generate: roll.Generate = keys.generate,
    ) -> None:
        self._policy, self._serve, self._trusted = policy, serve, trusted
        self._metrics, self._alarms = metrics, raising
        self._clocks, self._generate = clocks, generate
        self._store = secret_store.SecretStore(client, place=place, metrics=metrics)
        self._memory: secret_data.Stored | None = None
        self._limiter = rate_limit.Limiter()
        self._listeners: list[Callable[[], None]] = []
        self._loop = loop.Loop(self._turn, what=f"Secret {place.secret}")
        self._cache = informer.Informer(
            client, api.SECRETS, metrics=metrics, scope=place.scope(), on_change=self._changed
        )
        trusted.subscribe(self._loop.wake)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._cache.run())
            await self._cache.synced.wait()
            group.create_task(self._loop.run())

    def bundle(self) -> bytes | None:
        return self._memory.bundle() if self._memory else None

    async def refresh(self) -> bytes | None:
        await self._store.read()
        step = self._next()
        if step.action is plan.Action.ADOPT:
            self._adopt(step)
        elif step.action.writes:
            self._loop.wake()
        return self.bundle()

    def authorities(self) -> bytes | None:
        return self._serve.authorities

    def issuer_seen(self) -> bool:
        return self._memory is not None and self._trusted.ever(
            checks.fingerprint(self._memory.ca.certificate)
        )

    def subscribe(self, listener: Callable[[], None]) -> None:
        self._listeners.append(listener)

    async def reconcile(self) -> plan.Step:
        """Take every step that is due now; returns the first that is not, or may not be taken."""
        step = self._next()
        for _ in range(MOST_STEPS):
            if step.action is plan.Action.ADOPT:
                self._adopt(step)
            elif not step.action.writes:
                break
            else:
                # What the watch has told may be old; nothing is written before asking.
                await self._store.read()
                fresh = self._next()
                if fresh.action.writes and not await self._write(fresh):
                    step = dataclasses.replace(fresh, action=plan.Action.WAIT)
                    break
            step = self._next()
        if not self._next().action.writes:
            self._note_peace()
        self._serve_what_may_be()
        return step

    def _changed(self, _key: informer.Key, _old: api.Json | None, new: api.Json | None) -> None:
        self._store.raw = new
        step = self._next()
        if step.action is plan.Action.ADOPT:
            # At once: the loop may be waiting for a slow API, even for longer than the leaf lives.
            self._adopt(step)
        self._loop.wake()

    async def _turn(self) -> float:
        step = await self.reconcile()
        if step.until is None:
            return loop.TICK_SECONDS
        return max((step.until - self._clocks.now()).total_seconds(), SHORTEST_WAIT)

    def _next(self) -> plan.Step:
        return plan.next_step(self._world(), self._policy)

    def _world(self) -> plan.CertificateState:
        return plan.CertificateState(
            now=self._clocks.now(),
            found=self._store.found(),
            memory=self._memory,
            seen_for=self._trusted.seen_for(),
            request=self._store.request(),
        )

    async def _write(self, step: plan.Step) -> bool:
        """Take the step, or lose the race for it; False if it must not be taken now."""
        world, over = self._world(), self._store.raw
        if not await self._may_write(step, world):
            return False
        log.info("certificates: %s: %s", step.action.value, step.why)
        stored = roll.carry_out(step, world, policy=self._policy, generate=self._generate)
        return await self._store.write(stored, over=over)

    async def _may_write(self, step: plan.Step, world: plan.CertificateState) -> bool:
        """Whether the API servers are where the step needs them, and nobody is fighting us."""
        if step.on_trust and not await self._trusted.confirmed():
            return False
        if step.action is not plan.Action.WRITE_BACK:
            return True
        if self._limiter.wait(self._clocks.monotonic()) > 0:
            self._complain_of_a_fight()
            return False
        return True

    def _note_peace(self) -> None:
        """The Secret is as it should be, whether we or others made it so."""
        now = self._clocks.monotonic()
        self._limiter.right(now)
        if self._limiter.quiet(now):
            self._alarms.clear(problems.CertificateProblem.SECRET_REWRITTEN)

    def _complain_of_a_fight(self) -> None:
        raw = self._store.raw
        others = ", ".join(webhook_configuration.other_managers(raw)) if raw else ""
        message = (
            f"{others or 'somebody'} keeps changing or deleting the Secret {self._store.name}:"
            " it is written back once a minute from now on, and served from memory"
        )
        self._alarms.set(problems.CertificateProblem.SECRET_REWRITTEN, message)

    def _adopt(self, step: plan.Step) -> None:
        found = self._store.found()
        if not isinstance(found, secret_data.Stored):
            raise roll.NotAWriteError(step)
        log.info("certificates: took over generation %d", found.generation)
        self._memory = found
        expires = found.ca.parsed().not_valid_after_utc.timestamp()
        self._metrics.certificate_expiration.labels(certificate="ca").set(expires)
        self._tell()
        # Before the next step, which may have to wait for the API.
        self._serve_what_may_be()

    def _serve_what_may_be(self) -> None:
        memory = self._memory
        if memory is None:
            return
        flaws = checks.serving(
            memory.leaf.parsed(),
            field=names.TLS_CERT,
            dns_names=self._policy.dns_names,
            now=self._clocks.now(),
        )
        if flaws:
            self._serve.complain("; ".join(map(str, flaws)))
        elif self._serve.change(
            memory.leaf, authorities=memory.bundle(), why=f"generation {memory.generation}"
        ):
            self._tell()

    def _tell(self) -> None:
        for listener in self._listeners:
            listener()
