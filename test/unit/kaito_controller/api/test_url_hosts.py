"""Addresses that no download may reach are refused in whatever way they are written, and data files are not."""

from __future__ import annotations

import ipaddress
import random
import socket
from collections.abc import Iterator

import pytest

from kaito_controller.api import patterns

FORBIDDEN = [
    ipaddress.ip_network(net)
    for net in ("169.254.0.0/16", "127.0.0.0/8", "0.0.0.0/8", "224.0.0.0/3", "168.63.129.16/32")
]


def accepted(host: str) -> bool:
    url = f"http://{host}/data.csv"
    return (
        patterns.fits(patterns.URL, url)
        and patterns.fits(patterns.URL_HOST, url)
        and not patterns.fits(patterns.METADATA_URL, url)
    )


def spellings(address: ipaddress.IPv4Address) -> Iterator[str]:
    """Ways of writing one address that inet_aton or a browser understands."""
    number, parts = int(address), str(address).split(".")
    yield str(address)
    yield f"{address}."
    yield from (str(number), hex(number), f"0X{number:X}", oct(number).replace("0o", "0"))
    yield ".".join(f"0{int(part):o}" for part in parts)
    yield ".".join(hex(int(part)) for part in parts)
    yield f"{parts[0]}.{number & 0xFFFFFF}"
    yield f"{parts[0]}.{parts[1]}.{number & 0xFFFF}"
    yield ".".join(part.zfill(3) for part in parts)
    yield f"[::ffff:{address}]"
    yield f"[::ffff:{number >> 16:x}:{number & 0xFFFF:x}]"
    yield f"[64:ff9b::{number >> 16:x}:{number & 0xFFFF:x}]"
    yield f"[2002:{number >> 16:x}:{number & 0xFFFF:x}::]"
    yield f"user@{address}"
    yield f"user:pass@{address}:80"
    yield f"example.com\\@{address}"
    yield str(address).replace(".", "%2e")
    yield f"[{address}]"


@pytest.mark.parametrize("network", FORBIDDEN, ids=str)
def test_no_spelling_of_a_forbidden_address_is_accepted(network: ipaddress.IPv4Network) -> None:
    rng = random.Random(7)
    addresses = [network[0], network[-1], *(network[rng.randrange(network.num_addresses)] for _ in range(200))]

    passed = [host for address in addresses for host in spellings(address) if accepted(host)]

    assert passed == []


def test_whatever_the_resolver_takes_for_an_address_is_one_that_is_written_as_four_decimals() -> None:
    """The resolver itself is the judge of what is an address."""
    rng = random.Random(11)
    alphabet = "0123456789abcdefx."
    for _ in range(20000):
        host = "".join(rng.choice(alphabet) for _ in range(rng.randrange(1, 16)))
        try:
            address = socket.inet_aton(host)
        except OSError:
            continue
        if accepted(host):
            assert host == socket.inet_ntoa(address), host


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST.",
        "a.localhost",
        "metadata",
        "metadata.google.internal",
        "[::1]",
        "[fe80::1]",
        "[fd00:ec2::254]",
        "[::]",
    ],
)
def test_a_name_or_address_of_the_node_or_its_metadata_service_is_refused(host: str) -> None:
    assert not accepted(host)


@pytest.mark.parametrize(
    "host",
    [
        "huggingface.co",
        "HuggingFace.co.",
        "user:token@files.example.com:8443",
        "minio.data.svc.cluster.local:9000",
        "minio",
        "8.8.8.8",
        "10.1.2.3:8080",
        "1.example.com",
        "xn--bcher-kva.example",
        "my_bucket.s3.amazonaws.com",
        "[2606:4700:4700::1111]:443",
    ],
)
def test_a_host_that_may_hold_data_is_accepted(host: str) -> None:
    assert accepted(host)
