"""The first process of a sandbox: keeps its namespaces alive, reaps orphans, and ends when its starter is gone, which ends all the rest.

Run as `python init.py` by `sandbox.py`, without this project's packages. Its standard input is a pipe whose other end only the starter has:
when the starter ends, even by SIGKILL, the pipe closes, this process exits, and the kernel kills whatever runs in its PID namespace.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal

LOOK_PERIOD_S = 5.0
"""What died before it became ours sends no signal."""


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    wakeup, woken = os.pipe()
    os.set_blocking(woken, False)
    signal.set_wakeup_fd(woken)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    print("ready", flush=True)
    while True:
        readable, _, _ = select.select([0, wakeup], [], [], LOOK_PERIOD_S)
        if 0 in readable:
            return
        if wakeup in readable:
            os.read(wakeup, 4096)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


if __name__ == "__main__":
    main()
