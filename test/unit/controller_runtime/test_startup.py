"""At start-up, what may come is waited for: patiently, visibly, and not for ever."""

import pytest

from controller_runtime.errors import ConnectionFailed, Forbidden
from controller_runtime.startup import FIRST_PAUSE_S, LONGEST_PAUSE_S, PATIENCE_S, patiently
from test.support.jumping_clock import JumpingClock


class Server:
    """Fails so often, then answers."""

    def __init__(self, *failures):
        self.failures = list(failures)
        self.calls = 0

    def __call__(self):
        self.calls += 1
        if self.failures:
            raise self.failures.pop(0)
        return "there"


@pytest.fixture
def clock():
    return JumpingClock()


def test_a_server_that_comes_up_late_is_waited_for_with_growing_pauses(clock, capsys):
    server = Server(*[ConnectionFailed("refused")] * 6)

    assert patiently(server, "the API server", clock=clock) == "there"

    nominal = [min(FIRST_PAUSE_S * 2**number, LONGEST_PAUSE_S) for number in range(6)]
    assert len(clock.pauses) == 6
    for pause, least in zip(clock.pauses, nominal, strict=True):
        assert least <= pause <= min(least + FIRST_PAUSE_S, LONGEST_PAUSE_S)
    assert "the API server" in "".join(capsys.readouterr())


def test_an_answer_that_will_not_change_is_raised_at_once(clock):
    server = Server(Forbidden("not for you"))

    with pytest.raises(Forbidden):
        patiently(server, "the API server", clock=clock)
    assert (server.calls, clock.pauses) == (1, [])


def test_patience_ends_with_the_last_error(clock):
    server = Server(*[ConnectionFailed(f"refused {number}") for number in range(100)])
    began = clock.monotonic()

    with pytest.raises(ConnectionFailed, match="refused"):
        patiently(server, "the API server", clock=clock)
    assert PATIENCE_S <= clock.monotonic() - began <= PATIENCE_S + LONGEST_PAUSE_S + FIRST_PAUSE_S


def test_the_caller_says_what_is_worth_another_try(clock):
    server = Server(KeyError("a"), ValueError("b"))

    with pytest.raises(ValueError, match="b"):
        patiently(server, "it", worth_another_try=lambda error: isinstance(error, KeyError), clock=clock)
    assert server.calls == 2
