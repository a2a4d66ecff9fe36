"""The entry point: starts the commands, and turns whatever stops them into one sentence and an exit code.

Exit codes: 0 yes; 1 no (it does not fit, or nothing is left to choose from); 2 what was asked cannot be read; 130 ended with Ctrl-C, as
shells have it. A reader that goes away (`| head`) is no error.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

NO, BAD_INPUT, INTERRUPTED = 1, 2, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit code."""
    try:
        return _run(argv)
    except KeyboardInterrupt:
        return INTERRUPTED


def _run(argv: Sequence[str] | None) -> int:
    try:
        import click

        from kaito_controller.cli.app import app
    except ModuleNotFoundError as error:
        cure = f"{error.name} is not installed; install the plugin with: pip install 'kaito-operator[cli]'"
        print(f"kubectl-kaito: {cure}", file=sys.stderr)  # noqa: T201  # `remark` stands beside what needs that module
        return BAD_INPUT
    try:
        answer = app.main(args=None if argv is None else list(argv), prog_name="kubectl-kaito", standalone_mode=False)
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.Abort as error:
        return INTERRUPTED if isinstance(error.__cause__, KeyboardInterrupt) else NO
    except click.exceptions.NoArgsIsHelpError as help_text:
        print(help_text.format_message(), file=sys.stderr)  # noqa: T201  # a command line
        return BAD_INPUT
    except click.ClickException as error:
        return _refuse(error.format_message())
    code, text = answer if isinstance(answer, tuple) else (answer, "")
    _write(text)
    return int(code)


def _write(text: str) -> None:
    """Not within the command, where click would take a reader that has gone for a failure."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _refuse(sentence: str) -> int:
    from kaito_controller.cli.output import remark

    remark(f"kubectl-kaito: {sentence}")
    return BAD_INPUT


if __name__ == "__main__":
    sys.exit(main())
