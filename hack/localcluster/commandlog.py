"""The log of the command: warnings, as plain lines. To be imported before anything that logs.

structlog loads `rich` for its coloured tracebacks wherever some other tool has installed it, which costs an eighth of the command's start;
so it is told that there is none while it loads.
"""

from __future__ import annotations

import logging
import sys

_loaded = sys.modules.get("rich")
sys.modules["rich"] = None  # type: ignore[assignment]  # Python's own way of saying that a module cannot be imported
try:
    import structlog
finally:
    del sys.modules["rich"]
    if _loaded is not None:
        sys.modules["rich"] = _loaded


def configure() -> None:
    """Show warnings and worse."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s %(message)s")
