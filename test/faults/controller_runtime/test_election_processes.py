"""Two real processes contend for one Lease on a real HTTP API; what the server committed is the judge.

For every write to the ledger, the Lease as committed at that moment must name the writer. Durations are shortened to keep the tests
quick; the bounds below are in terms of them.
"""

import time
from contextlib import ExitStack

import pytest

from controller_runtime.client.kubernetes_client import Client
from controller_runtime.resources import CONFIG_MAPS, EVENTS, LEASES
from hack.localcluster.apiserver.server import ApiServer
from hack.localcluster.faults import Fault, FaultKind, Rule
from test.support.contender import LEASE, LEDGER, NAMESPACE
from test.support.processes import Process, wait_until

pytestmark = pytest.mark.faults

LEASE_S, RENEW_S, RETRY_S = 4.0, 2.5, 0.4
STANDBY_LOOKS_S = RETRY_S * 2.2 + RETRY_S * 0.1
AFTER_RELEASE_S = STANDBY_LOOKS_S
AFTER_DEATH_S = LEASE_S + STANDBY_LOOKS_S
SLACK_S = 3.0
"""For a loaded machine: scheduling, the standby's HTTP calls, the test's own polling."""


class Arena:
    """The server, the contenders and what happened."""

    def __init__(self, stack, tmp_path):
        self.server = stack.enter_context(ApiServer())
        self.kubeconfig = tmp_path / "kubeconfig"
        self.server.write_kubeconfig(self.kubeconfig)
        client = Client.from_kubeconfig(str(self.kubeconfig), user_agent="judge")
        ledger = {"metadata": {"name": LEDGER, "namespace": NAMESPACE}, "data": {"count": "0", "writer": ""}}
        client.create(CONFIG_MAPS, ledger | {"apiVersion": "v1", "kind": "ConfigMap"})
        self.client, self.stack, self.tmp_path = client, stack, tmp_path

    def contender(self, writer, *options):
        process = Process.module(
            "test.support.contender",
            f"--kubeconfig={self.kubeconfig}",
            f"--writer={writer}",
            f"--lease-duration-s={LEASE_S}",
            f"--renew-deadline-s={RENEW_S}",
            f"--retry-period-s={RETRY_S}",
            f"--leader-election-namespace={NAMESPACE}",
            "--metrics-bind-address=0",
            "--health-probe-bind-address=0",
            *options,
            log_dir=self.tmp_path,
        )
        return self.stack.enter_context(process)

    def leader_and_standby(self, *options):
        leader = self.contender("first", *options)
        leader.wait_for(lambda: self.writes("first"), 60, "its first write")
        standby = self.contender("second")
        standby.wait_for_output("standing by", 60)
        standby.wait_for_output("observed a leader", 60)
        return leader, standby

    def history(self):
        """(rv, kind, who): who holds the Lease from then on, or who wrote the ledger, in the order of commits."""
        for change in list(self.server.events_log):
            name, obj = change.entry.obj["metadata"]["name"], change.entry.obj
            if name == LEASE and "leaseTransitions" in obj.get("spec", {}):
                yield change.rv, "lease", obj["spec"].get("holderIdentity") or "", change.client
            elif name == LEDGER and obj["data"]["writer"]:
                yield change.rv, "write", obj["data"]["writer"], change.client

    def writes(self, writer):
        return sum(1 for _, kind, who, _ in self.history() if kind == "write" and who == writer)

    def overlapping(self):
        """Writes that were committed while the Lease did not name their writer."""
        holder_of, found, holder = {}, [], ""
        for rv, kind, who, client in self.history():
            if kind == "lease":
                holder = who
                if who:
                    holder_of.setdefault(who, client)
            elif not holder or f"contender-{who}" not in self.agents_of(holder):
                found.append((rv, who, holder))
        return found

    def agents_of(self, identity):
        """Which contender an identity belongs to: the standby's identities are told apart by the order of their first claim."""
        first = next(who for _, kind, who, _ in self.history() if kind == "lease" and who)
        return "contender-first" if identity == first else "contender-second"

    def notes(self):
        """What the Events on the Lease say, oldest first."""
        events = [e for e in self.client.list(EVENTS, NAMESPACE).items if e["reason"] == "LeaderElection"]
        return [e["note"] for e in sorted(events, key=lambda e: e["eventTime"])]

    def looks_at_the_lease(self, since):
        """Reads of the Lease since that entry of the audit; a leader that renews does not read."""
        return sum(1 for e in list(self.server.audit)[since:] if e.resource == LEASES.plural and e.verb == "get")

    def refused_attempts_of(self, writer, since):
        entries = list(self.server.audit)[since:]
        return [e for e in entries if e.agent.startswith(f"contender-{writer}") and e.verb == "update"]

    def takeover_after(self, standby, began, bound_s):
        """Seconds from `began` until the standby's first write; fails the test beyond the bound."""
        standby.wait_for(lambda: self.writes("second"), bound_s + SLACK_S + 5, "the takeover")
        took_s = time.monotonic() - began
        assert took_s <= bound_s + SLACK_S
        return took_s


@pytest.fixture
def arena(tmp_path):
    with ExitStack() as stack:
        yield Arena(stack, tmp_path)


def test_a_killed_leader_is_followed_within_the_lease_duration_and_one_look(arena):
    leader, standby = arena.leader_and_standby()
    leader.kill()
    killed = time.monotonic()

    took_s = arena.takeover_after(standby, killed, AFTER_DEATH_S)

    assert took_s > LEASE_S - RETRY_S - 1.0, "nobody may take over before the lease has run out"
    assert arena.overlapping() == []
    first, second = wait_until(lambda: notes if len(notes := arena.notes()) == 2 else None, 10, "both Events")
    assert first.endswith(" became leader")
    assert f"taking over from {first.removesuffix(' became leader')} which fell silent" in second


def test_a_leader_asked_to_stop_exits_cleanly_and_hands_over_on_the_standbys_next_look(arena):
    leader, standby = arena.leader_and_standby()
    asked = time.monotonic()
    code = leader.terminate()

    arena.takeover_after(standby, asked, AFTER_RELEASE_S)

    assert code == 0
    holders = [who for _, kind, who, _ in arena.history() if kind == "lease"]
    assert "" in holders, "the lease was not handed back"
    assert [note.split(" ", 1)[1] for note in arena.notes()[:2]] == ["became leader", "stopped leading"]
    assert arena.overlapping() == []


def test_a_leader_that_was_paused_for_too_long_writes_nothing_when_it_wakes_and_exits(arena):
    leader, standby = arena.leader_and_standby()
    leader.pause()
    paused = time.monotonic()
    arena.takeover_after(standby, paused, AFTER_DEATH_S)
    wait_until(lambda: arena.writes("second") > 5, 10, "the standby's writes")
    before, seen = arena.writes("first"), len(arena.server.audit)
    leader.resume()
    code = leader.wait_for_exit(RENEW_S + LEASE_S + SLACK_S)

    assert code == 1
    assert arena.writes("first") == before
    # One request may have been under way between the guard's look and the socket; the server refused it by its precondition.
    assert len(arena.refused_attempts_of("first", seen)) <= 1
    assert arena.overlapping() == []
    assert standby.exit_code is None


def test_writes_that_waited_for_their_turn_while_the_lease_ran_out_are_not_sent(arena):
    leader = arena.contender("first", "--writers=24", "--write-every-s=0.001")
    # The server asks for less until one request is in flight at a time, and takes its time over that one: 23 writers wait behind the look
    # that each of them passed while it was still the leader's right to write.
    busy = Fault(FaultKind.STATUS, code=429, reason="TooManyRequests")
    slow = Fault(FaultKind.DELAY, seconds=0.5)
    _, delayed = [
        arena.server.faults.add(
            Rule(fault, verb="update", resource="configmaps", client="*contender-first*", times=times)
        )
        for fault, times in ((busy, 12), (slow, 0))
    ]
    leader.wait_for(lambda: arena.writes("first") > 3, 60, "slow writes")
    # It is paused while the server has its one request, so that no other can be on its way from the look to the socket.
    seen = arena.server.faults.fired(delayed)
    leader.wait_for(lambda: arena.server.faults.fired(delayed) > seen, 10, "the next request")
    paused = time.monotonic()
    leader.pause()
    # Past the renew deadline, but not yet so far that the watchdog would end the process before it could do harm.
    wait_until(lambda: time.monotonic() - paused > RENEW_S + 0.1, 10, "the renew deadline")
    under_way = len(arena.server.audit)
    leader.resume()

    assert leader.wait_for_exit(LEASE_S + SLACK_S) == 1
    late = [e for e in list(arena.server.audit)[under_way:] if e.resource == CONFIG_MAPS.plural and e.verb == "update"]
    assert late == []


@pytest.mark.parametrize("kind", [FaultKind.STATUS, FaultKind.COMMIT_THEN_DROP, FaultKind.BLACK_HOLE])
def test_in_an_outage_of_the_api_the_leader_exits_and_the_standby_leads_when_it_is_over(arena, kind):
    leader, standby = arena.leader_and_standby()
    rule = arena.server.faults.add(
        Rule(Fault(kind, code=503, reason="ServiceUnavailable"), client="*contender*", times=0)
    )
    code = leader.wait_for_exit(LEASE_S + SLACK_S)
    ended = time.monotonic()
    assert arena.server.faults.fired(rule) > 0
    arena.server.faults.remove(rule)

    arena.takeover_after(standby, ended, AFTER_DEATH_S)

    assert code == 1
    assert arena.overlapping() == []


def test_a_pause_shorter_than_the_renew_deadline_changes_nothing_and_the_standby_only_looks_at_the_lease(arena):
    leader, standby = arena.leader_and_standby()
    seen = len(arena.server.audit)
    leader.pause()
    # Long enough that the standby looked at the Lease meanwhile and found it silent, but not expired.
    paused = len(arena.server.audit)
    standby.wait_for(lambda: arena.looks_at_the_lease(paused), 20, "a look at the silent lease")
    leader.resume()
    count = arena.writes("first")
    leader.wait_for(lambda: arena.writes("first") > count + 10, 20, "more writes")
    standby.wait_for(lambda: sum(LEASE in e.agent for e in list(arena.server.audit)[seen:]) > 5, 20, "lease traffic")

    assert (leader.exit_code, standby.exit_code) == (None, None)
    assert {e.agent for e in list(arena.server.audit)[seen:] if e.resource != LEASES.plural} == {"contender-first"}
