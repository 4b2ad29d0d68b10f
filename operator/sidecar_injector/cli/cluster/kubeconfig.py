"""The address of the API server and the user's identity, as kubectl reads them.

The official client needs half a second to be imported, most of it for other things. It is used for
the one thing that is rare and difficult, an `auth-provider`.
https://kubernetes.io/docs/concepts/configuration/organize-cluster-access-kubeconfig/
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import json
import os
import pathlib
import subprocess
import sys
import urllib.parse
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import yaml

from sidecar_injector.kube import api

Json = dict[str, Any]
DEFAULT: Final = "~/.kube/config"
SERVICE_ACCOUNT: Final = pathlib.Path("/var/run/secrets/kubernetes.io/serviceaccount")
EXEC_KIND: Final = "ExecCredential"
PLUGIN_SECONDS: Final = 300
"""A plugin may wait for a person who logs in."""
NO_CONFIGURATION: Final = (
    f"no kubeconfig is found: there is no {DEFAULT}, and neither --kubeconfig nor KUBECONFIG is set"
)
MALFORMED: Final = "it does not have the structure of a kubeconfig"
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Whom another user acts as: `--as` and `--as-group`, or the same of a kubeconfig."""

    user: str = ""
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: tuple[tuple[str, str], ...] = ()
    """Key and value; a key may be there more than once."""

    def headers(self) -> Iterator[tuple[str, str]]:
        """What tells the API server."""
        if self.user:
            yield "Impersonate-User", self.user
        for group in self.groups:
            yield "Impersonate-Group", group
        if self.uid:
            yield "Impersonate-Uid", self.uid
        for key, value in self.extra:
            yield f"Impersonate-Extra-{urllib.parse.quote(key.lower(), safe='')}", value


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """All that a connection needs; certificates and keys are PEM texts."""

    server: str
    source: str
    """Where it comes from, for messages."""
    ca: str = ""
    """Empty for the certificate authorities of this machine."""
    certificate: str = ""
    key: str = ""
    authorization: str = ""
    """The header; empty without one."""
    identity: Identity = Identity()
    server_name: str = ""
    """The name in the server's certificate, if it is not the host of `server`."""
    is_verified: bool = True
    proxy: str = ""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Kubeconfig:
    """The files of a kubeconfig, of which the first that says something counts."""

    paths: tuple[pathlib.Path, ...]
    context_name: str | None
    """The chosen context; None for the current one."""

    @property
    def label(self) -> str:
        """For messages."""
        return f"kubeconfig {os.pathsep.join(map(str, self.paths))}"

    def error(self, detail: str) -> api.CredentialsError:
        """An error of these files."""
        return api.CredentialsError(source=self.label, detail=detail)

    def contexts(self) -> list[str]:
        """The names of all contexts."""
        return list(self._entries("contexts"))

    def namespace(self) -> str:
        """The namespace of the context; empty if it has none."""
        try:
            return str(self._context().get("namespace") or "")
        except (AttributeError, KeyError, TypeError) as error:
            raise self.error(MALFORMED) from error

    def access(self) -> Access:
        """What the context says. Raises CredentialsError if it cannot be used."""
        try:
            context = self._context()
            cluster, folder = self._entry("clusters", context.get("cluster"), "cluster")
            user, users_folder = self._entry("users", context.get("user"), "user")
            return self._access(cluster, folder, user, users_folder)
        except (AttributeError, KeyError, TypeError) as error:
            raise self.error(MALFORMED) from error
        except (OSError, ValueError) as error:
            raise self.error(str(error)) from error

    def _access(
        self, cluster: Json, folder: pathlib.Path, user: Json, users_folder: pathlib.Path
    ) -> Access:
        server = _server(cluster)
        if not server.startswith("https:"):
            # As kubectl: who listens on the way would read a token, and no plugin is run for it.
            user = {}
        if "auth-provider" in user:
            authorization = _from_library(self)
            certificate = key = ""
        else:
            if plugin := user.get("exec"):
                user = {**user, **_run_plugin(plugin, cluster=cluster, folder=users_folder)}
            certificate = _content(user, "client-certificate", users_folder)
            key = _content(user, "client-key", users_folder)
            authorization = _authorization(user, users_folder)
        return Access(
            server=server,
            source=self.label,
            ca=_content(cluster, "certificate-authority", folder),
            certificate=certificate,
            key=key,
            authorization=authorization,
            identity=_identity(user),
            server_name=cluster.get("tls-server-name") or "",
            is_verified=not cluster.get("insecure-skip-tls-verify"),
            proxy=proxy_address(str(cluster.get("proxy-url") or "")),
        )

    def _context(self) -> Json:
        contexts = self._entries("contexts")
        currents = (content.get("current-context") for _, content in self._files())
        name = self.context_name or next((str(text) for text in currents if text), "")
        names = f"it has {', '.join(contexts)}" if contexts else "it has none"
        if not name:
            raise self.error(f"no context is chosen: use --context; {names}")
        if name not in contexts:
            raise self.error(f"it has no context {name!r}; {names}")
        context: Json = contexts[name][0]["context"] or {}
        return context

    def _entry(self, plural: str, name: Any, singular: str) -> tuple[Json, pathlib.Path]:
        """A cluster or user, and the folder to which its paths are relative."""
        entries = self._entries(plural)
        if name not in entries:
            raise ValueError(f"its context names the {singular} {name!r}, which it does not have")
        entry, folder = entries[name]
        return entry[singular] or {}, folder

    def _entries(self, plural: str) -> dict[str, tuple[Json, pathlib.Path]]:
        entries: dict[str, tuple[Json, pathlib.Path]] = {}
        for path, content in self._files():
            for entry in content.get(plural) or ():
                entries.setdefault(entry["name"], (entry, path.parent))
        return entries

    def _files(self) -> Iterator[tuple[pathlib.Path, Json]]:
        """The files that exist and are not empty."""
        is_empty = True
        for path in self.paths:
            if not path.is_file():
                continue
            try:
                content = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506
            except yaml.MarkedYAMLError as error:
                mark = error.problem_mark
                place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
                raise self.error(f"it is not valid YAML: {place}{error.problem}") from error
            except (yaml.YAMLError, OSError, ValueError) as error:
                raise self.error(" ".join(str(error).split())) from error
            if isinstance(content, dict):
                is_empty = False
                yield path, content
            elif content is not None:
                raise self.error(MALFORMED)
        if is_empty:
            exists = any(path.is_file() for path in self.paths)
            raise self.error("it is empty" if exists else "there is no such file")


def find(
    environment: Mapping[str, str], *, kubeconfig: str | None, context: str | None
) -> Kubeconfig | None:
    """The kubeconfig that kubectl would read; None in a pod without one.

    Raises CredentialsError if there is neither.
    """
    chosen = kubeconfig or environment.get("KUBECONFIG")
    default = pathlib.Path(DEFAULT).expanduser()
    if not chosen and not default.is_file():
        if "KUBERNETES_SERVICE_HOST" in environment:
            return None
        raise api.CredentialsError(source="", detail=NO_CONFIGURATION)
    texts = chosen.split(os.pathsep) if chosen else [str(default)]
    paths = tuple(pathlib.Path(text).expanduser() for text in texts if text)
    return Kubeconfig(paths=paths, context_name=context)


def in_pod(environment: Mapping[str, str]) -> Access:
    """The access of the pod's ServiceAccount."""
    host, port = (environment[f"KUBERNETES_SERVICE_{part}"] for part in ("HOST", "PORT"))
    try:
        token = (SERVICE_ACCOUNT / "token").read_text(encoding="utf-8").strip()
        ca = (SERVICE_ACCOUNT / "ca.crt").read_text(encoding="utf-8")
    except OSError as error:
        raise api.CredentialsError(
            source="the pod's ServiceAccount", detail=str(error)
        ) from error  # fmt: skip
    return Access(
        server=f"https://{f'[{host}]' if ':' in host else host}:{port}",
        source="the pod's ServiceAccount", ca=ca, authorization=f"Bearer {token}",
    )  # fmt: skip


def _server(cluster: Json) -> str:
    """The URL of the API server. Its parts are not in an error: they may be a password."""
    server = str(cluster.get("server") or "")
    if not server:
        raise ValueError("the cluster of its context has no server")
    if "://" not in server:
        keys = ("certificate-authority", "certificate-authority-data", "insecure-skip-tls-verify")
        server = f"http{'s' if any(cluster.get(key) for key in keys) else ''}://{server}"
    if not _is_address(server) or "@" in urllib.parse.urlsplit(server).netloc:
        raise ValueError("the server of its cluster is not a URL such as https://HOST:PORT")
    return server


def proxy_address(text: str) -> str:
    """The URL of a proxy, which is often written without its scheme; empty for none."""
    address = text if not text or "://" in text else f"http://{text}"
    if address and not _is_address(address):
        raise ValueError("its proxy is not a URL such as http://HOST:PORT")
    return address


def _is_address(url: str) -> bool:
    try:
        parts = urllib.parse.urlsplit(url)
        return bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _identity(user: Json) -> Identity:
    extra = user.get("as-user-extra") or {}
    identity = Identity(
        user=str(user.get("as") or ""),
        groups=tuple(map(str, user.get("as-groups") or ())),
        uid=str(user.get("as-uid") or ""),
        extra=tuple((str(key), str(value)) for key, values in extra.items() for value in values),
    )
    if not identity.user and any(identity.headers()):
        raise ValueError("its user names groups, a uid or more of another user, and not which (as)")
    return identity


def _content(entry: Json, key: str, folder: pathlib.Path) -> str:
    """What `KEY-data` contains, or the file that KEY names; empty without both."""
    if data := entry.get(f"{key}-data"):
        try:
            return base64.b64decode(data, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError) as error:
            raise ValueError(f"{key}-data is not base64 of a text") from error
    path = entry.get(key)
    return (folder / path).read_text(encoding="utf-8") if path else ""


def _authorization(user: Json, folder: pathlib.Path) -> str:
    token = user.get("token")
    if path := user.get("tokenFile"):
        token = (folder / path).read_text(encoding="utf-8").strip()
    if token:
        token = str(token).strip()
        if not token.isascii() or not token.isprintable():
            raise ValueError("the token of its user is not a line of ASCII text")
        return f"Bearer {token}"
    if name := user.get("username"):
        password = f"{name}:{user.get('password') or ''}"
        return f"Basic {base64.b64encode(password.encode()).decode()}"
    return ""


def _run_plugin(plugin: Json, *, cluster: Json, folder: pathlib.Path) -> Json:
    """The token or certificate of a credential plugin, as fields of a user.

    https://kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins
    """
    mode = plugin.get("interactiveMode") or "IfAvailable"
    is_interactive = mode != "Never" and sys.stdin.isatty()
    if mode == "Always" and not is_interactive:
        raise ValueError(f"its plugin {plugin['command']!r} needs a terminal")
    spec: Json = {"interactive": is_interactive}
    if plugin.get("provideClusterInfo"):
        # As `certificate-authority-data`: a plugin does not know the folder of a path.
        ca = base64.b64encode(_content(cluster, "certificate-authority", folder).encode()).decode()
        spec["cluster"] = {
            key: cluster[key] for key in ("server", "tls-server-name", "insecure-skip-tls-verify")
            if key in cluster
        } | ({"certificate-authority-data": ca} if ca else {})  # fmt: skip
    kind = {"apiVersion": plugin["apiVersion"], "kind": EXEC_KIND}
    variables = {item["name"]: item["value"] for item in plugin.get("env") or ()}
    environment = {
        **os.environ,
        **variables,
        "KUBERNETES_EXEC_INFO": json.dumps({**kind, "spec": spec}),
    }
    printed = _output(plugin, folder, environment, is_interactive=is_interactive)
    try:
        status = json.loads(printed)["status"]
        pairs = {
            "token": status.get("token"),
            "client-certificate-data": status.get("clientCertificateData"),
            "client-key-data": status.get("clientKeyData"),
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"its plugin {plugin['command']!r} did not print an {EXEC_KIND} with a status"
        ) from error
    return {
        key: base64.b64encode(value.encode()).decode() if key.endswith("-data") else value
        for key, value in pairs.items() if value
    }  # fmt: skip


def _output(
    plugin: Json, folder: pathlib.Path, environment: Mapping[str, str], *, is_interactive: bool
) -> bytes:
    command = str(plugin["command"])
    path = str(folder / command) if "/" in command else command
    arguments: Sequence[str] = [path, *map(str, plugin.get("args") or ())]
    try:
        result = subprocess.run(
            arguments, env=environment, check=False, timeout=PLUGIN_SECONDS,
            stdin=None if is_interactive else subprocess.DEVNULL, stdout=subprocess.PIPE,
            # A person reads the questions of a plugin there.
            stderr=None if is_interactive else subprocess.PIPE,
        )  # fmt: skip
    except FileNotFoundError as error:
        hint = " ".join(str(plugin.get("installHint") or "").split())
        raise ValueError(
            f"its plugin {command!r} is not installed{f': {hint}' if hint else ''}"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise ValueError(
            f"its plugin {command!r} did not end in {PLUGIN_SECONDS} seconds"
        ) from error
    if result.returncode:
        text = " ".join((result.stderr or b"").decode(errors="replace").split())
        raise ValueError(
            f"its plugin {command!r} failed with status {result.returncode}"
            f"{f': {text[:500]}' if text else ''}"
        )
    return result.stdout


def _from_library(kubeconfig: Kubeconfig) -> str:
    """The header of a user with an `auth-provider`, which may have to be asked for a new token."""
    import asyncio  # noqa: PLC0415 - as the module says

    from sidecar_injector.kube import credentials, lean_import  # noqa: PLC0415

    lean_import.skip_synchronous_client()
    source = credentials.CredentialsSource(
        kubeconfig=os.pathsep.join(map(str, kubeconfig.paths)), context=kubeconfig.context_name
    )
    settings = asyncio.run(source.load())
    return str(settings.api_key.get("BearerToken") or "")


Load = Callable[[], Access]
"""Reads the access anew, after the API server has refused it."""
