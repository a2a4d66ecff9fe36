"""Structured logs: one event per line, JSON for machines or console for people, secrets blanked out.

Every line of a reconcile carries its controller, object and reconcile id. Redaction is the last step before rendering, after
tracebacks became text, and covers the libraries underneath as well, because their records pass the same chain.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any, TextIO, cast

import orjson
import structlog
from structlog.typing import EventDict, Processor

REDACTED = "[redacted]"
LEVELS = ("debug", "info", "warning", "error")
FORMATS = ("json", "console")

_SECRET_KEY = re.compile(
    r"(^|[_\-.])(token|id_token|access_token|password|passwd|secret|client_secret|authorization|api_?key|assertion|"
    r"credentials?|private_key)$",
    re.IGNORECASE,
)
_PATTERNS = (
    (re.compile(r"\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}", re.IGNORECASE), rf"\1 {REDACTED}"),
    (re.compile(r"\beyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*"), REDACTED),
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL), REDACTED),
    (re.compile(r"(://[^/\s:@]+:)[^/\s@]+@"), rf"\1{REDACTED}@"),
    (
        re.compile(
            r"""((?:token|password|passwd|secret|client_secret|client_assertion|assertion|api_?key|authorization|sig)"""
            r"""["']?\s*[=:]\s*["']?)(?!\[redacted\])(?!(?:bearer|basic)\s)[^\s"',;&}]{4,}""",
            re.IGNORECASE,
        ),
        rf"\1{REDACTED}",
    ),
)


def redact(text: str) -> str:
    """`text` without tokens, passwords and keys. Errs on the side of blanking out too much."""
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text


def _redact_value(key: str, value: Any) -> Any:
    if value and isinstance(value, str | bytes) and _SECRET_KEY.search(key):
        return REDACTED
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, MutableMapping | dict):
        return {str(name): _redact_value(str(name), item) for name, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_redact_value(key, item) for item in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    return redact(str(value))


def _redact_event(_logger: Any, _method: str, event: EventDict) -> EventDict:
    return {key: value if key.startswith("_") else _redact_value(key, value) for key, value in event.items()}


def _name_component(_logger: Any, _method: str, event: EventDict) -> EventDict:
    event["component"] = event.pop("logger", "")
    return event


def _dumps(event: Any, **_: Any) -> str:
    return orjson.dumps(event, default=str, option=orjson.OPT_NON_STR_KEYS).decode(errors="replace")


def configure_logging(level: str = "info", format: str = "json", stream: TextIO | None = None) -> None:  # noqa: A002
    """Set up logging of this process, once, in main. `level`: debug, info, warning, error; `format`: json or console."""
    if level not in LEVELS:
        raise ValueError(f"log level is {level!r}; use one of {', '.join(LEVELS)}")
    if format not in FORMATS:
        raise ValueError(f"log format is {format!r}; use one of {', '.join(FORMATS)}")
    threshold = logging.getLevelNamesMapping()[level.upper()]
    out = stream or sys.stderr
    chain: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        _redact_event,
    ]
    renderer = _renderer(format, out)
    structlog.configure(
        processors=[*chain, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.WriteLoggerFactory(file=out),
        cache_logger_on_first_use=False,
    )
    _route_standard_logging(chain, renderer, threshold, out)


def _renderer(format_: str, out: TextIO) -> Processor:
    if format_ == "json":
        return structlog.processors.JSONRenderer(serializer=_dumps)
    return structlog.dev.ConsoleRenderer(colors=out.isatty(), exception_formatter=structlog.dev.plain_traceback)


def _route_standard_logging(chain: list[Processor], renderer: Processor, threshold: int, out: TextIO) -> None:
    """Lines of urllib3, kubernetes and azure come out in the same shape, from WARNING on: below, they print headers and bodies."""
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, _name_component],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *chain, renderer],
        )
    )
    root = logging.getLogger()
    for old in list(root.handlers):
        if isinstance(old.formatter, structlog.stdlib.ProcessorFormatter):
            root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(max(threshold, logging.WARNING))


def get_logger(name: str) -> structlog.typing.FilteringBoundLogger:
    """A logger whose lines carry `component=name`. May be made at import time: it looks the configuration up when used."""
    return cast(structlog.typing.FilteringBoundLogger, structlog.get_logger(component=name))


@contextmanager
def reconcile_context(controller: str, namespace: str, name: str, reconcile_id: str) -> Iterator[None]:
    """Every line logged by this thread inside the block says which reconcile it belongs to."""
    with structlog.contextvars.bound_contextvars(
        controller=controller, namespace=namespace, name=name, reconcile_id=reconcile_id
    ):
        yield
