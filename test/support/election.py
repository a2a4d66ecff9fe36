"""Candidates for a Lease over a `MemoryClient`, for tests that step them."""

from controller_runtime.election.elector import LeaderElector
from controller_runtime.election.lease import LeaseTimings
from controller_runtime.resources import LEASES

TIMINGS = LeaseTimings()


def elector(client, clock, identity="a", **options):
    return LeaderElector(client, namespace="ns", name="lease", identity=identity, clock=clock, **options)


def lease_of(client):
    return client.get(LEASES, "lease", "ns")["spec"]


def fail_writes(client, error):
    def before(verb, _resource, _name):
        if verb in ("create", "replace"):
            raise error

    client.before = before


def heal(client):
    client.before = lambda *_: None
