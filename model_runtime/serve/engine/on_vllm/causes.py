"""Why a process of vLLM's died at the start: it logs its reason, and the process that started it only learns that it died.

So vLLM is given a logging configuration: its own, and a file for errors beside the stream. One that the user chose is left as it is.
"""

from __future__ import annotations

import copy
import json
import os
import re
import tempfile
from pathlib import Path

VARIABLE = "VLLM_LOGGING_CONFIG_PATH"
_LAST_LINE = re.compile(r"^(?:ERROR .*\] )?[\w.]*(?:Error|Exception): (.+)$", re.MULTILINE)
"""The end of a traceback; of several, the first is the root of the others."""


def listen() -> Path:
    """The file in which errors of the processes are that vLLM is configured for from now on."""
    from vllm.logger import DEFAULT_LOGGING_CONFIG

    folder = Path(tempfile.mkdtemp(prefix="vllm-errors-"))
    file = folder / "errors.log"
    if VARIABLE in os.environ:
        return file
    handler = {"class": "logging.FileHandler", "filename": str(file), "delay": True, "level": "ERROR"}
    told = copy.deepcopy(DEFAULT_LOGGING_CONFIG)
    told["handlers"]["causes"] = handler
    told["loggers"]["vllm"]["handlers"].append("causes")
    (folder / "logging.json").write_text(json.dumps(told))
    os.environ[VARIABLE] = str(folder / "logging.json")
    return file


def first(file: Path) -> str | None:
    """The first reason in it."""
    found = _LAST_LINE.search(file.read_text(errors="replace")) if file.is_file() else None
    return found[1] if found else None
