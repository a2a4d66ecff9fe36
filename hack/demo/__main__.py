"""`make demo` shows the whole product and ends; `make up` (--keep) leaves a cluster with both operators running until Ctrl-C."""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from hack.demo.installation import OPERATORS, CommandFailed
from hack.demo.progress import NotReady
from hack.demo.story import Story
from hack.demo.world import World
from hack.render.kustomize import kubectl

TIME_SCALE = 60.0
LIMIT = "--kaito-controller-flag=--machine-timeout-s=60"


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m hack.demo", description=__doc__)
    parser.add_argument(
        "--keep", action="store_true", help="no story: start everything and keep it running until Ctrl-C"
    )
    parser.add_argument("--time-scale", type=float, default=TIME_SCALE, help="divide the cloud's durations by this")
    for name in OPERATORS:
        parser.add_argument(
            f"--{name}-flag",
            action="append",
            default=[],
            metavar="FLAG",
            help=f"a flag for {name}: --{name}-flag=--log-level=debug",
        )
    parser.add_argument("--dir", type=Path, help="keep logs and kubeconfig here (default: a temporary folder)")
    arguments = parser.parse_args(argv)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    folder = (arguments.dir or Path(tempfile.mkdtemp(prefix="kaito-demo-"))).resolve()
    try:
        flags = {name: getattr(arguments, f"{name.replace('-', '_')}_flag") for name in OPERATORS}
        with World(folder, time_scale=arguments.time_scale, flags=flags) as world:
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
    print(
        f"\nThe cloud runs {world.time_scale:g} times as fast as a real one: a node that takes minutes is there in seconds.",
        flush=True,
    )
    print(
        "The controller's time limits are real minutes; shorten them with its flags to see them pass, for example",
        flush=True,
    )
    print(f"  make up FLAGS={LIMIT}", flush=True)
    print(f"\nIn another terminal, as administrator (kubectl is {kubectl()}):\n", flush=True)
    print(f"  export KUBECONFIG={world.kubeconfig} PATH={Path(kubectl()).parent}:$PATH", flush=True)
    print("  kubectl apply -f config/samples/inference-phi-3-mini.yaml", flush=True)
    print("  kubectl kaito explain workspace-phi-3-mini --watch\n", flush=True)
    print("To see failures of the cloud, of nodes and of pods, as hack/localcluster/README.md has them:\n", flush=True)
    print(f"  export ADMIN={world.admin_url}\n", flush=True)
    print(f"Logs of all processes: {world.folder}\nCtrl-C stops everything.", flush=True)
    try:
        signal.pause()
    except KeyboardInterrupt:
        print("\nstopping", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
