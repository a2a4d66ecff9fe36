"""`build` builds the binaries, `nodes` what real nodes need besides; `up` runs a cluster until Ctrl-C, `test` the suites on each minor."""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

from hack.envtest import binaries, suites
from hack.envtest.control_plane import ControlPlane, ControlPlaneFailed
from hack.envtest.nodes import leftovers, requirements
from hack.envtest.nodes.images import UPGRADE, ImageFailed, Images, operator, relabelled
from hack.envtest.nodes.requirements import UNFIT, Unfit
from hack.envtest.nodes.sandbox import SandboxError


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m hack.envtest", description=__doc__)
    parser.add_argument("command", choices=["build", "nodes", "up", "test"])
    parser.add_argument(
        "--minor", choices=binaries.minors(), default=binaries.minors()[0], help="Kubernetes minor (up)"
    )
    parser.add_argument("--minors", nargs="+", choices=binaries.minors(), default=binaries.minors(), help="(test)")
    parser.add_argument("--suite", action="append", choices=[suite.name for suite in suites.SUITES], help="(test)")
    parser.add_argument("--repeat-failed", action="store_true", help="run what failed once more, and say so (test)")
    parser.add_argument(
        "--older-briefly", action="store_true", help="older minors: only suites in which minors have differed (test)"
    )
    parser.add_argument("--nodes", type=int, default=0, help="real nodes: kubelet, containerd, DNS, registry (up)")
    parser.add_argument(
        "--product", action="store_true", help="with both operators installed from an image (up --nodes)"
    )
    arguments = parser.parse_args(argv)
    if arguments.product and not arguments.nodes:
        parser.error("--product needs nodes for its pods: add --nodes 1")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that whatever was started is also stopped
    try:
        if arguments.command == "build":
            return build()
        if arguments.command == "nodes":
            return prepare_nodes(arguments.minor)
        if arguments.command == "up":
            return up_with_nodes(arguments) if arguments.nodes else up(arguments.minor)
        return suites.run(
            arguments.minors,
            arguments.suite,
            repeat_failed=arguments.repeat_failed,
            older_briefly=arguments.older_briefly,
        )
    except KeyboardInterrupt:
        print("envtest: interrupted; everything that was started is stopped", file=sys.stderr)
        return 130
    except Unfit as error:
        print(f"envtest: {error}", file=sys.stderr)
        return UNFIT
    except (binaries.BuildFailed, ControlPlaneFailed, SandboxError, ImageFailed) as error:
        print(f"envtest: {error}", file=sys.stderr)
        return 1


def build() -> int:
    """Build whatever is missing, for every pinned minor, and the client tools."""
    for minor in binaries.minors():
        print(f"Kubernetes {minor}: {binaries.ensure_control_plane(minor)}")
    print(f"helm and crane: {binaries.ensure(binaries.client_tools())}")
    print(f"Karpenter: {binaries.ensure(binaries.karpenter())}")
    return 0


def prepare_nodes(minor: str) -> int:
    """Install and build whatever real nodes need; Unfit where that cannot be had."""
    from hack.envtest.nodes import model_image, stock  # the rest does without the operators' packages

    requirements.check(minor)
    leftovers.sweep()
    binaries.ensure_control_plane(minor)
    for tools in binaries.node_tools(minor):
        binaries.ensure(tools)
    coredns = binaries.ensure(binaries.coredns()) / "coredns"
    crane = binaries.ensure(binaries.client_tools(), "crane") / "crane"
    # Minutes on a busy machine: here, where no test's time limit runs.
    images = Images()
    product = operator(images)
    upgrade, prometheus = relabelled(images, product, UPGRADE), stock.prometheus(images)
    for recipe in [product, upgrade, prometheus, *stock.recipes(images, coredns=coredns, crane=crane).values()]:
        images.layout(recipe)
    images.layout(model_image.model_runtime(images))
    model_image.weights(model_image.SMALL_MODEL)
    return 0


def up(minor: str) -> int:
    """Run until interrupted."""
    with ControlPlane(binaries.ensure_control_plane(minor)) as plane:
        wait_with(plane.kubeconfig)
    return 0


def up_with_nodes(arguments: argparse.Namespace) -> int:
    """The same with real nodes."""
    from hack.envtest.nodes.cluster import NodeCluster  # the rest does without the operators' packages
    from hack.envtest.nodes.product import Product

    with NodeCluster(nodes=arguments.nodes, minor=arguments.minor) as cluster:
        if arguments.product:
            Product(cluster).install()
        wait_with(cluster.kubeconfig)
    return 0


def wait_with(kubeconfig: Path) -> None:
    """Until Ctrl-C."""
    print(f"export KUBECONFIG={kubeconfig}", flush=True)
    try:
        signal.pause()
    except KeyboardInterrupt:
        print("stopping", flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
