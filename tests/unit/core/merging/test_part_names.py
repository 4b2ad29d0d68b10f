"""What people call a part of a pod."""

from __future__ import annotations

import pytest

from sidecar_injector.core.merging import part_names


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/spec/containers/app/env/REGION", "env REGION of container app"),
        ("/spec/containers/app/env/JAVA_TOOL_OPTIONS/value",
         "env JAVA_TOOL_OPTIONS of container app"),
        ("/spec/containers/app/volumeMounts/~1vault~1secrets",
         "mount /vault/secrets of container app"),
        ("/spec/initContainers/setup/env/A", "env A of init container setup"),
        ("/spec/imagePullSecrets/registry", "imagePullSecrets registry"),
        ("/spec/shareProcessNamespace", "shareProcessNamespace"),
        ("/metadata/labels", "metadata.labels"),
    ],
)  # fmt: skip
def test_a_path_is_named_in_words(path: str, name: str) -> None:
    assert part_names.of_path(path) == name
