"""The pull policy that the API server reads in an image's name."""

from __future__ import annotations

import pytest

from sidecar_injector.core.pods import images
from tests.kits.image_names import ALWAYS, IF_NOT_PRESENT


@pytest.mark.parametrize("name", ALWAYS)
def test_the_latest_image_is_pulled_always(name: str) -> None:
    assert images.default_pull_policy(name) == "Always"


@pytest.mark.parametrize("name", [*IF_NOT_PRESENT, "", None, 1])
def test_any_other_image_is_pulled_if_it_is_not_present(name: object) -> None:
    assert images.default_pull_policy(name) == "IfNotPresent"


@pytest.mark.parametrize("character", "a-_./:@[]A0é")
def test_a_name_of_any_length_is_read_without_backtracking(character: str) -> None:
    for text in (character * 200_000, f"a{character}" * 100_000, f"{character}a" * 100_000):
        assert images.default_pull_policy(f"{text}!") == "IfNotPresent"
