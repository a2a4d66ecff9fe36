"""SIGTERM while a program is still importing: it ends at once, with exit code 0.

Python has no handler for SIGTERM, and the kernel gives a container's first process no default action: a pod that is
deleted while its operator still imports would sit out its whole grace period. Nothing is held yet then, no Lease and no
half-written object, so there is nothing to tidy up. From `Manager.run` on, the Manager's own handler takes over.

This module imports nothing heavy, and a program calls it before it imports anything that is.
"""

from __future__ import annotations

import os
import signal
from types import FrameType


def end_at_once_when_told() -> None:
    """Let SIGTERM end this process with exit code 0 until another handler is set. To be called in the main thread."""
    signal.signal(signal.SIGTERM, _end)


def _end(_number: int, _frame: FrameType | None) -> None:
    # An exception would not do: raised inside a callback of the import system, Python prints it and goes on.
    os._exit(0)
