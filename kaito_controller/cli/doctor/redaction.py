"""Takes out of what is sent to others what nobody else should read. Pure, and rather too much than too little.

Values of variables and of keys that are named like a secret, credentials in URLs, tokens, user names of the cluster, and the copies of a
whole object that kubectl keeps in an annotation.
"""

from __future__ import annotations

import re
from typing import Any

GONE = "REDACTED"
_DROPPED = frozenset({"managedFields", "kubectl.kubernetes.io/last-applied-configuration"})
_SECRET_NAME = re.compile(
    r"token|secret|passw|credential|api_?-?key|access_?-?key|private|auth(?!or)|connection_?string|sas\b|\.dockerconfigjson",
    re.I,
)
_PLAIN = frozenset(
    {
        "imagePullSecrets",
        "imagePushSecret",
        "secretName",
        "secretRef",
        "automountServiceAccountToken",
        "secretKeyRef",
        "secret",
    }
)
"""Names of Secrets, not their content."""
_IN_TEXT = (
    (re.compile(r"(?<=://)[^/\s@]+@"), f"{GONE}@"),
    (re.compile(r"(https?://[^\s?\"']+)\?[^\s\"']+"), rf"\1?{GONE}"),
    (re.compile(r"\b(bearer|basic)\s+[-\w.~+/=]{8,}", re.I), rf"\1 {GONE}"),
    (re.compile(r"\beyJ[-\w]+\.[-\w]+\.[-\w]*"), GONE),
    (re.compile(r"\bhf_[A-Za-z0-9]{8,}"), GONE),
    (
        re.compile(r"((?:token|secret|password|passwd|api[-_]?key|access[-_]?key|sig)\s*[=:]\s*)[^\s,;\"'&]+", re.I),
        rf"\1{GONE}",
    ),
)


def redacted(value: Any, name: str = "") -> Any:
    """The same without secrets. `name`: the key under which the value stands."""
    if isinstance(value, dict):
        return {key: _entry(key, inner, value) for key, inner in value.items() if key not in _DROPPED}
    if isinstance(value, list | tuple):
        return [redacted(item, name) for item in value]
    return redacted_text(value) if isinstance(value, str) else value


def _entry(key: str, inner: Any, around: dict[str, Any]) -> Any:
    is_variable = key == "value" and _SECRET_NAME.search(str(around.get("name") or ""))
    if isinstance(inner, str) and (is_variable or (key not in _PLAIN and _SECRET_NAME.search(key))):
        return GONE
    return redacted(inner, key)


def redacted_text(text: str) -> str:
    """A log, or any other text."""
    for pattern, instead in _IN_TEXT:
        text = pattern.sub(instead, text)
    return text
