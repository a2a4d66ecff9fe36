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
_USER = r"([^/?#@\\]*@)?"
_OCTET = r"(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_NAME = r"([a-z0-9_]([-a-z0-9_]*[a-z0-9_])?\.)*[a-z]([-a-z0-9]*[a-z0-9])?\.?"
"""A name whose last label starts with a letter: whatever ends in a number, `0x7f` and `0177` too, is read as an address by programs."""
_PUBLIC_IPV6 = r"\[(2[0-9a-f]{3}|3[0-9a-f]{3}):[0-9a-f:]+\]"
"""Global unicast, without an IPv4 address inside."""
_AFTER = r"(:[0-9]{1,5})?([/?#].*)?"
URL_HOST = rf"(?i:https?://{_USER}({_NAME}|({_OCTET}\.){{3}}{_OCTET}|{_PUBLIC_IPV6}){_AFTER})"
"""A host in a form that can be read in one way only: a DNS name, four decimal numbers, or a public IPv6 address in brackets.

Everything else that some program takes for an address (`2852039166`, `0xA9FEA9FE`, `0251.0376.0251.0376`, `[::ffff:169.254.169.254]`,
percent signs, backslashes) is refused as a form, so that the next rule looks at addresses and not at spellings.
"""
METADATA_URL = (
    rf"(?i:https?://{_USER}(169\.254\.[0-9.]+|168\.63\.129\.16|100\.100\.100\.200|192\.0\.0\.192|(0|127|22[4-9]|2[345][0-9])\.[0-9.]+|"
    rf"\[2002:[0-9a-f:]+\]|([-a-z0-9_.]+\.)?localhost|metadata|metadata\.google\.internal|metadata\.azure\.(internal|com)|"
    rf"instance-data(\.ec2\.internal)?)\.?{_AFTER})"
)
"""The metadata services of clouds, which hand out credentials to whoever asks from the node, the node itself, and addresses that are no
server's: link-local, loopback, multicast, 6to4. What a name resolves to shows only in the pod."""
FOLDER = r"[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*"
"""A relative path that stays below where it starts."""
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
