"""Programs and CRDs of others for tests: Prometheus, Helm 3, libfaketime, Chromium.

Fetched by the ordinary clients of Go and Debian; nothing needs root.
"""

from __future__ import annotations

import functools
import json
import os
import pathlib
import shutil
import subprocess
import sys
from collections.abc import Callable
from typing import Final

from tools import goprograms
from tools.controlplane import binaries, errors, progress

PROMETHEUS: Final = "github.com/prometheus/prometheus@v0.316.0"
PROMETHEUS_OPERATOR: Final = "github.com/prometheus-operator/prometheus-operator@v0.85.0"
CERT_MANAGER: Final = "github.com/cert-manager/cert-manager@v1.21.2"
HELM3: Final = "helm.sh/helm/v3/cmd/helm@v3.22.0"
DEFINITIONS: Final = {
    PROMETHEUS_OPERATOR: "example/prometheus-operator-crd/monitoring.coreos.com_{}.yaml",
    CERT_MANAGER: "deploy/crds/cert-manager.io_{}.yaml",
}
"""Where a module keeps the definition of a kind, by the kind's plural."""

CHROMIUM: Final = ("chromium-headless-shell", "chromium", "google-chrome")
"""The browser's programs on a PATH."""
LAUNCHER: Final = """\
#!/bin/sh
root=$(cd "$(dirname "$0")" && pwd)
export LD_LIBRARY_PATH="{libraries}" FONTCONFIG_FILE="$root/fonts.conf"
exec "$root/usr/lib/chromium/chromium-headless-shell" "$@"
"""
FONTS: Final = """\
<?xml version="1.0"?>
<fontconfig>
<include ignore_missing="yes">/etc/fonts/fonts.conf</include>
<dir prefix="relative">usr/share/fonts</dir>
</fontconfig>
"""
"""For a machine that has no fonts by itself."""


def definition(module: str, plural: str) -> pathlib.Path:
    """The CRD of another project's kind, in Go's module cache. Raises BuildError."""
    return go_module(module) / DEFINITIONS[module].format(plural)


def go_module(module: str) -> pathlib.Path:
    """The sources of MODULE@VERSION, downloaded and checked by Go. Raises BuildError."""
    answer = goprograms.run(module, str(goprograms.go()), "mod", "download", "-json", module)
    return pathlib.Path(json.loads(answer.stdout)["Dir"])


def promtool() -> pathlib.Path:
    """Prometheus' checker of rules: from the PATH, the cache, Debian's package, or built by Go.

    Debian's comes within seconds; Go takes three minutes on 2 cores. Raises BuildError.
    """

    def fetch(target: pathlib.Path) -> None:
        if not _from_debian("prometheus", "usr/bin/promtool", target):
            _build_promtool(target)

    name = f"promtool-{PROMETHEUS.rpartition('@')[2]}"
    return _installed_or_cached(shutil.which("promtool"), name, fetch)


def prometheus() -> pathlib.Path:
    """Its server: from the PATH, cached, or from Debian's package. Raises BuildError."""
    fetch = functools.partial(_from_package, "prometheus", "usr/bin/prometheus")
    return _installed_or_cached(shutil.which("prometheus"), "prometheus-debian", fetch)


def libfaketime() -> pathlib.Path:
    """The library that shifts a process' clock: installed, cached, or from Debian's package.

    Raises BuildError.
    """
    installed = sorted(pathlib.Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
    fetch = functools.partial(_from_package, "libfaketime", "usr/lib/*/faketime/libfaketime.so.1")
    return _installed_or_cached(installed[0] if installed else None, "libfaketime.so.1", fetch)


def chromium() -> pathlib.Path:
    """A browser: from the PATH, cached, or from Debian's packages, 100 MB. Raises BuildError."""
    installed = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if installed:
        return pathlib.Path(installed)
    return _installed_or_cached(None, "chromium-debian", _unpack_chromium) / "run"


def _unpack_chromium(target: pathlib.Path) -> None:
    """Put the browser there, with the packages that it needs and this machine lacks."""
    archives = target / "archives"
    (archives / "partial").mkdir(parents=True)
    client, unpacker = (shutil.which(name) or name for name in ("apt-get", "dpkg-deb"))
    download = (
        client, "install", "--yes", "--quiet", "--no-install-recommends", "--download-only",
        "-o", "Debug::NoLocking=true", "-o", f"Dir::Cache::archives={archives}",
        CHROMIUM[0], "fonts-dejavu-core",
    )  # fmt: skip
    try:
        if subprocess.run(download, capture_output=True, check=False).returncode != 0:
            # The package lists may be absent, or too old, and root may renew them.
            subprocess.run([client, "update", "--quiet"], capture_output=True, check=False)
            subprocess.run(download, capture_output=True, check=True)
        for archive in archives.glob("*.deb"):
            subprocess.run([unpacker, "-x", str(archive), str(target)], check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        shutil.rmtree(target)
        raise _unavailable(CHROMIUM[0]) from error
    shutil.rmtree(archives)
    folders = sorted({file.parent.relative_to(target) for file in target.glob("usr/lib/**/*.so*")})
    libraries = ":".join(f"$root/{folder}" for folder in folders)
    (target / "fonts.conf").write_text(FONTS, "utf-8")
    (target / "run").write_text(LAUNCHER.format(libraries=libraries), "utf-8")
    (target / "run").chmod(0o755)


def _unavailable(package: str) -> errors.BuildError:
    return errors.BuildError(
        name=package,
        reason="it is not installed, and there is no apt-get that brings it",
        remedy=f"install it (Debian: apt-get install {package})",
    )


def _installed_or_cached(
    installed: str | pathlib.Path | None, name: str, fetch: Callable[[pathlib.Path], None]
) -> pathlib.Path:
    if installed is not None:
        return pathlib.Path(installed)
    cached = _cache() / name
    if not cached.exists():
        partial = cached.with_suffix(f".{os.getpid()}")
        fetch(partial)
        partial.replace(cached)
    return cached


def _from_package(package: str, path: str, target: pathlib.Path) -> None:
    """Put a file of Debian's package there. Raises BuildError if the package is not available."""
    if not _from_debian(package, path, target):
        raise _unavailable(package)


def helm3() -> pathlib.Path:
    """The Helm before ours, built by Go and cached: three minutes on 2 cores. Raises BuildError."""
    # Helm gets its version from the linker; `go install` alone would make it v3.22.
    version = f"-X helm.sh/helm/v3/internal/version.version={HELM3.rpartition('@')[2]}"
    return goprograms.ensure("helm", HELM3, minutes=3, flags=f"-s -w {version}")


def _from_debian(package: str, member: str, target: pathlib.Path) -> bool:
    """A file of a package, which is unpacked and not installed: that needs no rights.

    False if this is not Debian or the package is not available.
    """
    client, unpacker = shutil.which("apt-get"), shutil.which("dpkg-deb")
    if client is None or unpacker is None:
        return False
    folder = target.with_name(f"{target.name}.d")
    folder.mkdir(parents=True)
    try:
        subprocess.run([client, "download", package], cwd=folder, capture_output=True, check=True)
        (archive,) = folder.glob("*.deb")
        subprocess.run([unpacker, "-x", str(archive), str(folder)], check=True)
        (file,) = folder.glob(member)
        file.replace(target)
    except (subprocess.CalledProcessError, ValueError):
        return False
    finally:
        shutil.rmtree(folder)
    return True


def _build_promtool(target: pathlib.Path) -> None:
    report = progress.Progress(sys.stderr)
    report.say("building promtool: about 3 min on 2 cores; once only")
    # Service discovery, which no rule needs, brings in the clients of all clouds.
    goprograms.run(
        "promtool", str(goprograms.go()), "build", "-C", str(go_module(PROMETHEUS)), "-trimpath",
        "-tags", "remove_all_sd", "-ldflags", "-s -w", "-o", str(target), "./cmd/promtool",
    )  # fmt: skip


def _cache() -> pathlib.Path:
    return binaries.cache_folder(os.environ)


def main() -> int:
    """Fetch the browser before a test needs it; 1, and one line, if that is not possible."""
    try:
        chromium()
    except errors.BuildError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
