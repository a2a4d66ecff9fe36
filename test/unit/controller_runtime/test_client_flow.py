"""The brake in front of the network."""

import pytest

from controller_runtime.client.flow_control import AdaptiveGate
from controller_runtime.errors import TooManyRequests
from controller_runtime.resources import PODS
from test.support.scripted_server import ScriptedServer


def test_the_gate_halves_with_each_429_and_widens_slowly_with_each_success():
    gate = AdaptiveGate(8)
    for width in (4, 2, 1, 1):
        gate.shrink()
        assert gate.width == width
    gate.grow()
    assert gate.width == 2
    for _ in range(100):
        gate.grow()
    assert gate.width == 8


def test_a_full_gate_refuses_after_its_patience_and_opens_when_a_request_ends():
    gate = AdaptiveGate(1)
    with gate.slot(1), pytest.raises(TooManyRequests, match="server asked for fewer"), gate.slot(0):
        pass
    with gate.slot(0):
        pass


def test_an_overloaded_server_narrows_the_gate_of_its_client(tmp_path):
    with ScriptedServer(lambda _, wire: wire.status(429, "TooManyRequests")) as server:
        client = server.client(tmp_path)
        with pytest.raises(TooManyRequests):
            client.get(PODS, "a", "n")
        assert client._transport._gate.width == 32
        client.close()
