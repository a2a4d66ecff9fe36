"""`make demo-model`: the whole product with a real model server, a real trainer and a real small chat model, on this machine's CPU."""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from hack.demo.installation import CommandFailed
from hack.demo.model.story import ModelStory
from hack.demo.model.surroundings import PYTHON, NotPrepared, Surroundings
from hack.demo.progress import NotReady
from hack.demo.world import World
from hack.envtest.binaries import BuildFailed

TIME_SCALE = 20.0
"""Slower than the other demo's: the Deployment's deadline is divided too, and a real model needs real time to load."""


def main(argv: list[str] | None = None) -> int:
    """Exit code 0 when the taught sentence was told."""
    parser = argparse.ArgumentParser(prog="python -m hack.demo.model", description=__doc__)
    parser.add_argument("--time-scale", type=float, default=TIME_SCALE, help="divide the cloud's durations by this")
    parser.add_argument("--dir", type=Path, help="keep logs and kubeconfig here (default: a temporary folder)")
    arguments = parser.parse_args(argv)
    if not PYTHON.exists():
        print(f"{PYTHON} is missing: run `make demo-model`, which installs it", file=sys.stderr)
        return 1
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    folder = (arguments.dir or Path(tempfile.mkdtemp(prefix="kaito-demo-"))).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        demonstrate(folder, arguments.time_scale)
        if arguments.dir is None:
            shutil.rmtree(folder, ignore_errors=True)
    except KeyboardInterrupt:
        print("\nstopped")
        return 130
    except (BuildFailed, CommandFailed, NotPrepared, NotReady, AssertionError) as error:
        print(f"\nThe demo did not get through: {error}\nLogs of all processes: {folder}", file=sys.stderr)
        return 1
    return 0


def demonstrate(folder: Path, time_scale: float) -> None:
    """The story from beginning to end."""
    began = time.monotonic()
    said: list[ModelStory] = []
    with Surroundings(folder, lambda text: said[0].say(text)) as around:
        world = World(folder, time_scale=time_scale, programs=around.programs)
        said.append(ModelStory(world, around))
        with world:
            (story,) = said
            story.prepare()
            world.add_flags("kaito-controller", around.flags)
            for step in (
                story.start,
                story.catalogue,
                story.serve,
                story.teach,
                story.tell,
                story.delete,
                story.conclude,
            ):
                step()
            story.say(f"done in {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    sys.exit(main())
