"""One form for a wish that can be written in several ways, so that hashes and comparisons see the wish and not the writing.

Clients in typed languages write what they read back in their own way: an empty struct becomes `{}` (`presetOptions: {}`,
`resources: {}`), an unset time `null` (`metadata.creationTimestamp: null`), and a field that holds its zero value may disappear
(`hostNetwork: false`). None of that is a change of mind, and a running model is not restarted for it.

Only for comparing: what is built and sent keeps the user's own writing.
"""

from __future__ import annotations

from typing import Any

_ZERO_IS_ABSENT = frozenset(
    {
        "hostIPC",
        "hostNetwork",
        "hostPID",
        "hostPort",
        "failureThreshold",
        "initialDelaySeconds",
        "periodSeconds",
        "readOnly",
        "stdin",
        "stdinOnce",
        "successThreshold",
        "timeoutSeconds",
        "tty",
    }
)
"""Fields of pods that are no pointers in the API's Go types: false and 0 are left out when such a client writes the object."""


def without_blanks(value: Any, key: str = "") -> Any:
    """A copy of JSON without what says nothing: null, "", empty maps and lists, and zeros of the fields that mean it.

    Entries of a list stay in their places, and become `None` when nothing is left of them.
    """
    if isinstance(value, dict):
        kept = {name: without_blanks(child, str(name)) for name, child in value.items()}
        return {name: child for name, child in kept.items() if child is not None} or None
    if isinstance(value, list | tuple):
        return [without_blanks(item) for item in value] or None
    if value == "" or (key in _ZERO_IS_ABSENT and value in (False, 0)):
        return None
    return value
