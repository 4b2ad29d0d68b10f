"""The manifests of Helm's plugins agree with the package."""

import os
import pathlib

import pytest
import yaml

from sidecar_injector import names

ROOT = pathlib.Path(__file__).resolve().parents[3]
PLUGINS = sorted((ROOT / "plugins/helm").iterdir())


@pytest.mark.parametrize("folder", PLUGINS, ids=lambda folder: folder.name)
def test_a_plugin_has_its_folders_name_and_the_version_of_the_chart(folder: pathlib.Path) -> None:
    # Helm installs a folder under its own name.
    plugin = yaml.safe_load((folder / "plugin.yaml").read_text("utf-8"))
    chart = yaml.safe_load((ROOT / "charts/sidecar-injector/Chart.yaml").read_text("utf-8"))
    assert (plugin["name"], plugin["version"]) == (folder.name, chart["version"])


def test_the_plugins_run_the_command_of_the_package() -> None:
    command, post_renderer = PLUGINS
    assert yaml.safe_load((command / "plugin.yaml").read_text())["command"] == names.PRODUCT
    script = post_renderer / "inject.sh"
    assert os.access(script, os.X_OK)
    assert f"exec {names.PRODUCT} inject -f - " in script.read_text()
