"""`python -m hack.envtest build` builds the binaries, `up` runs a control plane until Ctrl-C, `test` runs the suites on each minor."""

from __future__ import annotations

import argparse
import signal
import sys

from hack.envtest import binaries, suites
from hack.envtest.control_plane import ControlPlane, ControlPlaneFailed


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m hack.envtest", description=__doc__)
    parser.add_argument("command", choices=["build", "up", "test"])
    parser.add_argument(
        "--minor", choices=binaries.minors(), default=binaries.minors()[0], help="Kubernetes minor (up)"
    )
    parser.add_argument("--minors", nargs="+", choices=binaries.minors(), default=binaries.minors(), help="(test)")
    parser.add_argument("--suite", action="append", choices=[suite.name for suite in suites.SUITES], help="(test)")
    parser.add_argument("--repeat-failed", action="store_true", help="run what failed once more, and say so (test)")
    arguments = parser.parse_args(argv)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that whatever was started is also stopped
    try:
        if arguments.command == "build":
            return build()
        if arguments.command == "up":
            return up(arguments.minor)
        return suites.run(arguments.minors, arguments.suite, repeat_failed=arguments.repeat_failed)
    except KeyboardInterrupt:
        print("envtest: interrupted; everything that was started is stopped", file=sys.stderr)
        return 130
    except (binaries.BuildFailed, ControlPlaneFailed) as error:
        print(f"envtest: {error}", file=sys.stderr)
        return 1


def build() -> int:
    """Build whatever is missing, for every pinned minor, and the client tools."""
    for minor in binaries.minors():
        print(f"Kubernetes {minor}: {binaries.ensure_control_plane(minor)}")
    print(f"helm and crane: {binaries.ensure(binaries.client_tools())}")
    return 0


def up(minor: str) -> int:
    """Run until interrupted."""
    with ControlPlane(binaries.ensure_control_plane(minor)) as plane:
        print(f"export KUBECONFIG={plane.kubeconfig}", flush=True)
        try:
            signal.pause()
        except KeyboardInterrupt:
            print("stopping", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
