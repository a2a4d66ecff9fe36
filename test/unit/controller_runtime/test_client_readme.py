"""The tables of the package's README that describe the client side, against the code."""

from pathlib import Path

import controller_runtime
from controller_runtime.cache import dispatcher, frames, reflector, reflector_backoff
from controller_runtime.cache.informer_metrics import InformerCollector
from controller_runtime.client import connection, rest, status
from controller_runtime.client.api import WATCH_TIMEOUT_S
from controller_runtime.client.status import error_from_reply
from controller_runtime.client.transport import Timeouts
from controller_runtime.errors import meaning_of

PACKAGE = Path(controller_runtime.__file__).parent
README = (PACKAGE / "README.md").read_text()
CLIENT = README[README.index("## Client: API client") :]


def test_the_table_of_informer_metrics_is_what_a_scrape_shows():
    def shown(metric):
        return metric.name + ("_total" if metric.type == "counter" else "")

    collected = [f"| `{shown(metric)}` | {metric.documentation} |" for metric in InformerCollector(list).collect()]
    table = CLIENT[CLIENT.index("| metric | meaning |") :].split("\n\n")[0].splitlines()[2:]
    assert table == collected


def test_every_module_named_in_the_map_exists():
    rows = CLIENT[CLIENT.index("| question | module |") :].split("\n\n")[0].splitlines()[2:]
    named = {word for row in rows for word in row.split("|")[2].split("`")[1::2] if word.islower()}
    named.discard("kubernetes")
    assert named
    assert [name for name in sorted(named) if not (PACKAGE / f"{name}.py").exists()] == []


def test_the_numbers_in_the_text_are_those_in_the_code():
    timeouts = Timeouts()
    assert (
        f"{timeouts.connect_s:g} s to connect, {timeouts.read_s:g} s between two reads, {timeouts.total_s:g} s"
        in CLIENT
    )
    assert (
        f"random {WATCH_TIMEOUT_S:g} to {2 * WATCH_TIMEOUT_S:g} s and gives up {rest.WATCH_GRACE_S:g} s later" in CLIENT
    )
    assert f"after {frames.SILENCE_AFTER_BOOKMARK_S:g} s of silence" in CLIENT
    assert f"{reflector_backoff.BASE_S:g} s doubling to {reflector_backoff.CAP_S:g} s" in CLIENT
    assert f"at most {2 * reflector_backoff.MISSING_TYPE_CAP_S:g} s; one warning" in CLIENT
    assert f"the {reflector.MAX_QUICK_REWATCHES + 1}th end within a second" in CLIENT
    assert f"from {dispatcher.COALESCE_AT:,} changes on" in CLIENT


def test_the_table_of_failed_requests_is_what_the_code_makes_of_them():
    table = CLIENT[CLIENT.index("| reply | error | meaning |") :].split("\n\n")[0].splitlines()[2:]
    documented = {}
    for line in table:
        reply, error, meaning = (cell.strip() for cell in line.strip("|").split(" | "))
        if (code := reply[:3]).isdigit():
            documented[int(code)] = (error.split("`")[1], meaning.split()[0].rstrip(";,"))
    made = {code: error_from_reply(code, b"", {}) for code in documented}
    assert documented == {code: (type(error).__name__, meaning_of(error).value) for code, error in made.items()}
    assert set(documented) == set(status._BY_CODE) | {500}


def test_keep_alive_finds_a_vanished_peer_when_the_text_says():
    after_s = connection.KEEPALIVE_IDLE_S + connection.KEEPALIVE_INTERVAL_S * connection.KEEPALIVE_PROBES
    assert f"begin after {connection.KEEPALIVE_IDLE_S} s\nand find a vanished peer after {after_s} s" in CLIENT
