"""An installation with guarded metrics, and a scraper that asks with or without a token, over TLS."""

from __future__ import annotations

import itertools
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import trustme

from hack.demo.installation import NAMESPACE, OPERATORS, Installation
from hack.localcluster.cluster import LocalCluster

BASE = "secured-metrics"
PROMETHEUS, STRANGER = "prometheus", "stranger"
TEAM = "monitoring"


class Scraper:
    """Asks the operators of one installation for their metrics."""

    def __init__(self, product: Installation, authority: trustme.CA) -> None:
        self.product = product
        self._durations = itertools.count(3600)
        self.authority = authority
        self._context = ssl.create_default_context()
        authority.configure_trust(self._context)

    def status(self, operator: str, token: str = "") -> tuple[int, str]:
        """(HTTP status, body)."""
        port = self.product.operators[operator].metrics_port
        request = urllib.request.Request(f"https://127.0.0.1:{port}/metrics")
        if token:
            request.add_header("Authorization", f"Bearer {token}")
        try:
            with urllib.request.urlopen(request, timeout=10, context=self._context) as reply:
                return reply.status, reply.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def token(self, account: str) -> str:
        """A new one; two tokens of one second would be the same but for their duration, and the operators remember tokens."""
        duration = f"--duration={next(self._durations)}s"
        return self.product.kubectl("-n", TEAM, "create", "token", account, duration).strip()


@contextmanager
def installed(cluster: LocalCluster, folder: Path, interpreter: Sequence[str]) -> Iterator[Scraper]:
    """`config/secured-metrics` with its operators, certificates in the place of the two Secrets, and two service accounts that ask."""
    authority = trustme.CA()
    settings = {name: [f"--metrics-cert-dir={_certificate(authority, folder / name)}"] for name in OPERATORS}
    with Installation(
        cluster.kubeconfig, folder, cluster.environment, interpreter, settings=settings, base=BASE
    ) as product:
        product.install()
        product.start_operators()
        product.kubectl("create", "namespace", TEAM)
        for account in (PROMETHEUS, STRANGER):
            product.kubectl("-n", TEAM, "create", "serviceaccount", account)
        role, subject = "--clusterrole=kaito-metrics-reader", f"--serviceaccount={TEAM}:{PROMETHEUS}"
        product.kubectl("create", "clusterrolebinding", "prometheus-reads-kaito", role, subject)
        yield Scraper(product, authority)


def _certificate(authority: trustme.CA, folder: Path) -> Path:
    """tls.crt and tls.key, as a mounted Secret has them."""
    folder.mkdir()
    issued = authority.issue_cert("127.0.0.1", f"{folder.name}-metrics.{NAMESPACE}.svc")
    issued.private_key_pem.write_to_path(folder / "tls.key")
    (folder / "tls.crt").write_bytes(b"".join(pem.bytes() for pem in issued.cert_chain_pems))
    return folder
