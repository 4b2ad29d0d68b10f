"""Pods that are created at a steady rate while a test does something, and what became of them."""

import contextlib
import pathlib
import time
from collections.abc import Iterator

from tests.kits import e2e as kit
from tools.chaos import load, samples
from tools.controlplane import access

PER_SECOND = 20
AROUND_SECONDS = 2
"""Of pods before and after what the test does."""
GATES = [{"name": "tests.invalid/never"}]
"""They are admitted like any pod, and no node runs them: https://kubernetes.io/docs/concepts/scheduling-eviction/pod-scheduling-readiness/"""
WEBHOOK_PORT = 9443
_ESTABLISHED = "01"
"""https://docs.kernel.org/networking/proc_net_tcp.html"""


class Steady:
    """A context manager around what the test does; `judge` comes after it."""

    def __init__(self, cluster: access.Access, *, namespace: str, table: kit.Table) -> None:
        self._table = table
        self.load = load.Load(
            [cluster.client],
            namespace=namespace,
            per_second=PER_SECOND,
            spec={"schedulingGates": GATES},
        )
        self._excuses: list[samples.Excuse] = []

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        with self.load:
            self._some_more()
            yield
            self._some_more()

    @contextlib.contextmanager
    def fault(self, process: int) -> Iterator[None]:
        """Something happens to this replica; when the block ends nobody sends calls to it."""
        begun, open_now = time.monotonic(), connections(process)
        yield
        end = time.monotonic() + PROXY_SECONDS
        self._excuses.append(samples.Excuse(begin=begun, end=end, hung=open_now))

    def judge(self, what: str, *, bare: bool = False) -> samples.Tally:
        """Nothing may be refused or lost; bare is only what a fault excuses, or anything."""
        taken = self.load.taken()
        tally = samples.tally(taken, self._excuses)
        allowed = "any" if bare else tally.bare - len(tally.unexcused)
        self._table.add(
            what, tally.tried, tally.injected, tally.bare, allowed, tally.refused, tally.lost
        )
        wrong = (samples.Outcome.REFUSED, samples.Outcome.LOST)
        assert [sample.detail for sample in taken if sample.outcome in wrong] == []
        assert bare or tally.unexcused == (), tally
        assert tally.injected > 0
        return tally

    def _some_more(self) -> None:
        self.load.more(PER_SECOND * AROUND_SECONDS, seconds=kit.SECONDS)


PROXY_SECONDS = 2
"""From an endpoint's end in the API to kube-proxy's rules: it gathers changes for a second."""


def connections(process: int) -> int:
    """To the webhook's port, in the network namespace of a process."""
    count = 0
    for file in ("tcp", "tcp6"):
        table = pathlib.Path(f"/proc/{process}/net/{file}").read_text("ascii")
        for line in table.splitlines()[1:]:
            local, state = line.split()[1], line.split()[3]
            count += int(local.rpartition(":")[2], 16) == WEBHOOK_PORT and state == _ESTABLISHED
    return count


def score(process: int) -> pathlib.Path:
    """What the kernel adds to a process's memory when it looks for one to kill."""
    return pathlib.Path(f"/proc/{process}/oom_score_adj")
