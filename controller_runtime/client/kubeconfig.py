"""What the `kubernetes` package does not tell about a kubeconfig: how its current user proves who they are.

It reads a `tokenFile` once and never again, and it goes on without credentials when an exec plugin fails. To do better the client
must know that there is such a file or plugin; this module looks, and does nothing else.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class UserEntry:
    """The credential kinds of one kubeconfig user. `token_file` is an absolute path."""

    token_file: str | None = None
    has_exec: bool = False


def user_entry(kubeconfig: str, context: str | None) -> UserEntry:
    """The user that `context` (default: current-context) names, searched in a `:`-separated list of files like kubectl does.

    Raises OSError or yaml.YAMLError for files that cannot be read; a kubeconfig without such a user gives an empty entry.
    """
    files = [Path(part).expanduser() for part in kubeconfig.split(os.pathsep) if part]
    documents = [(path, _document(path)) for path in files if path.exists()]
    if files and not documents:
        raise FileNotFoundError(f"no such file: {kubeconfig}")
    wanted = context or next((str(d["current-context"]) for _, d in documents if d.get("current-context")), "")
    user_name = next((c.get("user") for _, c in _named(documents, "contexts", "context", wanted)), None)
    for path, user in _named(documents, "users", "user", user_name):
        token_file = user.get("tokenFile")
        absolute = str(path.parent.absolute() / str(token_file)) if token_file else None
        return UserEntry(absolute, bool(user.get("exec")))
    return UserEntry()


def _document(path: Path) -> dict[str, Any]:
    return _mapping(yaml.load(path.read_text(encoding="utf-8"), Loader=_LOADER))  # noqa: S506  # both are safe loaders


def _named(
    documents: list[tuple[Path, dict[str, Any]]], section: str, field: str, name: object
) -> list[tuple[Path, dict[str, Any]]]:
    return [
        (path, _mapping(entry.get(field)))
        for path, document in documents
        for entry in _sequence(document.get(section))
        if isinstance(entry, dict) and entry.get("name") == name
    ]


def _sequence(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
