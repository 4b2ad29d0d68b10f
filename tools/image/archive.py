"""OCI archives: a tar file with an image, as `ctr images import` and others read it.

The format: https://github.com/opencontainers/image-spec/blob/main/image-layout.md
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import io
import json
import pathlib
import platform
import tarfile
from collections.abc import Iterator, Mapping
from typing import IO, Any, Final

from tools.controlplane import errors

MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
CONFIG: Final = "application/vnd.oci.image.config.v1+json"
LAYER: Final = "application/vnd.oci.image.layer.v1.tar"
REFERENCE: Final = "org.opencontainers.image.ref.name"
CONTAINERD: Final = "io.containerd.image.name"
"""What containerd calls the image once it is imported."""
_INDEX: Final = "index.json"
_LAYOUT: Final = b'{"imageLayoutVersion":"1.0.0"}'

Json = dict[str, Any]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Image:
    """The metadata of the image in an archive."""

    names: tuple[str, ...]
    config: Json
    layers: tuple[str, ...]
    """Digests, the lowest first."""


def kubelet_name(name: str) -> str:
    """The full form of a short image name, under which the kubelet asks containerd for it.

    https://github.com/distribution/reference/blob/main/normalize.go
    """
    return f"docker.io/{name}" if "/" in name else f"docker.io/library/{name}"


def read(path: pathlib.Path) -> Image:
    """Raises BuildError if the file is not an archive of one image."""
    with opened(path) as archive:
        (entry,) = _json(archive, _INDEX)["manifests"]
        manifest = _json(archive, _blob(entry["digest"]))
        return Image(
            names=tuple(sorted(entry.get("annotations", {}).values())),
            config=_json(archive, _blob(manifest["config"]["digest"])),
            layers=tuple(layer["digest"] for layer in manifest["layers"]),
        )


def files(path: pathlib.Path) -> dict[str, tarfile.TarInfo]:
    """The files of the image by path, without a leading slash; the uppermost layer wins."""
    return {name: member for _, name, member in _walk(path)}


def contents(path: pathlib.Path, *wanted: str) -> dict[str, bytes]:
    """The content of these files in the image; a file that no layer has is omitted."""
    texts = {}
    for layer, name, member in _walk(path):
        if name in wanted and (file := layer.extractfile(member)) is not None:
            texts[name] = file.read()
    return texts


def _walk(path: pathlib.Path) -> Iterator[tuple[tarfile.TarFile, str, tarfile.TarInfo]]:
    layers = read(path).layers
    with opened(path) as archive:
        for digest in layers:
            with tarfile.open(fileobj=_file(archive, _blob(digest))) as layer:
                for member in layer:
                    yield layer, member.name.removeprefix("./").rstrip("/"), member


def unpack(path: pathlib.Path, folder: pathlib.Path) -> None:
    """Put the files of an image of ours into a folder, with their owners; takes root."""
    layers = read(path).layers
    with opened(path) as archive:
        for digest in layers:
            with tarfile.open(fileobj=_file(archive, _blob(digest))) as layer:
                layer.extractall(folder, filter="fully_trusted")  # noqa: S202 - we made it
    folder.chmod(0o755)  # the image's user is another than ours


@contextlib.contextmanager
def opened(path: pathlib.Path) -> Iterator[tarfile.TarFile]:
    """The archive for reading; an error in it becomes a BuildError."""
    try:
        with tarfile.open(path) as archive:
            yield archive
    except (OSError, EOFError, tarfile.TarError, KeyError, ValueError) as error:
        # tarfile has a line for each format that the file does not have.
        reason = str(error).partition("\n")[0].rstrip(":")
        raise errors.BuildError(
            name="the image's archive",
            reason=f"{path} cannot be read as an OCI archive ({reason})",
            remedy="remove it and run `python -m tools.image`",
        ) from error


def rename(path: pathlib.Path, *, name: str, target: pathlib.Path) -> None:
    """The same image under a name that both containerd and Docker take as it is."""
    with opened(path) as source, tarfile.open(target, "w") as output:
        for member in source:
            if member.name != _INDEX:
                output.addfile(member, source.extractfile(member) if member.isfile() else None)
        index = _json(source, _INDEX)
        for manifest in index["manifests"]:
            manifest["annotations"] = _annotations(name)
        _add(output, _INDEX, _dump(index))


def write(
    target: pathlib.Path, *, name: str, layer: pathlib.Path, process: Mapping[str, object]
) -> None:
    """An archive of one layer; `process` is what a container runs (Entrypoint, Cmd, Env, User)."""
    digest = _digest(layer)
    config = _dump(
        {
            "architecture": architecture(),
            "os": "linux",
            "config": dict(process),
            "rootfs": {"type": "layers", "diff_ids": [digest]},
        }
    )
    entry = {"mediaType": LAYER, "digest": digest, "size": layer.stat().st_size}
    manifest = _dump(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": _descriptor(CONFIG, config),
            "layers": [entry],
        }
    )
    named = {**_descriptor(MANIFEST, manifest), "annotations": _annotations(name)}
    with tarfile.open(target, "w") as archive:
        _add(archive, "oci-layout", _LAYOUT)
        _add(archive, _INDEX, _dump({"schemaVersion": 2, "manifests": [named]}))
        for blob in (config, manifest):
            _add(archive, _blob(_sha256(blob)), blob)
        archive.add(layer, _blob(digest))


def architecture() -> str:
    """Of this machine, as images spell it."""
    name = platform.machine().lower()
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(name, name)


def _annotations(name: str) -> dict[str, str]:
    return {REFERENCE: name, CONTAINERD: kubelet_name(name)}


def _descriptor(media_type: str, blob: bytes) -> Json:
    return {"mediaType": media_type, "digest": _sha256(blob), "size": len(blob)}


def _add(archive: tarfile.TarFile, name: str, blob: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(blob)
    archive.addfile(member, io.BytesIO(blob))


def _file(archive: tarfile.TarFile, name: str) -> IO[bytes]:
    file = archive.extractfile(name)
    if file is None:
        raise KeyError(f"{name} is not a file")
    return file


def _json(archive: tarfile.TarFile, name: str) -> Json:
    value: Json = json.load(_file(archive, name))
    return value


def _dump(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _blob(digest: str) -> str:
    return "blobs/" + digest.replace(":", "/")


def _sha256(blob: bytes) -> str:
    return f"sha256:{hashlib.sha256(blob).hexdigest()}"


def _digest(path: pathlib.Path) -> str:
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
