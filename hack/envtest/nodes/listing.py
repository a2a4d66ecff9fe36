"""What a machine holds of the kinds that clusters make: taken before and after, it shows that nothing was left.

Looked at from outside, in the kernel's own tables, and not by the names that clusters give: whatever is there afterwards and was not there
before counts. What comes and goes on any machine by itself is left out: systemd's groups, and other people's temporary folders.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from hack.envtest.nodes import leftovers

NAMESPACES = ("pid", "net")
"""Every process of ours is in another one of both. Mount namespaces come with any service of systemd."""
CGROUPS = Path("/sys/fs/cgroup")
SYSTEMD = (".slice", ".scope", ".service", ".mount")
TEMPORARY = (f"{leftovers.PREFIX}*", "buildah*", "mmdebstrap*")
STARTERS = ("nsenter", "unshare", "buildah")
Listing = dict[str, frozenset[str]]


def listing() -> Listing:
    """Kind of thing → what there is of it."""
    return {
        "mounts": frozenset(" ".join(line.split()[:2]) for line in Path("/proc/self/mounts").read_text().splitlines()),
        "interfaces": frozenset(os.listdir("/sys/class/net")),
        "namespaces": frozenset(_namespaces()),
        "control groups": frozenset(_groups()),
        "processes": frozenset(_processes()),
        "temporary folders": frozenset(_temporary()),
    }


def left(before: Listing, after: Listing) -> list[str]:
    """A line for each thing that is there afterwards only."""
    return [f"{kind}: {thing}" for kind, things in after.items() for thing in sorted(things - before[kind])]


def _namespaces() -> Iterator[str]:
    """Of all processes, and those that somebody gave a name (`ip netns`)."""
    for process in _each_process():
        for kind in NAMESPACES:
            try:
                yield os.readlink(process / "ns" / kind)
            except OSError:
                continue
    yield from (str(path) for path in Path("/run/netns").glob("*"))


def _groups() -> Iterator[str]:
    for folder, below, _ in os.walk(CGROUPS):
        below[:] = [name for name in below if not name.endswith(SYSTEMD)]
        yield folder


def _processes() -> Iterator[str]:
    """Those in a PID namespace other than ours, and the programs by which we start such: `kubelet (4711)`."""
    ours = os.readlink("/proc/self/ns/pid")
    for process in _each_process():
        try:
            program, namespace = os.readlink(process / "exe"), os.readlink(process / "ns" / "pid")
        except OSError:
            continue
        name = Path(program).name
        if namespace != ours or name in STARTERS:
            yield f"{name} ({process.name})"


def _temporary() -> Iterator[str]:
    for folder in {tempfile.gettempdir(), "/tmp", "/var/tmp"}:
        for pattern in TEMPORARY:
            yield from map(str, Path(folder).glob(pattern))


def _each_process() -> Iterator[Path]:
    return Path("/proc").glob("[0-9]*")
