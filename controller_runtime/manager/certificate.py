"""The certificate of a TLS server, read again when its files change.

cert-manager and the kubelet replace certificates in place while the process runs. Watching is looking: each new connection compares the
files' identity, which costs two `stat` calls and needs neither a thread nor inotify. Files that do not fit together (the key is already
new, the certificate not yet) leave the last good pair in service, and the next connection tries again.
"""

from __future__ import annotations

import ssl
import threading
from pathlib import Path

from controller_runtime.errors import FatalError
from controller_runtime.logs import get_logger
from controller_runtime.metrics.registry import CertificateMetrics

Signature = tuple[tuple[int, int, int], ...]

log = get_logger(__name__)


class ServingCertificate:
    """`tls.crt` and `tls.key` of one directory. Thread-safe."""

    def __init__(self, directory: str, metrics: CertificateMetrics | None = None) -> None:
        """Raises FatalError, naming the directory, when there is no usable pair at the start."""
        self._files = (Path(directory) / "tls.crt", Path(directory) / "tls.key")
        self._metrics = metrics
        self._lock = threading.Lock()
        try:
            self._signature = self._look()
            self._context = self._read()
        except OSError as error:
            raise FatalError(f"metrics_cert_dir {directory!r}: tls.crt and tls.key cannot be used: {error}") from error

    def context(self) -> ssl.SSLContext:
        """For the next handshake: with the pair that is in the files now, or the last one that was good."""
        with self._lock:
            try:
                self._refresh()
            except OSError as error:  # ssl.SSLError is one: a pair that does not match, or half a file.
                if self._metrics:
                    self._metrics.errors.inc()
                log.warning("cannot read the new certificate; serving the old one", error=str(error))
            return self._context

    def _refresh(self) -> None:
        signature = self._look()
        if signature != self._signature:
            self._context = self._read()
            # Noted only now, so that a pair that could not be read is looked at again.
            self._signature = signature
            log.info("serving a new certificate", file=str(self._files[0]))

    def _look(self) -> Signature:
        stats = [path.stat() for path in self._files]
        return tuple((stat.st_ino, stat.st_mtime_ns, stat.st_size) for stat in stats)

    def _read(self) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(*self._files)
        if self._metrics:
            self._metrics.reads.inc()
        return context
