"""Write CEL expressions and rules: quoting, whole-text matches, values in messages.

Only macros and functions that every Kubernetes since 1.30 has *and* the CEL of localcluster: `has`, `size`, `matches`, `all`,
`exists`, `filter`, `startsWith`, `string`, `int`, `in`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kaito_controller.api.violation import LONG_TEXT, MAX_QUOTE


@dataclass(frozen=True, slots=True)
class Rule:
    """One entry of `x-kubernetes-validations`.

    `message` is shown when `message_cel` is absent or gives no single-line text. `create_only` rules get the old object as an
    optional and pass when there is one.
    """

    at: str
    """Path of the schema node, such as `inference.adapters[]`; "" is the whole object."""
    cel: str
    message: str
    message_cel: str = ""
    field: str = ""
    """Path below `at` that the error names, such as `.count`."""
    create_only: bool = False

    def to_validation(self) -> dict[str, Any]:
        """As the CRD writes it."""
        entry: dict[str, Any] = {"rule": f"oldSelf.hasValue() || ({self.cel})" if self.create_only else self.cel}
        if self.create_only:
            entry["optionalOldSelf"] = True
        entry["message"] = self.message
        if self.message_cel:
            entry["messageExpression"] = self.message_cel
        if self.field:
            entry["fieldPath"] = self.field
        return entry


def text(value: str) -> str:
    """A CEL string literal."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def fits(value: str, pattern: str) -> str:
    """Whether the whole of a string has a form of `kaito_controller.api.patterns`."""
    return f"{value}.matches({text(f'^(?:{pattern})$')})"


def quoted(value: str) -> str:
    """A string as messages show it: in quotes, or only described when it is long.

    Never with `string(number)`: the API server takes its result for unbounded and refuses the whole CRD as too costly.
    """
    return f"({value}.size() <= {MAX_QUOTE} ? '\"' + {value} + '\"' : {text(LONG_TEXT)})"


def with_value(value: str, sentence: str) -> str:
    """A message expression: the quoted value, then the sentence."""
    return f"{quoted(value)} + {text(' ' + sentence)}"


def given(parent: str, name: str) -> str:
    """Whether a string or list field is there and not empty."""
    return f"(has({parent}.{name}) && {parent}.{name}.size() > 0)"


def or_empty(parent: str, name: str) -> str:
    """A string field, "" when absent."""
    return f"(has({parent}.{name}) ? {parent}.{name} : '')"


WEIGHTS_FIELDS = ("claimName", "path", "artifact", "tokenSecret")
"""The fields of `presetOptions.weights`."""


def has_weights(preset: str) -> str:
    """Whether a preset's `presetOptions.weights` says anything."""
    weights = f"{preset}.presetOptions.weights"
    some = " || ".join(given(weights, name) for name in WEIGHTS_FIELDS)
    return f"has({preset}.presetOptions) && has({weights}) && ({some})"


def value_or(parent: str, path: str, absent: str) -> str:
    """The value at a path such as `presetOptions.image`; the CEL literal `absent` when any part of it is missing."""
    parts = path.split(".")
    there = " && ".join(f"has({'.'.join((parent, *parts[:depth]))})" for depth in range(1, len(parts) + 1))
    return f"({there} ? {parent}.{path} : {absent})"


def only_one(*conditions: str) -> str:
    """Whether exactly one of the conditions holds."""
    return f"[{', '.join(conditions)}].filter(given, given).size() == 1"
