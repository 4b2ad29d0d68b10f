"""What chaos counts: what is excused, what is not, and what a late proxy delays."""

import argparse
import dataclasses
import json
import pathlib
import socket
import threading
import time

import pytest

from tools.chaos import __main__ as command
from tools.chaos import late, load, report, run, samples, table
from tools.controlplane import client, errors, ports, release

BARE, INJECTED = samples.Outcome.BARE, samples.Outcome.INJECTED


def sample(
    began: float, ended: float, outcome: samples.Outcome = BARE, detail: str = ""
) -> samples.Sample:
    return samples.Sample(began=began, ended=ended, outcome=outcome, detail=detail)


EXCUSE = samples.Excuse(begin=10, end=11)


@pytest.mark.parametrize(
    ("began", "ended", "excused"),
    [(9, 9.9, False), (9, 10, True), (10.2, 10.3, True), (11, 12, True), (11.1, 12, False)],
)
def test_a_bare_pod_is_excused_if_it_was_under_way_during_the_fault(
    began: float, ended: float, excused: bool
) -> None:
    tally = samples.tally([sample(began, ended)], [EXCUSE])
    assert (tally.unexcused == ()) is excused
    assert tally.bare == 1


def test_only_as_many_pods_may_hang_later_as_connections_were_open() -> None:
    later = [sample(12, 17), sample(13, 18), sample(14, 14.1)]
    tally = samples.tally(later, [dataclasses.replace(EXCUSE, hung=1)])
    assert tally.unexcused == (later[1], later[2])
    assert tally.hung == 2


def test_bare_pods_that_are_close_together_are_one_window() -> None:
    windows = samples.windows([sample(5, 5.5), sample(0, 0.2), sample(1, 1.5), sample(5.1, 5.3)])
    assert windows == [1.5, 0.5]


def test_every_outcome_is_counted() -> None:
    outcomes = [INJECTED, INJECTED, BARE, samples.Outcome.REFUSED, samples.Outcome.LOST]
    tally = samples.tally([sample(0, 1, outcome) for outcome in outcomes], [])
    counts = (tally.tried, tally.injected, tally.bare, tally.refused, tally.lost)
    assert counts == (5, 2, 1, 1, 1)


@pytest.mark.parametrize(
    ("message", "outcome"),
    [
        ('500: failed calling webhook "pods.x": EOF', samples.Outcome.REFUSED),
        ('422: admission webhook "pods.x" denied the request: no', samples.Outcome.REFUSED),
        ("504: etcdserver: request timed out", samples.Outcome.LOST),
    ],
)
def test_a_refusal_is_what_names_the_webhook(message: str, outcome: samples.Outcome) -> None:
    assert samples.failure(message) is outcome


@pytest.mark.parametrize(("share", "value"), [(0.5, 2.0), (0.99, 4.0), (0.25, 1.0)])
def test_a_percentile_is_one_of_the_values(share: float, value: float) -> None:
    assert samples.percentile([4.0, 1.0, 3.0, 2.0], share) == value


def result(*, failures: tuple[str, ...] = (), **counts: int) -> run.Result:
    outcomes = {samples.Outcome(name): count for name, count in counts.items()}
    taken = [sample(0, 1, outcome) for outcome, count in outcomes.items() for _ in range(count)]
    return run.Result(
        row=table.ROWS[0], times=3, seconds=1, tally=samples.tally(taken, []), connections=2,
        repairs=[0.25, 0.5], failures=failures, notes=["a note"],
    )  # fmt: skip


def test_the_table_has_every_figure_and_says_why_a_row_failed() -> None:
    text = report.table([result(injected=7, bare=2), result(failures=("too slow",))])
    row = f"| {table.ROWS[0].title} | 3     | 9     | 0       | 2    | 1, longest 1.00 s |"
    assert row in text
    assert "| 0.25 / 0.50 s  | ok      |" in text
    assert "leaf: FAILED: too slow" in text
    assert "leaf: a note" in text


def test_the_document_is_json_with_the_pods_that_nothing_excuses() -> None:
    document = json.loads(json.dumps(report.document([result(bare=1)], quick=True)))
    assert document["quick"] is True
    assert document["failed"] is False
    (row,) = document["rows"]
    assert [pod["outcome"] for pod in row["unexcused"]] == ["bare"]


def test_rows_are_chosen_by_name_and_keep_the_order_of_the_table() -> None:
    assert [row.name for row in command.chosen(" wipe, leaf")] == ["leaf", "wipe"]
    assert command.chosen("") == table.ROWS
    with pytest.raises(argparse.ArgumentTypeError, match="no row 'leef'; rows are leaf, roll"):
        command.chosen("leaf,leef")
    with pytest.raises(argparse.ArgumentTypeError, match="'0' is not a whole number of 1 or more"):
        command.positive("0")


def test_rows_that_spoil_the_replicas_or_set_them_otherwise_are_played_last() -> None:
    played = [(bool(row.settings), row.spoils) for row in command.in_turn(table.ROWS)]
    assert played == sorted(played)
    assert len(played) == len(table.ROWS)


def test_names_of_rows_are_unique_and_a_quick_run_is_the_shorter_one() -> None:
    assert len({row.name for row in table.ROWS}) == len(table.ROWS)
    assert all(1 <= row.quick < row.times for row in table.ROWS)


def test_an_injected_pod_is_known_by_our_container() -> None:
    pod = load.pod()
    assert not load.injected(pod)
    pod["spec"]["containers"].append({"name": release.SIDECAR})
    assert load.injected(pod)


class ApiServer:
    """In the place of a connection: names pods by number, and closes when it gets a stop."""

    def __init__(self) -> None:
        self.pods: list[str] = []
        self.is_away = False
        self.status, self._answer = 201, ""

    def request(self, method: str, path: str, *_: object, headers: object = None) -> None:
        if self.is_away:
            raise ConnectionResetError
        if method == "POST":
            name = f"load-{len(self.pods)}"
            self.pods.append(name)
            self._answer = json.dumps(load.pod(name=name))
        else:
            self.pods.remove(path.rpartition("/")[2].removesuffix("?gracePeriodSeconds=0"))

    def getresponse(self) -> "ApiServer":
        return self

    def read(self) -> bytes:
        return self._answer.encode()

    def close(self) -> None:
        self.is_away = False


NOBODY = client.Client(server="https://x:1", certificate_authority=pathlib.Path(), token="")


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> list[ApiServer]:
    """One for each connection."""
    created: list[ApiServer] = []

    def connect(*_: object, **__: object) -> ApiServer:
        created.append(ApiServer())
        return created[-1]

    monkeypatch.setattr("http.client.HTTPSConnection", connect)
    monkeypatch.setattr("ssl.create_default_context", lambda **_: None)
    return created


def test_the_load_leaves_no_pods_to_the_next_row(servers: list[ApiServer]) -> None:
    with load.Load([NOBODY], namespace="x", per_second=500) as running:
        running.wait("a pod", lambda sample: sample.outcome is BARE, seconds=10)
    assert running.taken()
    assert not any(server.pods for server in servers)


def test_a_wait_looks_at_each_pod_once(servers: list[ApiServer]) -> None:
    looked: list[samples.Sample] = []

    def tenth(sample: samples.Sample) -> bool:
        looked.append(sample)
        return len(looked) == 10

    with load.Load([NOBODY], namespace="x", per_second=500) as running:
        running.more(5, seconds=10)
        assert len(running.taken()) >= 5
        pod = running.wait("a tenth pod", tenth, seconds=10)
        assert tuple(looked) == running.taken()[:10]
        assert pod is looked[-1]
        with pytest.raises(errors.WaitError, match=r"pods to be tried: not within 0 s"):
            running.more(1e6, seconds=0)


def test_the_load_keeps_its_last_pods_only(servers: list[ApiServer]) -> None:
    creator = load.Creator(NOBODY, "/pods")
    (server,) = servers
    for _ in range(4):
        assert creator.create(load.pod()).outcome is BARE
    creator.tidy(4)
    assert server.pods == ["load-0", "load-1", "load-2", "load-3"]
    creator.tidy(3)
    assert server.pods == ["load-1", "load-2", "load-3"]
    server.is_away = True
    creator.tidy(1)
    assert server.pods == ["load-1", "load-3"]


def test_the_second_api_server_reads_the_configuration_on_its_own_and_shares_the_rest() -> None:
    first = ("kube-apiserver", "--etcd-servers=http://127.0.0.1:1", "--secure-port=2", "--x=y")
    command = late.command(first, port=3, etcd_port=4)
    assert command[:3] == ("kube-apiserver", "--etcd-servers=http://127.0.0.1:1", "--x=y")
    assert "--secure-port=3" in command
    assert f"--etcd-servers-overrides={late.RESOURCE}#http://127.0.0.1:4" in command


def test_a_late_answer_is_whole_and_a_question_is_not_late() -> None:
    heard: list[float] = []
    with socket.create_server((ports.LOOPBACK, 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                while data := connection.recv(65536):
                    heard.append(time.monotonic())
                    connection.sendall(data)

        thread = threading.Thread(target=answer)
        thread.start()
        with late.Delay(server.getsockname()[1]) as proxy:
            proxy.seconds = 0.3
            with socket.create_connection((ports.LOOPBACK, proxy.port)) as client:
                began = time.monotonic()
                client.sendall(b"x" * 100_000)
                client.shutdown(socket.SHUT_WR)
                received = b"".join(iter(lambda: client.recv(65536), b""))
                ended = time.monotonic()
            thread.join()
    assert received == b"x" * 100_000
    assert ended - began >= 0.3
    assert heard[0] - began < ended - heard[0]


def test_the_api_servers_say_why_pods_were_bare(tmp_path: pathlib.Path) -> None:
    log = tmp_path / "log"
    log.write_text("W1 before, failing open x: failed to call webhook: EOF\n", "utf-8")
    why = samples.Reasons([log])
    call = 'W1 d.go:1] failing open x: failed to call webhook: Post "https://x/mutate?timeout=5s":'
    with log.open("a", encoding="utf-8") as file:
        file.write(f"{call} tls: certificate has expired: current time 1 is after 2\n" * 2)
        file.write(f"{call} dial tcp 127.0.0.1:20576: connect: connection refused\n")
        file.write("E1 the same again, failing open x: failed to call webhook: EOF\n")
    assert why.sentences() == [
        "2 x tls: certificate has expired",
        "1 x dial tcp connect: connection refused",
    ]
