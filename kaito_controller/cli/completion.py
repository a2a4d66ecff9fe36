"""`kubectl_complete-kaito`: what kubectl's own completion asks for the words behind `kubectl kaito`. Nothing is computed here but by click.

kubectl calls it with the words so far, the last of them unfinished, and reads one candidate a line, then a colon and a number that says
whether files may be offered besides (kubectl's `__complete` protocol).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

NO_FILES, FILES = 4, 0


def main(argv: Sequence[str] | None = None) -> int:
    """Prints the candidates; the exit code is always 0, because a shell has no use for another."""
    from click.shell_completion import ShellComplete

    from kaito_controller.cli.app import app

    *before, unfinished = list(sys.argv[1:] if argv is None else argv) or [""]
    found = ShellComplete(app, {}, "kubectl-kaito", "").get_completions(before, unfinished)
    for item in found:
        if item.type == "plain":
            print(f"{item.value}\t{item.help}" if item.help else item.value)  # noqa: T201  # a command line
    print(f":{FILES if any(item.type != 'plain' for item in found) else NO_FILES}")  # noqa: T201  # a command line
    return 0
