"""`python -m kaito_controller`, and the command `kaito-controller`."""

from __future__ import annotations

import sys

from controller_runtime.early_stop import end_at_once_when_told


def main() -> int:
    """Run until told to stop, which may be while the program is still being imported; the exit code."""
    end_at_once_when_told()
    from kaito_controller import main as program  # behind the handler: it takes seconds on a busy node

    return program.main()


if __name__ == "__main__":
    sys.exit(main())
