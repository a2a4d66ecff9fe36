"""A throw-away certificate authority and one server certificate for loopback.

Real `kubectl` sends credentials over TLS only, so the server must speak it; the keys live as long as the cluster's folder.
"""

from __future__ import annotations

import ssl
from pathlib import Path

_NAMES = ("localhost", "127.0.0.1", "kubernetes", "kubernetes.default", "kubernetes.default.svc")


def ensure_certificates(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """The CA file and the server's TLS context; made on first use in `folder` and kept, so that kubeconfigs survive a restart."""
    ca_file, server_file = folder / "ca.crt", folder / "server.pem"
    if not (ca_file.exists() and server_file.exists()):
        folder.mkdir(parents=True, exist_ok=True)
        _generate(ca_file, server_file)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(server_file)
    return ca_file, context


def _generate(ca_file: Path, server_file: Path) -> None:
    import trustme  # only a new cluster needs it, and it takes long to load

    authority = trustme.CA(organization_name="localcluster")
    server = authority.issue_cert(*_NAMES)
    server_file.touch(mode=0o600)
    server.private_key_and_cert_chain_pem.write_to_path(server_file)
    authority.cert_pem.write_to_path(ca_file)
