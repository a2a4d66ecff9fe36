"""A command as the pods run it: a user without rights, on a root file system that is read-only but for the folders given to it.

A mount namespace takes the container's place. Where the interpreter lies in a home that others may not enter, it is mounted at its own path
over that home, so that nothing else there is seen.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

USER = 65534
"""The user and group of the command: nobody."""

_SCRIPT = """
set -e
folder=$1 program=$2 python=$3 hidden=$4 user=$5
shift 5
mount --bind "$folder" "$folder"
mount -t tmpfs tmpfs "$folder/tmp"
chmod 1777 "$folder/tmp"
if [ -n "$hidden" ]; then  # the interpreter lies in a home that nobody else may enter
  mkdir "$folder/tmp/python"
  mount --bind "$python" "$folder/tmp/python"
  mount -t tmpfs -o mode=755 tmpfs "$hidden"
  mkdir -p "$python"
  mount --bind "$folder/tmp/python" "$python"
  umount "$folder/tmp/python"
  mount -o remount,ro "$hidden"
fi
mount -o remount,bind,ro /
cd "$program"
exec setpriv --reuid "$user" --regid "$user" --clear-groups --no-new-privs "$@"
"""


def locked_down(folder: Path, program: Path) -> list[str]:
    """What to put before a command that may write below `folder` (where its modes allow) and runs in the folder `program`.

    `folder` must have a folder `tmp`, which becomes an empty one in memory.
    """
    options = [str(folder), str(program), sys.base_prefix, closed_parent(sys.base_prefix), str(USER)]
    return ["unshare", "-m", "bash", "-c", _SCRIPT, "locked", *options]


def closed_parent(path: str) -> str:
    """The topmost folder above `path` that other users may not enter, "" for none."""
    closed = [parent for parent in Path(path).parents if not parent.stat().st_mode & 0o001]
    return str(closed[-1]) if closed else ""


def may_unshare() -> bool:
    """Whether this user may make a mount namespace."""
    if shutil.which("unshare") is None:
        return False
    return subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode == 0
