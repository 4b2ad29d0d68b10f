"""The certificate loop: every replica makes, keeps and rolls our own CA and certificate.

Each replica reads the Secret, asks `pki.plan` for the next step and takes it by compare-and-swap. A
replica that loses the race adopts what the winner wrote. There is no leader.
"""

from __future__ import annotations

import dataclasses
import datetime
import logging
from typing import Final

from sidecar_injector import names
from sidecar_injector.controllers import loop, rate_limit
from sidecar_injector.controllers.certificates import problems, secret_store, serving
from sidecar_injector.controllers.certificates.source import CertificateSource
from sidecar_injector.kube import api
from sidecar_injector.observability.metrics import Metrics
from sidecar_injector.pki import checks, keys, plan, secret_data, webhook_configuration

log = logging.getLogger(__name__)

MOST_STEPS: Final = 30
"""In one turn: a step may make another one due, and so may the steps of other replicas."""
SHORTEST_PAUSE: Final = 0.05


class SelfSigned(CertificateSource):
    """A source whose certificates we make ourselves."""

    def __init__(
        self,
        client: api.Api,
        *,
        secret_ref: secret_store.SecretRef,
        policy: plan.Policy,
        served: serving.ServedCertificate,
        metrics: Metrics,
        generate: plan.Generate = keys.generate,
    ) -> None:
        super().__init__(client, secret_ref=secret_ref, served=served, metrics=metrics)
        self._policy, self._generate = policy, generate
        self._alarms, self._expiration = served.alarms, metrics.certificate_expiration
        self._adopted: secret_data.CertificateSet | None = None
        self._limiter = rate_limit.WriteLimiter(self._clocks.monotonic)

    def bundle(self) -> bytes | None:
        return self._adopted.bundle() if self._adopted else None

    async def refresh(self) -> bytes | None:
        await self._store.read()
        step = self._next_step()
        if step.action is plan.Action.ADOPT:
            self._adopt(step)
        elif step.action.writes:
            self._loop.wake()
        return self.bundle()

    def issuer_was_live(self) -> bool:
        return self._adopted is not None and self._trust.was_live(
            checks.fingerprint(self._adopted.ca.certificate)
        )

    async def reconcile(self) -> float:
        try:
            step = await self.take_due_steps()
        finally:
            # Also if a write fails: the adopted certificate may be good while the served one ends.
            self._serve()
        if step.until is None:
            return loop.TICK_SECONDS
        return max((step.until - self._clocks.now()).total_seconds(), SHORTEST_PAUSE)

    async def take_due_steps(self) -> plan.Step:
        """Take every step that is due; returns the first one that is not due, or not allowed."""
        step = self._next_step()
        for _ in range(MOST_STEPS):
            if step.action is plan.Action.ADOPT:
                self._adopt(step)
            elif not step.action.writes:
                break
            else:
                step = await self._take_write(step)
                if step.action is plan.Action.WAIT:
                    break
            step = self._next_step()
        if not self._next_step().action.writes:
            self._observe_correct()
        return step

    async def _take_write(self, step: plan.Step) -> plan.Step:
        """Take the step if it is due and allowed; a step with WAIT if it is not allowed."""
        # Repairs are limited apart: a rotation is never late because of accidents before it.
        delay = self._limiter.delay(step.action.repairs)
        if delay > 0:
            self._report_write_conflict()
            until = self._clocks.now() + datetime.timedelta(seconds=delay)
            return plan.Step(plan.Action.WAIT, "the Secret was written too often", until)
        # The watch may be behind, so nothing is written before a read.
        await self._store.read()
        newest = self._next_step()
        if newest.action.writes and not await self._write(newest):
            return dataclasses.replace(newest, action=plan.Action.WAIT)
        return newest

    def observe(self, secret: api.Json | None) -> None:
        super().observe(secret)
        step = self._next_step()
        if step.action is plan.Action.ADOPT:
            # At once: the loop may wait for a slow API server for longer than the leaf lives.
            self._adopt(step)

    def _next_step(self) -> plan.Step:
        return plan.next_step(self._state(), self._policy)

    def _state(self) -> plan.CertificateState:
        return plan.CertificateState(
            now=self._clocks.now(),
            secret=self._store.content(),
            adopted=self._adopted,
            live_seconds=self._trust.live_seconds(),
            request=self._store.request(),
        )

    async def _write(self, step: plan.Step) -> bool:
        """Try to take the step; False if it is not allowed now. Another replica may be faster."""
        state, secret = self._state(), self._store.secret
        if step.depends_on_live and not await self._trust.is_current():
            return False
        log.info("certificates: %s: %s", step.action.value, step.why)
        certificates = plan.apply_step(step, state, policy=self._policy, generate=self._generate)
        if not await self._store.write(certificates, over=secret):
            return False
        self._limiter.count(step.action.repairs)
        return True

    def _observe_correct(self) -> None:
        """The Secret is correct, whether we or another writer made it so."""
        for repairs in (True, False):
            self._limiter.observe_correct(repairs)
        if all(self._limiter.is_stable(repairs) for repairs in (True, False)):
            self._alarms.clear(problems.CertificateProblem.SECRET_REWRITTEN)

    def _report_write_conflict(self) -> None:
        secret = self._store.secret
        managers = ", ".join(webhook_configuration.other_managers(secret)) if secret else ""
        message = (
            f"{managers or 'somebody'} keeps changing or deleting the Secret {self._store.name}:"
            " it is repaired once a minute from now on, and served from memory"
        )
        self._alarms.set(problems.CertificateProblem.SECRET_REWRITTEN, message)

    def _adopt(self, step: plan.Step) -> None:
        content = self._store.content()
        if not isinstance(content, secret_data.CertificateSet):
            raise plan.NotAWriteError(step)
        log.info("certificates: loaded certificate %d", content.generation)
        self._adopted = content
        expires = content.ca.parsed().not_valid_after_utc.timestamp()
        self._expiration.labels(certificate="ca").set(expires)
        self._notify()
        # Before the next step, which may have to wait for the API server.
        self._serve()

    def _serve(self) -> None:
        """Serve the adopted leaf, if it is valid and `ServedCertificate` allows the change."""
        adopted = self._adopted
        if adopted is None:
            return
        findings = checks.serving(
            adopted.leaf.parsed(),
            field=names.TLS_CERT,
            # Enough for API servers. The others follow with the next write of the Secret.
            dns_names=self._policy.verified_names,
            now=self._clocks.now(),
        )
        before = self._served.certificate, self._served.ca_certificates
        if findings:
            self._served.report("; ".join(map(str, findings)))
        else:
            self._served.change(
                adopted.leaf, cas=adopted.bundle(), why=f"generation {adopted.generation}"
            )
        # Only news: who listens may wake this loop again, and so without end.
        if before != (self._served.certificate, self._served.ca_certificates):
            self._notify()
