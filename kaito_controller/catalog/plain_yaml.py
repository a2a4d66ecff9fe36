"""Read YAML that users wrote, without its traps.

Aliases are refused: a few hundred bytes of them unfold to gigabytes as soon as the value is printed or walked. So is a document
nested so deeply that walking it would exhaust the stack. Both are judged on the events of the parser, before anything is built, and with
the parser in C where there is one: whoever may write a ConfigMap decides how much there is to read, and the one in Python needs five
times as long (measured: 4.8 s of 256 KB of a list).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_MAX_PROBLEM = 200
_DEEPEST = 100
_LONGEST_NUMBER = 1024
"""In bits. Python refuses to print integers of more than 4,300 digits, which YAML can write as 0xfff or 1:1:1."""
_TOO_DEEP = "is nested too deeply; flatten it"


class PlainYamlError(ValueError):
    """The text cannot be used; the message says why, and reads well after the name of a field."""


def _refuse_traps(text: str) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=_LOADER):
        if isinstance(event, yaml.AliasEvent):
            raise PlainYamlError("uses a YAML alias (*name); write the values out")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEEPEST:
            raise PlainYamlError(_TOO_DEEP)


def load_plain_yaml(text: str) -> Any:
    """The one document in `text`. PlainYamlError when there is none, or one that cannot be used."""
    try:
        _refuse_traps(text)
        document = yaml.load(text, Loader=_LOADER)  # noqa: S506  # both are safe loaders
    except PlainYamlError:
        raise
    except RecursionError as error:
        raise PlainYamlError(_TOO_DEEP) from error
    except (yaml.YAMLError, ValueError, TypeError, OverflowError) as error:
        problem = " ".join(str(error).split())[:_MAX_PROBLEM]
        raise PlainYamlError(f"is no valid YAML: {problem}; check indentation and quotes") from error
    if any(isinstance(value, int) and value.bit_length() > _LONGEST_NUMBER for value in _values(document)):
        raise PlainYamlError("holds a number of more than 300 digits; write a shorter one")
    return document


def _values(value: Any) -> Iterator[Any]:
    """Every key and every value, however deep."""
    if isinstance(value, dict):
        yield from value
        value = list(value.values())
    if isinstance(value, list):
        for child in value:
            yield from _values(child)
    else:
        yield value
