"""Regular expressions for names and references, in the dialect that RE2 (the API server) and Python share.

Each is the whole text's form, without anchors: Python uses `fullmatch`, the generated CEL adds `^(?:...)$`. One list for both
means that both sides of admission refuse the same texts.
"""

from __future__ import annotations

import re
from functools import cache

DNS_LABEL = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
SERVICE_NAME = r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?"
"""A DNS label that starts with a letter (RFC 1035)."""
DNS_SUBDOMAIN = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
LABEL_KEY = (
    r"([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?"
)
LABEL_KEY_LENGTHS = r"([^/]{1,253}/)?[^/]{1,63}"
LABEL_VALUE = r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?"
INSTANCE_TYPE = r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"

_HOST = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*(:[0-9]{1,5})?"
_PATH = r"(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)+"
_TAG = r":[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
_DIGEST = r"@sha256:[0-9a-f]{64}"
IMAGE_TO_PULL = f"{_HOST}{_PATH}({_TAG}({_DIGEST})?|{_DIGEST})"
"""Registry, repository in lower case, and a tag, a digest or both."""
IMAGE_TO_PUSH = f"{_HOST}{_PATH}{_TAG}"
"""Registry, repository in lower case, and a tag: a digest is known only after the push."""

URL = r"https?://[!-~]+"
"""Printable ASCII without blanks: the downloader gets all URLs in one blank-separated variable."""
METADATA_URL = (
    r"https?://([^/@]*@)?(169\.254\.[0-9.]+|168\.63\.129\.16|\[fd00:ec2::254\]|metadata\.google\.internal)([:/?#].*)?"
)
"""The cloud's metadata services, which hand out credentials to whoever asks from the node."""
STRENGTH = r"0+(\.[0-9]*)?|\.[0-9]+|0*1(\.0*)?"
"""A decimal from 0 to 1."""
LORA = r"(?i:lora)"
QLORA = r"(?i:qlora)"
METHOD = r"(?i:q?lora)"


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.ASCII)


def fits(pattern: str, text: str) -> bool:
    """Whether the whole `text` has the form of `pattern`."""
    return _compiled(pattern).fullmatch(text) is not None
