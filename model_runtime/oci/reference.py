"""`oci://host[:port]/repository[:tag][@digest]`; `oci+http://` for a registry without TLS."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from model_runtime.errors import UserError

_REFERENCE = re.compile(
    r"(?:(?P<scheme>oci|oci\+http)://)?(?P<host>[^/]+)/(?P<repository>[a-z0-9._/-]+)(?::(?P<tag>[\w.-]{1,128}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)
_LOOPBACK = re.compile(r"(localhost|127\.\d+\.\d+\.\d+|\[::1\])(:\d+)?")
_PRIVATE = tuple(map(ipaddress.ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")))
"""RFC 1918."""
_DOCKER_HUB = {"docker.io", "index.docker.io"}


@dataclass(frozen=True, slots=True)
class Reference:
    """A parsed reference."""

    text: str
    host: str
    repository: str
    version: str
    """Digest where there is one, else the tag."""
    plain_http: bool
    may_be_plain: bool = False
    """TLS is tried first, and HTTP where there is none."""

    @property
    def base_url(self) -> str:
        """Of the registry's API for this repository."""
        host = "registry-1.docker.io" if self.host in _DOCKER_HUB else self.host
        return f"{'http' if self.plain_http else 'https'}://{host}/v2/{self.repository}"


def parse_reference(text: str) -> Reference:
    """Loopback registries speak HTTP and those at private addresses may, as for crane, which pushes adapters; raises UserError."""
    match = _REFERENCE.fullmatch(text)
    if not match:
        raise UserError("image", text, "is no image reference", "write registry/repository:tag or …@sha256:digest")
    host = match["host"]
    plain = match["scheme"] == "oci+http" or bool(_LOOPBACK.fullmatch(host))
    version = match["digest"] or match["tag"] or "latest"
    return Reference(text, host, match["repository"], version, plain, may_be_plain=not plain and _is_private(host))


def _is_private(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host.partition(":")[0])
    except ValueError:
        return False
    return any(address in network for network in _PRIVATE)
