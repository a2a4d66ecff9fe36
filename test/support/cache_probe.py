"""A process of its own that fills one cache from an API server and reports what that cost.

Run as `python -m test.support.cache_probe KUBECONFIG ROUNDS`; prints one JSON object. A process of its own because memory given back by
other tests would hide what a cache takes, and because their threads would hold up the heartbeat.
"""

from __future__ import annotations

import gc
import os
import sys
import threading
import time
from pathlib import Path

import orjson

from controller_runtime.cache.informer import Informer
from controller_runtime.client.kubernetes_client import Client
from controller_runtime.resources import PODS

BEAT_S = 0.002


def rss_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Heartbeat:
    """A thread that only wants to run every two milliseconds. `longest_s` is the most processor time that the rest of the process used
    between two of its turns: a hold of our own making, which a machine that is busy with others does not lengthen.
    """

    def __enter__(self) -> Heartbeat:
        self.longest_s = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _beat(self) -> None:
        last = time.process_time()
        while not self._stop.wait(BEAT_S):
            now = time.process_time()
            self.longest_s = max(self.longest_s, now - last)
            last = now


def main(kubeconfig: str, rounds: int) -> None:
    client = Client.from_kubeconfig(kubeconfig)
    growth, holds = [], []
    for _ in range(rounds):
        gc.collect()
        before = rss_bytes()
        informer = Informer(client, PODS)
        with Heartbeat() as heartbeat:
            informer.start()
            assert informer.wait_for_sync(60)
        growth.append(rss_bytes() - before)
        holds.append(heartbeat.longest_s)
        objects = len(informer)
        informer.stop(5)
    client.close()
    print(orjson.dumps({"objects": objects, "growth_bytes": growth[0], "holds_s": holds}).decode())


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
