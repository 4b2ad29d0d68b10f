"""`python -m tools.image.sbom` writes what is in the image to dist/sbom.cdx.json, in CycloneDX.

It lists what both package managers recorded in the archive itself. The published generators read
either a Python environment or a requirements file and know no Debian packages; the published
*validator* is used as it is, from a lock and an environment of its own.
"""

from __future__ import annotations

import email.message
import email.parser
import json
import pathlib
import re
import sys
import urllib.parse
import uuid
from collections.abc import Iterable, Iterator
from typing import Any, Final

import sidecar_injector
from sidecar_injector import names
from tools.controlplane import errors
from tools.image import archive, build, recipe, validator

TARGET: Final = recipe.ROOT / "dist" / "sbom.cdx.json"
SPECIFICATION: Final = "1.6"
"""https://cyclonedx.org/docs/1.6/json/"""
_STATUS: Final = "var/lib/dpkg/status"
_RELEASE: Final = "etc/debian_version"
_METADATA: Final = re.compile(r"opt/.*/site-packages/[^/]+\.dist-info/METADATA")

Json = dict[str, Any]


def main() -> int:
    """Exit status 1 and one line if it cannot be made or is not valid."""
    try:
        text = json.dumps(document(build.ensure()), indent=2) + "\n"
        validator.check(text, version=SPECIFICATION)
    except errors.BuildError as error:
        print(error, file=sys.stderr)
        return 1
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_text(text, encoding="utf-8")
    print(f"{TARGET.relative_to(recipe.ROOT)}: {text.count('bom-ref')} components, valid")
    return 0


def document(image: pathlib.Path) -> Json:
    """The bill of materials of an archive; the same image gives the same bytes."""
    paths = [path for path in archive.files(image) if _METADATA.fullmatch(path)]
    found = archive.contents(image, _STATUS, _RELEASE, *paths)
    release = found[_RELEASE].decode().strip()
    components = [
        *python_components(found[path].decode() for path in paths),
        *debian_components(found[_STATUS].decode(), release=release),
    ]
    layers = ",".join(archive.read(image).layers)
    return {
        "$schema": f"http://cyclonedx.org/schema/bom-{SPECIFICATION}.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": SPECIFICATION,
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, layers)}",
        "version": 1,
        "metadata": {"component": _product()},
        "components": sorted(components, key=lambda component: str(component["bom-ref"])),
    }


def python_components(metadata: Iterable[str]) -> Iterator[Json]:
    """Of the METADATA files: https://packaging.python.org/en/latest/specifications/core-metadata/"""
    for text in metadata:
        fields = email.parser.HeaderParser().parsestr(text)
        name, version = fields["Name"], fields["Version"]
        # purl asks for PyPI's normalised name.
        normal = re.sub(r"[-_.]+", "-", name).lower()
        reference = f"pkg:pypi/{normal}@{_quoted(version)}"
        yield _component(name, version=version, reference=reference) | _licence(fields)


def debian_components(status: str, *, release: str) -> Iterator[Json]:
    """Of dpkg's database: what is installed, with the release that the versions belong to."""
    for stanza in filter(str.strip, status.split("\n\n")):
        fields = email.parser.HeaderParser().parsestr(stanza)
        if "installed" not in fields["Status"].split():
            continue
        name, version = fields["Package"], fields["Version"]
        qualifiers = f"arch={fields['Architecture']}&distro=debian-{_quoted(release)}"
        reference = f"pkg:deb/debian/{_quoted(name)}@{_quoted(version)}?{qualifiers}"
        yield _component(name, version=version, reference=reference)


def _product() -> Json:
    licences = [{"license": {"id": "Apache-2.0"}}]
    return {
        "type": "container",
        "name": names.PRODUCT,
        "version": sidecar_injector.__version__,
        "licenses": licences,
    }


def _component(name: str, *, version: str, reference: str) -> Json:
    return {
        "type": "library",
        "bom-ref": reference,
        "name": name,
        "version": version,
        "purl": reference,
    }


def _licence(fields: email.message.Message) -> Json:
    """An expression is checked by PyPI; the older free text is a name, or a whole licence."""
    if expression := fields["License-Expression"]:
        return {"licenses": [{"expression": expression}]}
    text = str(fields["License"] or "").strip()
    if text and "\n" not in text:
        return {"licenses": [{"license": {"name": text}}]}
    classified = [
        one.rpartition(" :: ")[2]
        for one in fields.get_all("Classifier", [])
        if one.startswith("License ::")
    ]
    return {"licenses": [{"license": {"name": one}} for one in classified]} if classified else {}


def _quoted(text: str) -> str:
    """https://github.com/package-url/purl-spec: all but these is percent-encoded."""
    return urllib.parse.quote(text, safe=":~")


if __name__ == "__main__":
    sys.exit(main())
