"""`make demo` shows the whole product and ends; `make up` (--keep) leaves a cluster with both operators running until Ctrl-C."""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from hack.demo.installation import CommandFailed
from hack.demo.progress import NotReady
from hack.demo.story import Story
from hack.demo.world import World

TIME_SCALE = 60.0


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m hack.demo", description=__doc__)
    parser.add_argument(
        "--keep", action="store_true", help="no story: start everything and keep it running until Ctrl-C"
    )
    parser.add_argument("--time-scale", type=float, default=TIME_SCALE, help="divide the cloud's durations by this")
    parser.add_argument("--dir", type=Path, help="keep logs and kubeconfig here (default: a temporary folder)")
    arguments = parser.parse_args(argv)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    folder = (arguments.dir or Path(tempfile.mkdtemp(prefix="kaito-demo-"))).resolve()
    try:
        with World(folder, time_scale=arguments.time_scale) as world:
            result = keep(world) if arguments.keep else demonstrate(world)
        if arguments.dir is None:
            shutil.rmtree(folder, ignore_errors=True)
        return result
    except KeyboardInterrupt:
        print("\nstopped")
        return 130
    except (CommandFailed, NotReady, AssertionError) as error:
        print(f"\nThe demo did not get through: {error}\nLogs of all processes: {folder}", file=sys.stderr)
        return 1


def demonstrate(world: World) -> int:
    """The story from beginning to end."""
    began = time.monotonic()
    story = Story(world)
    for step in (
        story.start,
        story.refuse_placeholder,
        story.apply_quickstarts,
        story.wait,
        story.chat,
        story.quota,
        story.delete,
    ):
        step()
    story.title(f"Done in {time.monotonic() - began:.0f} s")
    print(
        "Next: `make up` keeps such a cluster running for your own kubectl; README.md tells how to install on a real one."
    )
    return 0


def keep(world: World) -> int:
    """Start everything, print how to use it, wait for Ctrl-C."""
    story = Story(world)
    story.start()
    print(f"\nIn another terminal:\n\n  export KUBECONFIG={world.kubeconfig}", flush=True)
    print("  kubectl apply -f config/samples/inference-phi-3-mini.yaml && kubectl get workspace --watch\n", flush=True)
    print(f"Logs of all processes: {world.folder}\nCtrl-C stops everything.", flush=True)
    try:
        signal.pause()
    except KeyboardInterrupt:
        print("\nstopping", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
