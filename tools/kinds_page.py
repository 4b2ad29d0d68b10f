"""Writes docs/kinds.md: the kinds that have pods, from the table in the code.

Run `python -m tools.kinds_page` after a change of `core/pods/kinds.py`; a test compares.
"""

from __future__ import annotations

import json
import pathlib
from collections.abc import Iterator

from sidecar_injector import names
from sidecar_injector.core.pods import kinds, workloads
from tools import pages

FILE = pathlib.Path(__file__).parent.parent / "docs" / "kinds.md"
TEXT = f"""\
# Kinds of workloads

<!-- Written by `python -m tools.kinds_page`; edit it or `core/pods/kinds.py`. -->

The webhook gets pods, whatever made them. The command line reads workloads, so it must know where a pod template
is and how new pods take the place of old ones. All verbs use this one table:

%s

A path with `[*]` or `*` leads to every item of a list or every member of a map. Each template in an object is decided by itself.
In Knative a container needs no name; a template without one is left as it is, but a cluster always writes one.

## Other kinds

In an object of any other kind, what is called a template and has `spec.containers` with names and images is taken for a pod
template, and a line on stderr names it. Where the template has another name, say so; the option may be repeated, for
other kinds or for more templates of one kind:

```sh
{names.PRODUCT} inject -f foo.yaml -i injection.yaml --kind-path 'example.com/Foo=spec.podTemplate'
{names.PRODUCT} restart foo/web -n demo --kind-path 'example.com/Foo=spec.groups[*].template'
```

`inject`, `uninject`, `explain`, `diff`, `lint`, `krm`, `status` and `restart` have it. The path leads to what has `metadata`
and `spec`, and it comes before the table. It cannot be given for a kind of Kubernetes. A kind that was named so is
restarted by the annotation of `kubectl rollout restart` in its template, unless the path goes through a list. How another unknown kind replaces
its pods is not known: `restart` lists it to be done by hand.

## On a cluster

`explain rollout/web`, `diff` and `restart` take every kind that the cluster serves in namespaces, by the names that kubectl takes: singular, plural
or short name, `rollouts.argoproj.io`, `rollouts.v1alpha1.argoproj.io`. A name that a kind of Kubernetes has too needs
its group: `statefulsets.apps.kruise.io/web`. What is served is asked for once, and only if such a kind is met.

What is restarted for a pod is found by its `ownerReferences`, at most {{most}} steps up: the Rollout of a ReplicaSet, the Service of a Knative
Revision, the LeaderWorkerSet of a StatefulSet. Above a Deployment or another workload of Kubernetes, an object of an unknown kind is not
restarted: the workload is. Where you may not read an owner, a line says so, and what is below it is restarted.

An update strategy of OpenKruise that changes pods in place makes no new pods for an annotation: `restart` lists these workloads
to be done by hand, like paused ones. With `--wait`, the counts in the status of a custom object are read as those of a Deployment, else its condition
`Ready`; of a Rollout, `status.restartedAt`.

## Warnings for who applies one

The chart's webhook for workloads is asked about kinds of Kubernetes. More of them are named in `webhook.workloads.extra`, those
that have one template so:

```yaml
%s
```
"""


def text() -> str:
    """The whole page."""
    from sidecar_injector.cli.cluster import owners  # noqa: PLC0415 - the command line is large

    page = TEXT % ("\n".join(_rows()), "\n".join(_extra()))
    return page.replace("{most}", str(owners.MOST_OWNERS))


def _rows() -> Iterator[str]:
    yield "| kind | pod template | restarted by | |"
    yield "|---|---|---|---|"
    for entry in (*kinds.BUILT_IN.values(), *kinds.CUSTOM.values()):
        paths = ", ".join(f"`{_written(path)}`" if path else "itself" for path in entry.paths)
        link = f"[{entry.group}]({entry.source})" if entry.source else ""
        how = entry.restart.value if entry.paths or entry.made_by else "-"
        yield f"| `{entry.kind}` of `{entry.group or 'v1'}` | {paths or 'none'} | {how} | {link} |"


def _written(path: kinds.Path) -> str:
    """A path as `--kind-path` takes it."""
    return workloads.field(path)


def _extra() -> Iterator[str]:
    yield "webhook:"
    yield "  workloads:"
    yield "    extra:"
    for entry in kinds.CUSTOM.values():
        if path := entry.template_path:
            rule = {"apiGroups": [entry.group], "apiVersions": ["*"], "resources": [entry.plural]}
            if path != ("spec", "template"):
                rule["template"] = [workloads.field(path)]
            yield f"      - {json.dumps(rule)}"


if __name__ == "__main__":
    pages.write(FILE, text())
