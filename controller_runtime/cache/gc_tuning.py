"""Keeping Python's cyclic garbage collector out of the way while a large list is decoded.

Decoding ten thousand objects makes millions of containers; the collector takes each burst for possible garbage and walks them again and
again, with the interpreter lock held, for longer in total than the decoding itself takes. JSON has no cycles, so there is nothing
to find. The collector is off while lists are under way, and afterwards the survivors are moved out of its sight. In between it
runs more rarely than Python's default, under which a dozen decoded watch events are enough to start it (measured: half the throughput).
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

PYTHON_DEFAULTS = ((700, 10, 10), (2000, 10, 0), (2000, 10, 10))
RELAXED = (50_000, 20, 100)

FREEZE_FROM_OBJECTS = 1000
"""Freezing is for the whole process and also hides whatever garbage there is at that moment, so small lists do not do it."""

_lock = threading.Lock()
_quiet = 0
_was_enabled = False


class Listing:
    """Filled in by the one who lists: how many objects came."""

    objects = 0


def relax_collector() -> None:
    """Start the collector after 50,000 new containers instead of 700, for the whole process; own settings of the program are kept."""
    if gc.get_threshold() in PYTHON_DEFAULTS:
        gc.set_threshold(*RELAXED)


@contextmanager
def quiet_collector() -> Iterator[Listing]:
    """No collection in this process until the outermost of the nested or parallel users is through."""
    listing = Listing()
    _enter()
    try:
        yield listing
    finally:
        _leave(freeze=listing.objects >= FREEZE_FROM_OBJECTS)


def _enter() -> None:
    global _quiet, _was_enabled
    with _lock:
        if _quiet == 0:
            _was_enabled = gc.isenabled()
            gc.disable()
        _quiet += 1


def _leave(*, freeze: bool) -> None:
    global _quiet
    with _lock:
        if freeze:
            # Frozen objects are still freed by their reference counts; only the cycle search skips them.
            gc.freeze()
        _quiet -= 1
        if _quiet == 0 and _was_enabled:
            gc.enable()
