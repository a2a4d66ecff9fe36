"""Whatever is sent, localcluster's API server refuses or obeys: it never fails, and it goes on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hack.localcluster.apiserver.server import ApiServer, ServerOptions
from test.conformance import compare
from test.conformance.odd_requests import draw, targets
from test.support.raw_api import RawApi


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RawApi]:
    folder: Path = tmp_path_factory.mktemp("odd")
    with ApiServer(ServerOptions(folder=folder)) as server:
        client = RawApi(server.write_kubeconfig(folder / "kubeconfig"))
        compare.prepare(client)
        yield client
        client.close()


@settings(
    max_examples=250, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(random=st.randoms(use_true_random=False))
def test_no_request_makes_the_server_fail(api: RawApi, random: Random) -> None:
    request = draw(random, targets(compare.NAMESPACE))
    reply = request.send(api)
    assert reply.code < 500, f"{request}\n{reply.body}"
    assert reply.code < 400 or reply.body["kind"] == "Status"
