"""Read YAML that users wrote, without its traps.

Aliases are refused: a few hundred bytes of them unfold to gigabytes as soon as the value is printed or walked. So is a document
nested so deeply that walking it would exhaust the stack.
"""

from __future__ import annotations

from typing import Any

import yaml

_MAX_PROBLEM = 200


class PlainYamlError(ValueError):
    """The text cannot be used; the message says why, and reads well after the name of a field."""


class _PlainLoader(yaml.SafeLoader):
    """Tells what is wrong with an alias instead of following it."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.events.AliasEvent):
            raise PlainYamlError("uses a YAML alias (*name); write the values out")
        return super().compose_node(parent, index)


def load_plain_yaml(text: str) -> Any:
    """The one document in `text`. PlainYamlError when there is none, or one that cannot be used."""
    try:
        return yaml.load(text, Loader=_PlainLoader)  # noqa: S506  # a SafeLoader
    except PlainYamlError:
        raise
    except RecursionError as error:
        raise PlainYamlError("is nested too deeply; flatten it") from error
    except (yaml.YAMLError, ValueError, TypeError, OverflowError) as error:
        problem = " ".join(str(error).split())[:_MAX_PROBLEM]
        raise PlainYamlError(f"is no valid YAML: {problem}; check indentation and quotes") from error
