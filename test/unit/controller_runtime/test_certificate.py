"""/metrics over TLS: the certificate in use, and how it changes while the server runs."""

import http.client
import os
import socket
import ssl

import pytest
import trustme
from prometheus_client import CollectorRegistry

from controller_runtime.errors import FatalError
from controller_runtime.manager.certificate import ServingCertificate
from controller_runtime.manager.http_server import HttpServer, Reply
from controller_runtime.metrics.registry import CertificateMetrics


class Site:
    """A TLS server whose certificate the test replaces."""

    def __init__(self, directory):
        self.directory, self.registry = directory, CollectorRegistry()
        self.authority = trustme.CA()
        self.context = ssl.create_default_context()
        self.authority.configure_trust(self.context)
        self.issue()
        certificate = ServingCertificate(str(directory), CertificateMetrics(self.registry))
        self.server = HttpServer("metrics", "127.0.0.1:0", lambda _: Reply.text(200, "ok"), certificate=certificate)
        self.server.start()

    def issue(self, *, key=True):
        """Replace the files, as the kubelet does, by renaming; without `key`, the certificate alone. Returns the serial number."""
        issued = self.authority.issue_cert("127.0.0.1")
        if key:
            self.put("tls.key", issued.private_key_pem.bytes())
        self.put("tls.crt", issued.cert_chain_pems[0].bytes())

    def put(self, name, data):
        fresh = self.directory / "fresh"
        fresh.write_bytes(data)
        os.replace(fresh, self.directory / name)

    def on_disk(self):
        return ssl.PEM_cert_to_DER_cert((self.directory / "tls.crt").read_text())

    def served(self):
        """One request; the certificate that it was answered with."""
        connection = http.client.HTTPSConnection("127.0.0.1", self.server.port, context=self.context, timeout=10)
        try:
            connection.connect()
            certificate = connection.sock.getpeercert(binary_form=True)
            connection.request("GET", "/")
            assert connection.getresponse().read() == b"ok"
            return certificate
        finally:
            connection.close()

    def count(self, name):
        return self.registry.get_sample_value(f"certwatcher_read_certificate_{name}")


@pytest.fixture
def site(tmp_path):
    site = Site(tmp_path)
    yield site
    site.server.stop()


def test_only_tls_is_spoken_and_a_silent_or_plain_peer_does_not_block_others(site):
    with socket.create_connection(("127.0.0.1", site.server.port), timeout=10) as silent:
        plain = http.client.HTTPConnection("127.0.0.1", site.server.port, timeout=10)
        plain.request("GET", "/")
        with pytest.raises((OSError, http.client.HTTPException)):
            plain.getresponse()
        plain.close()

        assert site.served() == site.on_disk()
        assert silent.fileno() > 0


def test_a_rotated_certificate_is_served_from_the_next_connection_on(site):
    first = site.served()
    site.issue()

    assert site.served() == site.on_disk() != first
    assert (site.count("total"), site.count("errors_total")) == (2, 0)


def test_while_key_and_certificate_do_not_fit_the_last_good_pair_is_served(site):
    first = site.served()
    site.issue(key=False)

    assert site.served() == first
    assert site.count("errors_total") == 1
    site.issue()
    assert site.served() == site.on_disk() != first


def test_while_a_file_is_missing_the_last_good_pair_is_served(site):
    first = site.served()
    (site.directory / "tls.crt").unlink()

    assert site.served() == first
    assert site.count("errors_total") == 1


def test_without_a_usable_pair_at_the_start_the_error_names_the_directory(tmp_path):
    with pytest.raises(FatalError, match="metrics_cert_dir"):
        ServingCertificate(str(tmp_path))
