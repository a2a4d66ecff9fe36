"""What a user can put right, as one sentence: the setting, its value, what is wrong with it, and the cure.

A program of this package ends with such a sentence in its log and in the container's termination message, which is where the
controller (and `kubectl describe pod`) finds it. Anything else that ends a program is a defect of ours and is shown with its traceback.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

from model_runtime.contract import TERMINATION_LOG

TERMINATION_VARIABLE = "TERMINATION_LOG_PATH"
MAX_MESSAGE_BYTES = 4096
"""The kubelet cuts a termination message there."""


class UserError(Exception):
    """`name` has a `value` that cannot work; `problem` says why, `cure` what to do instead.

    >>> str(UserError("--engine", "tpu", "no such engine", "use auto, vllm or transformers"))
    '--engine="tpu": no such engine; use auto, vllm or transformers.'
    """

    def __init__(self, name: str, value: object, problem: str, cure: str) -> None:
        self.name, self.value, self.problem, self.cure = name, value, problem, cure
        shown = f'="{value}"' if isinstance(value, str | os.PathLike) else f"={value}"
        super().__init__(f"{name}{'' if value is None else shown}: {problem}; {cure}.")


def termination_log() -> Path:
    """Where the last words go: `TERMINATION_LOG_PATH`, else Kubernetes' default."""
    return Path(os.environ.get(TERMINATION_VARIABLE) or TERMINATION_LOG)


def report(error: BaseException, log: logging.Logger, path: Path | None = None) -> None:
    """Logs the error and leaves it in the termination message; a message file that cannot be written is only logged."""
    message = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
    log.error(message, exc_info=None if isinstance(error, UserError) else error)
    target = path or termination_log()
    try:
        target.write_bytes(message.encode()[:MAX_MESSAGE_BYTES])
    except OSError as problem:
        log.warning("the termination message could not be written to %s: %s", target, problem)
