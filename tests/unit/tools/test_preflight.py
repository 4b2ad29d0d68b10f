"""What is known of a foreign cluster without one."""

from __future__ import annotations

from typing import Any

import pytest

from tools.controlplane import foreign, preflight

DIGEST = f"sha256:{'a' * 64}"


@pytest.mark.parametrize(
    ("reference", "repository", "tag", "digest"),
    [
        ("app", "app", "latest", ""),
        ("registry:5000/team/app:1", "registry:5000/team/app", "1", ""),
        (f"ghcr.io/a/b@{DIGEST}", "ghcr.io/a/b", "", DIGEST),
        (f"ghcr.io/a/b:1@{DIGEST}", "ghcr.io/a/b", "1", DIGEST),
    ],
)
def test_a_reference_becomes_values_of_the_chart(
    reference: str, repository: str, tag: str, digest: str
) -> None:
    assert preflight.image_settings(reference) == (
        f"--set-string=image.repository={repository}",
        f"--set-string=image.tag={tag}",
        f"--set-string=image.digest={digest}",
    )


@pytest.mark.parametrize("text", ["", "a b", "App", "app:", "app@sha256:0", "app:1,tag=2", "../x"])
def test_what_is_not_a_reference_is_refused(text: str) -> None:
    with pytest.raises(foreign.ForeignError, match=r"not a reference of an image; write it as"):
        preflight.image_settings(text)


def pod(*states: dict[str, Any]) -> dict[str, Any]:
    statuses = [
        {"name": f"image-{number}", "image": f"app-{number}", "state": state}
        for number, state in enumerate(states)
    ]
    return {"spec": {"containers": statuses}, "status": {"containerStatuses": statuses}}


ENDED = {"terminated": {"exitCode": 0}}
FAILED = {"terminated": {"exitCode": 1}}
RUNNING: dict[str, Any] = {"running": {}}
CREATING = {"waiting": {"reason": "ContainerCreating"}}


@pytest.mark.parametrize(
    ("states", "result"),
    [
        ((ENDED, RUNNING, FAILED), ""),
        ((RUNNING, RUNNING, ENDED), None),
        ((ENDED, CREATING, ENDED), None),
    ],
)
def test_a_probe_has_run_when_the_operator_ended_well_and_the_others_started(
    states: tuple[dict[str, Any], ...], result: str | None
) -> None:
    assert preflight.problem(pod(*states)) == result


@pytest.mark.parametrize(
    ("state", "detail"),
    [
        (FAILED, "exit status 1"),
        ({"waiting": {"reason": "ErrImagePull", "message": "no\nhost"}}, "ErrImagePull: no host"),
        ({"waiting": {"reason": "InvalidImageName"}}, "InvalidImageName: no message"),
        ({"waiting": {"reason": "CreateContainerError"}}, "CreateContainerError"),
    ],
)
def test_a_probe_that_cannot_run_names_image_and_reason(state: dict[str, Any], detail: str) -> None:
    result = preflight.problem(pod(ENDED, state) if "waiting" in state else pod(state))
    assert result is not None
    assert "app-" in result
    assert detail in result
