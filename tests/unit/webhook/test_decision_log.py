"""What is said about a decision: to the author, the audit log, the metrics and our own log."""

from __future__ import annotations

import base64
import io
import json
import logging
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sidecar_injector import names
from sidecar_injector.controllers import pod_events
from sidecar_injector.core import decision
from sidecar_injector.core.reasons import PodVerdict, Reason
from sidecar_injector.observability import logs
from sidecar_injector.webhook import decision_log, mutate, response
from sidecar_injector.webhook.response import Owner
from tests.kits.admission import Server, clash, review
from tests.kits.samples import NAMESPACE, container, injection, pod, resource


def test_a_conflict_is_a_warning_that_names_product_pod_injection_and_remedy():
    (warning,) = Server(clash()).response(pod())["warnings"]
    remedy = Reason.CONTAINER_CONFLICT.remedy
    assert warning.startswith(f"sidecar-injector: pod web starts without clash: {remedy} (")


def test_there_are_at_most_three_warnings_and_each_names_what_it_is_about():
    parts = {"spec": {"containers": [container("app", image="x")]}}
    many = [resource("n" * 60 + str(index), template=parts) for index in range(5)]
    lines = Server(*many).response(pod())["warnings"]
    assert len(lines) == 3
    assert all(len(line) <= response.MAX_WARNING_LENGTH for line in lines)
    assert all(line.endswith("different container of that name: 'app')") for line in lines)


def test_a_long_warning_is_cut_and_still_says_what_to_do():
    line = decision.line(injection("n" * 60), Reason.MISSING_VOLUME, "words " * 100)
    decided = decision.Decision(
        verdict=PodVerdict.UNCHANGED, reason=None, message="", pod={}, evaluated=[line]
    )
    (warning,) = response.warnings(decided, "pod web")
    assert len(warning) == response.MAX_WARNING_LENGTH
    assert warning.endswith("…")
    assert warning.index(line.reason.remedy) < response.MAX_CORRECTION_LENGTH


def test_a_name_that_does_not_exist_is_a_warning():
    asking = pod(annotations={names.INJECT_ANNOTATION: "ghost,log"})
    response = Server(resource()).response(asking)
    assert [line.split(": ")[:3] for line in response["warnings"]] == [
        [
            "sidecar-injector",
            "UnknownInjection",
            "'ghost' does not exist; kubectl get sidecar-injector -n demo",
        ]
    ]
    assert "patch" in response


def test_the_audit_annotations_list_what_was_injected_and_what_was_not():
    other = resource("c", cluster=True, template={"spec": {"containers": [container("c")]}})
    server = Server(resource(), other, clash())
    assert server.response(pod())["auditAnnotations"] == {
        "injected": "cluster/c,log", "skipped": "clash=ContainerConflict",
    }  # fmt: skip
    assert "auditAnnotations" not in Server().response(pod())


def test_a_dry_run_of_an_injection_is_logged_and_counted_and_warns_nobody():
    left_out = resource(
        "left", dryRun=True, applicationContainers={"env": [{"name": "A", "value": "a"}]}
    )
    dry_clash = clash()
    dry_clash["spec"] |= {"dryRun": True, "failurePolicy": "Fail"}
    server = Server(left_out, dry_clash, resource(dryRun=True, priority=-1))
    subject = pod(containers=[container("app", envFrom=[{"configMapRef": {"name": "x"}}])])
    answer = server.response(subject)
    assert answer == {
        "uid": answer["uid"], "allowed": True,
        "auditAnnotations": {
            "dryRun": "clash=ContainerConflict,left=Injected,log=AlreadyInjected",
        },
    }  # fmt: skip
    (decided,) = server.decided
    assert decided.skipped == ()
    assert pod_events.of(decided) == []
    line = decision_log.message_of(decided.log_line)
    assert line.endswith(
        "nothing to inject; dry run: clash=ContainerConflict, left=Injected, log=AlreadyInjected"
    )
    assert server.count("decisions_total", reason="DryRun") == 1
    assert server.count("decisions_total", reason="ContainerConflict") == 0
    for reason, count in (("ContainerConflict", 1), ("Injected", 1), ("DryRun", 0)):
        assert server.count("dry_run_injections_total", reason=reason) == count
    # A later pod of the template is answered from the cache, and counts the same.
    assert server.response(subject) == answer
    assert server.count("dry_run_injections_total", reason="ContainerConflict") == 2
    server.response(subject, dryRun=True)
    assert server.count("dry_run_injections_total", reason="ContainerConflict") == 2


def test_every_decision_is_counted_by_result_and_by_each_of_its_reasons():
    server = Server(resource(), clash())
    assert server.count("patch_bytes_count") == 0
    response = server.response(pod())
    assert server.count("admission_requests_total", result="Injected") == 1
    assert server.count("decisions_total", reason="Injected") == 1
    assert server.count("decisions_total", reason="ContainerConflict") == 1
    assert server.count("admission_duration_seconds_count") == 1
    size = len(base64.b64decode(response["patch"]))
    assert server.count("patch_bytes_sum") == pytest.approx(size, abs=3)


def test_every_result_and_reason_is_on_the_metrics_page_from_the_start():
    server = Server()
    for result in (*(verdict.value for verdict in PodVerdict), "error"):
        assert server.count("admission_requests_total", result=result) == 0
    for reason in Reason:
        assert server.count("decisions_total", reason=reason.value) == 0


def test_a_dry_run_is_answered_like_any_other_and_leaves_no_event():
    server = Server(clash())
    wet, dry = server.response(pod()), server.response(pod(), dryRun=True)
    assert wet == dry
    assert [response.dry_run for response in server.decided] == [False, True]
    assert [len(pod_events.of(response)) for response in server.decided] == [1, 0]


def test_events_get_the_verdict_the_owner_and_the_namespace_of_the_request():
    server = Server(resource())
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-1", "controller": True}
    expected = Owner(api_version="apps/v1", kind="ReplicaSet", name="web-1", uid="")
    subject = pod()
    subject["metadata"]["ownerReferences"] = [{"kind": "Node", "name": "n"}, owner]
    server.response(subject)
    (response,) = server.decided
    assert (response.namespace, response.owner) == (NAMESPACE, expected)
    assert response.verdict == PodVerdict.INJECTED.value


def fields_of(caplog):
    return [record.fields for record in caplog.records if hasattr(record, "fields")]


def test_a_decision_is_one_log_line_with_all_its_fields(caplog):
    caplog.set_level(logging.INFO)
    subject = pod()
    owners = [
        {"kind": "Node", "name": "n"},
        {"kind": "ReplicaSet", "name": "web-1", "controller": True},
    ]
    subject["metadata"] = {"generateName": "web-1-", "ownerReferences": owners}
    Server(resource(), clash()).response(subject)
    (fields,) = fields_of(caplog)
    assert fields.pop("milliseconds") >= 0
    assert fields == {
        "namespace": NAMESPACE, "pod": "web-1-", "uid": "6-7-8", "owner": "ReplicaSet/web-1",
        "verdict": "Injected", "reasons": ["ContainerConflict", "Injected"],
    }  # fmt: skip
    assert caplog.messages == [
        "pod demo/web-1-*: Injected: injected log; skipped clash=ContainerConflict"
    ]


def test_a_cache_that_is_behind_is_said_in_the_log_and_costs_nothing(caplog):
    caplog.set_level(logging.INFO)
    server = Server(resource())
    server.state.namespace_changed(("", NAMESPACE), None, None)
    assert "patch" in server.response(pod())
    assert fields_of(caplog)[0]["cacheBehind"] is True
    caplog.clear()
    Server(resource()).response(pod())
    assert "cacheBehind" not in fields_of(caplog)[0]


def test_without_the_info_level_no_line_is_made(caplog):
    caplog.set_level(logging.WARNING)
    Server(resource()).response(pod())
    assert caplog.records == []


SECRETS = st.text("abcdefghij0123456789", min_size=24, max_size=40)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(SECRETS, st.sampled_from([None, 3, "x", [], {"a": 1}, [1]]), st.booleans())
def test_nothing_of_the_pods_body_is_logged(caplog, secret, junk, conflict):
    caplog.clear()
    caplog.set_level(logging.DEBUG)
    subject = pod(annotations={"example.com/note": secret}, volumes=junk)
    subject["spec"]["containers"][0] |= {
        "env": [{"name": "TOKEN", "value": secret}], "args": [secret], "ports": junk,
    }  # fmt: skip
    server = Server(resource(), *([clash()] if conflict else []))
    assert server.response(subject)["allowed"] is True
    assert caplog.records
    for record in caplog.records:
        assert secret not in logs.JsonFormatter().format(record)
        assert secret not in logs.TextFormatter("%(message)s").format(record)


TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def logged_trace(caplog, traceparent):
    """What the line of a decision says about its trace."""
    with caplog.at_level(logging.INFO):
        Server(resource()).post(review(pod()), headers={b"traceparent": traceparent})
    (line,) = [fields for fields in fields_of(caplog) if "verdict" in fields]
    caplog.clear()
    return line.get("trace")


def test_the_name_of_the_logger_by_which_users_filter_stays(caplog):
    caplog.set_level(logging.INFO)
    Server(resource()).response(pod())
    assert [record.name for record in caplog.records] == ["sidecar_injector.server.admission"]


def test_a_json_log_has_the_same_members_as_a_record(caplog):
    caplog.set_level(logging.INFO)
    stream = io.BytesIO()
    lines = logs.Lines(stream, logs.JsonFormatter())
    subject = pod()
    for log in (decision_log.DecisionLog(), decision_log.DecisionLog([lines])):
        Server(resource(), clash(), log=log).post(
            review(subject), headers={b"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01".encode()}
        )
    (record,) = caplog.records
    direct, formatted = (
        json.loads(stream.getvalue()),
        json.loads(logs.JsonFormatter().format(record)),
    )
    for line in (direct, formatted):
        assert line.pop("milliseconds") >= 0
        assert line.pop("time")
    assert direct == formatted


def test_the_line_of_a_decision_names_the_trace_that_the_api_server_is_in(caplog):
    assert logged_trace(caplog, f"00-{TRACE}-00f067aa0ba902b7-01".encode()) == TRACE


@pytest.mark.parametrize(
    "garbage",
    [
        "", "00", "-" * 55, f"00-{TRACE}", f"00-{TRACE[:-1]}-00f067aa0ba902b7-01",
        f"00-{TRACE[:-1]}g-00f067aa0ba902b7-01", f"00-{'0' * 32}-00f067aa0ba902b7-01",
        f"00-{TRACE.upper()}-00f067aa0ba902b7-01", f"00-{TRACE}-secret-01", "\xff" * 60,
    ],
)  # fmt: skip
def test_a_traceparent_that_cannot_be_read_is_ignored(caplog, garbage):
    assert logged_trace(caplog, garbage.encode("latin-1")) is None


@given(st.binary(max_size=80))
def test_whatever_a_client_sends_as_its_trace_only_32_hexadecimal_digits_are_kept(header):
    assert re.fullmatch(r"([0-9a-f]{32})?", mutate.trace_id(header))


def test_only_a_refused_pod_is_a_warning(caplog):
    refusing = resource("must", failurePolicy="Fail", template=clash()["spec"]["template"])
    for injections, level in (([refusing], "warning"), ([resource(), clash()], "info")):
        server = Server(*injections)
        with caplog.at_level(logging.INFO):
            server.response(pod())
            stream = io.BytesIO()
            handler = logs.Lines(stream, logs.JsonFormatter())
            log = decision_log.DecisionLog([handler])
            log.write(server.decided[-1].log_line, uid=b'"u"', milliseconds=1, trace="")
        assert caplog.records[-1].levelname.lower() == level
        handler.flush()
        assert json.loads(stream.getvalue())["level"] == level


def test_a_refused_pod_is_logged_where_only_warnings_are(caplog):
    caplog.set_level(logging.WARNING)
    Server(resource("must", failurePolicy="Fail", template=clash()["spec"]["template"])).response(
        pod()
    )
    assert [fields["verdict"] for fields in fields_of(caplog)] == ["Refused"]


def test_the_reasons_of_a_dry_run_are_not_counted():
    server = Server(resource())
    asking = pod(annotations={names.INJECT_ANNOTATION: "ghost"})
    server.response(asking, dryRun=True)
    assert server.count("decisions_total", reason="UnknownInjection") == 0
    assert server.count("admission_requests_total", result="Injected") == 1
    server.response(asking)
    assert server.count("decisions_total", reason="UnknownInjection") == 1
