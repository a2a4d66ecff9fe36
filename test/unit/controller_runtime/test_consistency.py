"""Nothing is decided for a key while a cache does not show what was written for it; but nobody waits for ever."""

import pytest

from controller_runtime.cache.consistency import PATIENCE_S, Consistency
from controller_runtime.resources import CONFIG_MAPS, NODES, PODS
from test.support.fake_clock import FakeClock


class At:
    """A cache that has seen everything up to a version."""

    def __init__(self, version):
        self.version = version

    def has_seen(self, resource_version):
        return int(resource_version) <= self.version


@pytest.fixture
def caches():
    return {PODS: At(5), NODES: At(5)}


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def writes(caches, clock):
    return Consistency(caches, clock)


def test_a_key_waits_until_every_cache_shows_what_was_written_for_it(writes, caches):
    writes.note("a", [(PODS, "6"), (NODES, "7")])
    assert not writes.are_visible("a")
    assert writes.are_visible("b")
    caches[PODS].version = 6
    assert not writes.are_visible("a")
    caches[NODES].version = 9

    assert writes.are_visible("a")
    assert len(writes) == 0


def test_the_newest_version_of_a_resource_is_what_is_waited_for(writes, caches):
    writes.note("a", [(PODS, "6")])
    writes.note("a", [(PODS, "8")])
    caches[PODS].version = 6

    assert not writes.are_visible("a")


def test_a_cache_that_stays_behind_is_not_waited_for_and_each_write_gives_new_patience(writes, clock):
    writes.note("a", [(PODS, "6")])
    clock.advance(PATIENCE_S - 1)
    writes.note("a", [(NODES, "6")])
    clock.advance(PATIENCE_S - 1)
    assert not writes.are_visible("a")
    clock.advance(1)

    assert writes.are_visible("a")
    assert len(writes) == 0


def test_a_write_without_a_version_or_a_cache_is_not_waited_for(writes):
    writes.note("a", [(PODS, ""), (CONFIG_MAPS, "9")])

    assert writes.are_visible("a")


def test_what_is_forgotten_or_not_kept_is_waited_for_no_longer(writes):
    for uid in ("a", "b", "c"):
        writes.note(uid, [(PODS, "6")])
    writes.forget("a")
    writes.keep_only({"b"})

    assert [writes.are_visible(uid) for uid in ("a", "b", "c")] == [True, False, True]
