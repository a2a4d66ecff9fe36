"""Download files over http and https: from the public Internet, and from whatever else was allowed by name or network.

Addresses are judged after resolution, at each redirect, and the connection is made to the address that was judged, so that neither a name
nor a server can lead into the node, its cloud's metadata service, the cluster or a private network. Python 3.8's own library is enough.

    [--allow HOST|NETWORK]... [--cluster-domain NAME] (--output PATH --url URL)...
"""

from __future__ import annotations

import http.client
import ipaddress
import os
import socket
import ssl
import sys
import time
from collections.abc import Callable, Iterable
from typing import Union
from urllib.parse import SplitResult, quote, urljoin, urlsplit

REDIRECTS, TRIES, CONNECT_S, SILENCE_S, CHUNK = 10, 8, 30.0, 120.0, 2**20
AGAIN = (408, 425, 429, 500, 502, 503, 504)
WIRE_SERVER = ipaddress.ip_address("168.63.129.16")
PAUSE = time.sleep  # noqa: TID251  # it runs in a pod of its own, and has nothing else to do
Address = Union[ipaddress.IPv4Address, ipaddress.IPv6Address]  # noqa: UP007  # older Pythons know no other spelling
GLOBAL_V6, NAT64 = ipaddress.ip_network("2000::/3"), ipaddress.ip_network("64:ff9b::/96")


class Ended(Exception):
    """Why there is no file: (exit code, sentence)."""


class Transient(Exception):
    """Worth another try."""


def meant(address: Address) -> Address:
    """The IPv4 address that an IPv6 address stands for, or the address itself."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else address)


def is_public(address: Address) -> bool:
    """Nobody's own network: neither this host's, the cluster's, the cloud's nor a private one."""
    address = meant(address)
    if address.version == 6 and address not in GLOBAL_V6:
        return False
    own = os.environ.get("KUBERNETES_SERVICE_HOST", "")
    return address.is_global and not address.is_multicast and address != WIRE_SERVER and str(address) != own


def is_allowed(host: str, address: Address, allowed: Iterable[str]) -> bool:
    """Named by an administrator, the host or a network that it is in."""
    for entry in allowed:
        try:
            if meant(address) in ipaddress.ip_network(entry, strict=False):
                return True
        except ValueError:
            if host == entry.lower().rstrip("."):
                return True
    return False


def addresses_of(host: str, port: int, allowed: list[str], domain: str) -> list[Address]:
    """Where to connect. Ended when one address may not be reached: which one is used is then not left to chance."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = [ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]
    for address in addresses:
        judge(host, address, allowed, domain)
    return addresses


def judge(host: str, address: Address, allowed: list[str], domain: str) -> None:
    """Ended unless data may come from this host at this address; a Service is inside, whatever its address."""
    inside = host.endswith((".svc", "." + domain))
    if not is_allowed(host, address, allowed) and (inside or not is_public(address)):
        raise Ended(
            3,
            f"host {host} is at {address}, which is not on the public Internet; "
            "a cluster administrator can allow the host with --download-allowed-hosts of kaito-controller",
        )


def connected(parts: SplitResult, host: str, port: int, addresses: list[Address]) -> http.client.HTTPConnection:
    """A connection to one of these very addresses."""
    error: OSError | None = None
    for address in addresses:
        try:
            sock: socket.socket = socket.create_connection((str(address), port), CONNECT_S)
            sock.settimeout(SILENCE_S)
            if parts.scheme == "https":
                sock = ssl.create_default_context().wrap_socket(sock, server_hostname=host)
            kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
            connection = kind(host, port)
            connection.sock, connection.auto_open = sock, 0  # never connects by itself, which would resolve again
            return connection
        except ssl.SSLCertVerificationError as problem:
            raise Ended(60, f"the certificate of {host} is not valid: {problem.verify_message}") from problem
        except OSError as problem:
            error = problem
    raise Transient(f"no connection to {host}:{port}: {error}")


def asked(url: str, allowed: list[str], domain: str) -> tuple[http.client.HTTPResponse, http.client.HTTPConnection]:
    """The server's answer to GET, and the connection that it comes on."""
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").rstrip("."), parts.port
        name = host.encode("idna").decode()
    except ValueError as problem:
        raise Ended(3, f"the URL cannot be read: {problem}") from problem
    if parts.scheme not in ("http", "https") or not host or parts.username is not None:
        raise Ended(3, "only http and https URLs without a user name are downloaded")
    port = port or (443 if parts.scheme == "https" else 80)
    connection = connected(parts, name, port, addresses_of(name, port, allowed, domain))
    path = quote(parts.path or "/", safe="/%:=&~+!$,;'@()*[]")
    query = "?" + quote(parts.query, safe="/%:=&~+!$,;'@()*[]?") if parts.query else ""
    connection.request("GET", path + query, headers={"User-Agent": "kaito", "Accept-Encoding": "identity"})
    return connection.getresponse(), connection


def download(url: str, path: str, allowed: list[str], domain: str) -> int:
    """One try."""
    for _ in range(REDIRECTS + 1):
        response, connection = asked(url, allowed, domain)
        try:
            target = response.getheader("Location") if response.status in (301, 302, 303, 307, 308) else None
            if target:
                url = joined(url, target)
            elif response.status in AGAIN:
                raise Transient(f"the server answered {response.status} {response.reason}")
            elif response.status != 200:
                raise Ended(22, f"the server answered {response.status} {response.reason}")
            else:
                return save(response, path)
        finally:
            connection.close()
    raise Ended(3, f"more than {REDIRECTS} redirects")


def joined(url: str, target: str) -> str:
    """Where a redirect leads."""
    try:
        return urljoin(url, target)
    except ValueError as problem:
        raise Ended(3, f"the server redirects to what is no URL: {problem}") from problem


def save(response: http.client.HTTPResponse, path: str) -> int:
    """The body as a file that is either whole or not there; bytes written."""
    expected, written = response.length, 0
    with open(path + ".part", "wb") as file:
        for chunk in iter(lambda: response.read(CHUNK), b""):
            written += file.write(chunk)
    if expected is not None and written != expected:
        raise Transient(f"{written} of {expected} bytes came")
    os.replace(path + ".part", path)
    return written


def persistent(url: str, path: str, allowed: list[str], domain: str, pause: Callable[[float], None]) -> int:
    """As many tries as a short outage needs."""
    for number in range(1, TRIES + 1):
        try:
            return download(url, path, allowed, domain)
        except (Transient, OSError, http.client.HTTPException) as problem:
            said = str(problem) or type(problem).__name__
            if number == TRIES:
                raise Ended(7, f"{said}; given up after {TRIES} tries") from problem
            sys.stderr.write(f"{url}: {said}; trying again\n")
            pause(2.0 ** (number - 1))
    return 0


def main(arguments: list[str], pause: Callable[[float], None] = PAUSE) -> int:
    """Exit code; the first file that cannot be had ends it."""
    allowed: list[str] = []
    domain, path = "cluster.local", ""
    for flag, value in zip(arguments[::2], arguments[1::2]):  # noqa: B905  # `strict` is younger than the Python of some images
        if flag == "--allow":
            allowed.append(value)
        elif flag == "--cluster-domain":
            domain = value
        elif flag == "--output":
            path = value
        elif flag == "--url":
            try:
                sys.stderr.write(f"{value}: {persistent(value, path, allowed, domain, pause)} bytes\n")
            except Ended as end:
                sys.stderr.write(f"{value}: not downloaded: {end.args[1]}\n")
                return int(end.args[0])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
