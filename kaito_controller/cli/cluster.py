"""The cluster that a command asks, with the rights of whoever runs it.

A right that is missing, or a type that is not installed, is a gap: a sentence beside the answer, and never the end of the command. Only the
object that was asked for must be readable. Everything read is bounded, and nothing is written here.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import click
import yaml

from controller_runtime.errors import ApiError, ConnectionFailed, FatalError, Forbidden, NotFound, Unauthorized
from controller_runtime.resources import Object, Resource, name_of
from kaito_controller.api.labels import WORKSPACES
from kaito_controller.api.violation import quote

MOST_TEXT = 4 << 20
"""Bytes that are read of a log or of metrics."""

COMPLETION_TIMEOUT_S = 2.0
CLUSTER_OPTIONS: tuple[Callable[[Any], Any], ...] = (
    click.option(
        "-n", "--namespace", default="", metavar="NAMESPACE", help="Namespace; else that of the kubeconfig's context."
    ),
    click.option("--kube-context", default="", metavar="NAME", help="Context of the kubeconfig; else the current one."),
    click.option(
        "--kubeconfig", default="", metavar="FILE", help="Kubeconfig; else KUBECONFIG, or as kubectl finds it."
    ),
)


def of_cluster(command: Any) -> Any:
    """Gives a command the options that say which cluster."""
    for option in reversed(CLUSTER_OPTIONS):
        command = option(command)
    return command


class Objects(Protocol):
    """What the commands ask of an API server; `controller_runtime`'s client is one."""

    def get(self, resource: Resource, name: str, namespace: str | None = None) -> Object: ...

    def list(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        label_selector: str | None = None,
        field_selector: str | None = None,
    ) -> Any: ...

    def create(
        self, resource: Resource, obj: Any, namespace: str | None = None, *, dry_run: bool = False
    ) -> Object: ...

    def read(self, path: str, query: dict[str, str | int | bool | None] | None = None) -> bytes: ...

    def post(self, path: str, body: Any) -> Object: ...

    def post_lines(self, path: str, body: Any, *, read_timeout_s: float) -> Iterator[bytes]: ...


@dataclass(slots=True)
class Cluster:
    """A client, the namespace of the question, and what could not be read so far."""

    objects: Objects
    namespace: str
    unread: dict[str, list[str]] = field(default_factory=dict)
    """Why, with what could not be read for it."""

    @property
    def gaps(self) -> list[str]:
        """What could not be read so far, a sentence without its end for each cause."""
        return [f"{' and '.join(what)} {why}" for why, what in self.unread.items()]

    def required(self, resource: Resource, name: str) -> Object:
        """The object that the question is about; a sentence and exit code 2 when there is none, or no right to see it."""
        try:
            return self.objects.get(resource, name, self.namespace)
        except NotFound as error:
            raise click.UsageError(self._missing(resource, name, error)) from error
        except ApiError as error:
            raise click.UsageError(refusal(resource.plural, error)) from error

    def optional(self, resource: Resource, name: str, namespace: str | None = None) -> Object | None:
        """The object, None when it is not there or cannot be read (which becomes a gap)."""
        try:
            return self.objects.get(resource, name, namespace)
        except NotFound:
            return None
        except ApiError as error:
            self.note(resource.plural, error)
            return None

    def all(
        self, resource: Resource, namespace: str | None = None, *, labels: str | None = None, fields: str | None = None
    ) -> list[Object]:
        """Those there are; [] when the type is not installed, or when they cannot be read (which becomes a gap)."""
        try:
            return list(self.objects.list(resource, namespace, label_selector=labels, field_selector=fields).items)
        except NotFound:
            return []
        except ApiError as error:
            self.note(resource.plural, error)
            return []

    def text(
        self, path: str, query: dict[str, str | int | bool | None] | None = None, *, limit: int = MOST_TEXT
    ) -> str | None:
        """What a pod or a container says, None when it cannot be had (which is no gap: it may not have started)."""
        try:
            return self.objects.read(path, query)[:limit].decode("utf-8", "replace")
        except ApiError:
            return None

    def reach(self) -> None:
        """Ends the command with a sentence when nobody answers, rather than with a page of gaps."""
        try:
            self.objects.read("/version")
        except (ConnectionFailed, Unauthorized) as error:
            raise click.UsageError(refusal("the cluster", error)) from error
        except ApiError:
            return

    def note(self, plural: str, error: ApiError) -> None:
        """A gap."""
        what = self.unread.setdefault(why_unread(error), [])
        if plural not in what:
            what.append(plural)

    def _missing(self, resource: Resource, name: str, error: NotFound) -> str:
        if error.details.get("name"):
            return (
                f"{resource.kind} {quote(name)} is not in namespace {quote(self.namespace)}; give its namespace with -n"
            )
        return f"this cluster does not know {resource}; install the operators, or see: kubectl kaito doctor"


def complete_name(ctx: click.Context, _parameter: click.Parameter, unfinished: str) -> list[str]:
    """Names of Workspaces for a shell; none where the cluster cannot be asked at once."""
    given = (str(ctx.params.get(option) or "") for option in ("namespace", "kube_context", "kubeconfig"))
    try:
        cluster = connect(*given, read_timeout_s=COMPLETION_TIMEOUT_S)
    except click.UsageError:
        return []
    return sorted(
        name for name in map(name_of, cluster.all(WORKSPACES, cluster.namespace)) if name.startswith(unfinished)
    )


def refusal(what: str, error: ApiError) -> str:
    """Why it cannot be had, in a sentence without its end."""
    return f"{what} {why_unread(error)}"


def why_unread(error: ApiError) -> str:
    """The sentence behind the name of what was asked for."""
    if isinstance(error, Forbidden):
        return "cannot be read: your rights do not allow it (ask for the role kaito-plugin-user)"
    if isinstance(error, Unauthorized):
        return "cannot be read: the cluster refuses the credential of your kubeconfig; sign in again"
    return f"cannot be read: {error.message}"


def connect(namespace: str, kube_context: str, kubeconfig: str, *, read_timeout_s: float = 15.0) -> Cluster:
    """The cluster of the kubeconfig. Nothing is sent yet."""
    from controller_runtime.client.kubernetes_client import Client  # takes longer to import than a plan takes
    from controller_runtime.version import user_agent

    try:
        client = Client.from_kubeconfig(
            kubeconfig or None,
            context=kube_context or None,
            user_agent=user_agent("kubectl-kaito"),
            read_timeout_s=read_timeout_s,
        )
    except FatalError as error:
        raise click.UsageError(str(error)) from error
    return Cluster(client, namespace or _namespace_of_context(kubeconfig, kube_context) or "default")


def _namespace_of_context(kubeconfig: str, kube_context: str) -> str:
    """As kubectl: the first file that names the context says."""
    paths = (kubeconfig or os.environ.get("KUBECONFIG") or str(Path("~/.kube/config").expanduser())).split(os.pathsep)
    documents = [d for d in map(_document, paths) if d]
    wanted = kube_context or next((d["current-context"] for d in documents if d.get("current-context")), "")
    contexts = [c for d in documents for c in _maps(d.get("contexts")) if c.get("name") == wanted]
    inner = contexts[0].get("context") if contexts else None
    return str(inner.get("namespace") or "") if isinstance(inner, dict) else ""


def _document(path: str) -> dict[str, Any]:
    try:
        found = yaml.safe_load(Path(path).expanduser().read_text("utf-8")) if path else None
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return {}
    return found if isinstance(found, dict) else {}


def _maps(value: object) -> Sequence[dict[str, Any]]:
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []
