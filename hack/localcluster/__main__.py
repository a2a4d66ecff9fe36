"""`python -m hack.localcluster up`: a cluster and a cloud on this machine until Ctrl-C.

Prints where everything is, in lines that a shell can evaluate, and exits 0 after a clean stop; a second signal ends it at once.
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from pathlib import Path
from types import FrameType

from hack.localcluster import commandlog
from hack.localcluster.cluster import ClusterOptions, LocalCluster, StateFileError
from hack.localcluster.programs.images import ProgramsError

DEFAULT_DIRECTORY = Path(".localcluster")


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m hack.localcluster", description=__doc__.splitlines()[0] if __doc__ else ""
    )
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="bring the cluster up and keep it until Ctrl-C")
    up.add_argument(
        "--time-scale",
        type=_factor,
        default=60.0,
        metavar="N",
        help="divide durations by N (1: as in reality; default 60)",
    )
    up.add_argument("--state", type=Path, metavar="FILE", help="keep the state in FILE and restore it from there")
    up.add_argument(
        "--dir", type=Path, default=DEFAULT_DIRECTORY, help=f"kubeconfig and certificates (default {DEFAULT_DIRECTORY})"
    )
    up.add_argument("--port", type=int, default=0, help="port of the API server (default: a free one)")
    up.add_argument("--cloud-port", type=int, default=0, help="port of the cloud (default: a free one)")
    up.add_argument("--admin-port", type=int, default=0, help="port of the admin endpoint (default: a free one)")
    up.add_argument("--no-rbac", action="store_true", help="let every authenticated user do everything")
    up.add_argument("--no-canaries", action="store_true", help="start without the system pool and the user pool")
    up.add_argument(
        "--programs",
        type=Path,
        metavar="FILE",
        help="images whose containers run on this machine instead of being played",
    )
    return parser


def _factor(text: str) -> float:
    value = float(text)
    if not value > 0:
        raise argparse.ArgumentTypeError(f"{text}: give a factor above 0, such as 1 (realistic) or 60 (demo)")
    return value


def describe(cluster: LocalCluster) -> str:
    """What a user and a script need to know."""
    exports = "\n".join(f"export {key}={value}" for key, value in cluster.environment.items())
    return (
        f"# API server       {cluster.url}\n"
        f"# kubeconfig       {cluster.kubeconfig}\n"
        f"# cloud endpoint   {cluster.cloud.url}\n"
        f"# admin endpoint   {cluster.admin.url}\n"
        f"{exports}\n"
        "# ready; Ctrl-C stops it"
    )


def run(options: ClusterOptions) -> int:
    """Start, wait for a signal, stop."""
    stop = threading.Event()

    def on_signal(number: int, _: FrameType | None) -> None:
        if stop.is_set():
            raise SystemExit(128 + number)
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, on_signal)
    try:
        cluster = LocalCluster(options).start()
    except (StateFileError, ProgramsError, OSError) as error:
        print(f"localcluster: {error}", file=sys.stderr)
        return 1
    print(describe(cluster), flush=True)
    stop.wait()
    cluster.stop()
    print("# stopped", flush=True)
    return 0


def main(argv: list[str] | None = None) -> int:
    """Parse and run; the process's exit code."""
    arguments = build_parser().parse_args(argv)
    commandlog.configure()
    return run(
        ClusterOptions(
            time_scale=arguments.time_scale,
            state_file=arguments.state,
            directory=arguments.dir.resolve(),
            rbac=not arguments.no_rbac,
            canaries=not arguments.no_canaries,
            port=arguments.port,
            cloud_port=arguments.cloud_port,
            admin_port=arguments.admin_port,
            programs=arguments.programs,
        )
    )


if __name__ == "__main__":
    sys.exit(main())
