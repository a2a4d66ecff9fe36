"""Turning strings and maps into container arguments that mean exactly what they say.

There is no shell in any pod that we generate. One expansion is left: the kubelet replaces `$(NAME)` in `command`, `args` and
`env[].value`. A string from a user must not be expanded, so it goes through `literal`; the few arguments that want expansion
(the rank of a distributed run) are written by us and say so.
"""

from __future__ import annotations

from collections.abc import Mapping


def literal(text: str) -> str:
    """`text` escaped so that the kubelet hands it to the process unchanged: it reads `$$` as one `$`."""
    return text.replace("$", "$$")


def flags(values: Mapping[str, str]) -> list[str]:
    """`--key=value` per entry, `--key` alone for an empty value, sorted by key.

    Sorted, because the same Workspace must always give the same bytes: an order that varies would look like an edit
    and restart a running model.
    """
    return [f"--{key}={value}" if value else f"--{key}" for key, value in sorted(values.items())]
