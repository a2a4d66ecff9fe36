"""`python3 -m model_runtime.serve`: the model server as a program. Exit code 0 after SIGTERM, 1 with a sentence about what is wrong."""

from __future__ import annotations

import asyncio
import importlib
import logging
import multiprocessing
import os
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from model_runtime.errors import report
from model_runtime.serve import nodes
from model_runtime.serve.settings import ParsedSettings, parse

log = logging.getLogger("model_runtime.serve")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one server."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        parsed = parse(sys.argv[1:] if argv is None else argv, os.environ)
        _prepare(parsed)
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            if not runner.run(_serve(parsed)):
                _leave_at_once()
    except Exception as error:
        report(error, log)
        return 1
    return 0


async def _serve(parsed: ParsedSettings) -> bool:
    from model_runtime.serve.server import serve  # needs its settings first: imports take seconds

    return await serve(parsed, os.environ)


def _leave_at_once() -> NoReturn:
    """A thread that fetches or loads cannot be interrupted: Python would wait for it until the kubelet kills the pod."""
    log.info("stopped before the model was loaded")
    for child in multiprocessing.active_children():
        child.terminate()
    logging.shutdown()
    os._exit(0)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop where it is installed: the image has it, and vLLM's own server runs on it. Else asyncio's loop."""
    try:
        return importlib.import_module("uvloop").new_event_loop  # type: ignore[no-any-return]
    except ImportError:
        return None


def _prepare(parsed: ParsedSettings) -> None:
    # Our own loggers too: a part of vLLM sets the root logger to ERROR.
    for ours in (logging.getLogger(), logging.getLogger("model_runtime")):
        ours.setLevel(parsed.settings.log_level.upper())
    for name in ("httpx", "httpx2", "urllib3", "filelock"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # Whatever is loaded comes from files; only model_runtime.weights talks to a hub, and only when it is told to.
    settings = parsed.settings
    if not (settings.weights.startswith("hf://") or settings.allow_remote_files):
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
    nodes.forget_torchrun(os.environ)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    if parsed.ignored:
        log.warning("flags that this server does not know are ignored: %s", ", ".join(parsed.ignored))
