"""The archive for a bug report: the findings, what explain reads of each Workspace of the namespace, and the operators' last words.

Everything goes through `redaction.py`. A record of a Workspace can be explained again: `kubectl kaito explain --from FILE`.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterable, Iterator
from datetime import datetime

from controller_runtime.clock import Clock, rfc3339
from controller_runtime.resources import PODS, name_of
from controller_runtime.version import VERSION
from kaito_controller.api.labels import WORKSPACES
from kaito_controller.cli.cluster import Cluster
from kaito_controller.cli.doctor.finding import Finding
from kaito_controller.cli.doctor.redaction import redacted, redacted_text
from kaito_controller.cli.explain.gathered import gather
from kaito_controller.cli.operators import NAMESPACES

MOST_WORKSPACES = 50
LINES = 1000


def bundle(cluster: Cluster, findings: Iterable[Finding], clock: Clock) -> bytes:
    """A tar archive, compressed."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, text in _files(cluster, findings, clock):
            _add(archive, f"kaito-report/{name}", text.encode(), clock.now())
    return packed.getvalue()


def _files(cluster: Cluster, findings: Iterable[Finding], clock: Clock) -> Iterator[tuple[str, str]]:
    """Name and content of each."""
    yield (
        "doctor.json",
        _json(
            {
                "version": VERSION,
                "at": rfc3339(clock.now()),
                "findings": [finding.to_document() for finding in findings],
            }
        ),
    )
    for workspace in cluster.all(WORKSPACES, cluster.namespace)[:MOST_WORKSPACES]:
        cluster.unread.clear()
        name = name_of(workspace)
        yield f"workspaces/{cluster.namespace}/{name}.json", _json(gather(cluster, name, clock).to_document())
    yield from _logs(cluster)


def _logs(cluster: Cluster) -> Iterator[tuple[str, str]]:
    for operator, namespaces in NAMESPACES.items():
        for pod in cluster.all(PODS, namespaces[0], labels=f"app.kubernetes.io/name={operator}"):
            text = cluster.text(PODS.path(namespaces[0], name_of(pod), "log"), {"tailLines": LINES})
            if text:
                yield f"logs/{name_of(pod)}.log", redacted_text(text)


def _json(document: object) -> str:
    return json.dumps(redacted(document), indent=1) + "\n"


def _add(archive: tarfile.TarFile, name: str, content: bytes, when: datetime) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mtime, entry.mode = len(content), int(when.timestamp()), 0o644
    archive.addfile(entry, io.BytesIO(content))
