"""`python -m tools.image.sbom` writes what is in the image to dist/sbom.cdx.json, in CycloneDX.

It lists what both package managers recorded in the archive itself. The published generators read
either a Python environment or a requirements file and know no Debian packages; the published
*validator* is used as it is, from a lock and an environment of its own.
"""

from __future__ import annotations

import email.message
import email.parser
import json
import os
import pathlib
import re
import subprocess
import sys
import urllib.parse
import uuid
from collections.abc import Iterable, Iterator
from typing import Any, Final

import sidecar_injector
from sidecar_injector import names
from tools import environments
from tools.controlplane import errors
from tools.image import archive, build, recipe

TARGET: Final = recipe.ROOT / "dist" / "sbom.cdx.json"
SPECIFICATION: Final = "1.6"
"""https://cyclonedx.org/docs/1.6/json/"""
LOCK: Final = "requirements/sbom.txt"
GOAL: Final = "the bill of materials"
_INVALID: Final = 3
_PROGRAM: Final = f"""
import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
version = SchemaVersion.from_version(sys.argv[1])
error = JsonStrictValidator(version).validate_str(sys.stdin.read())
if error is not None:
    print(str(error).splitlines()[0])
    sys.exit({_INVALID})
"""
_STATUS: Final = "var/lib/dpkg/status"
_RELEASE: Final = "etc/debian_version"
_METADATA: Final = re.compile(r"opt/.*/site-packages/[^/]+\.dist-info/METADATA")

Json = dict[str, Any]


def main() -> int:
    """Exit status 1 and one line if it cannot be made or is not valid."""
    try:
        text = json.dumps(document(build.ensure()), indent=2) + "\n"
        validate(text, version=SPECIFICATION)
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
    contents = archive.contents(image, _STATUS, _RELEASE, *paths)
    release = contents[_RELEASE].decode().strip()
    components = [
        *python_components(contents[path].decode() for path in paths),
        *debian_components(contents[_STATUS].decode(), release=release),
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
    licences = [
        {"license": {"name": classifier.rpartition(" :: ")[2]}}
        for classifier in fields.get_all("Classifier", [])
        if classifier.startswith("License ::")
    ]
    return {"licenses": licences} if licences else {}


def _quoted(text: str) -> str:
    """https://github.com/package-url/purl-spec: all but these is percent-encoded."""
    return urllib.parse.quote(text, safe=":~")


def validate(text: str, *, version: str) -> None:
    """Raise BuildError if this is not valid CycloneDX JSON of that version."""
    answer = subprocess.run(
        [str(_validator()), "-c", _PROGRAM, version],
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )
    if answer.returncode == _INVALID:
        raise errors.BuildError(
            name=GOAL,
            reason=f"it is not valid CycloneDX {version}: {answer.stdout.strip()}",
            remedy="tools/image/sbom.py writes it",
        )
    if answer.returncode != 0:
        raise _broken(environments.last_line(answer.stderr))


def _validator() -> pathlib.Path:
    """The interpreter of the validator's environment."""
    folder = recipe.cache_folder(os.environ) / f"sbom-{recipe.key(LOCK)}"
    try:
        return environments.python(folder, lock=recipe.ROOT / LOCK)
    except environments.InstallError as error:
        raise _broken(str(error)) from error


def _broken(reason: str) -> errors.BuildError:
    return errors.BuildError(
        name=GOAL,
        reason=f"its validator does not work: {reason}",
        remedy="check the network and the disk space, then run `make sbom` again",
    )


if __name__ == "__main__":
    sys.exit(main())
