"""The model card beside the adapter: what it was made of, how, and how well it learnt. Pure text from the run's record."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

_TEXT = """---
{front}---

# Adapter for {base}

Trained by {method} on {rows} examples ({form}), {steps} steps in {seconds:.0f} s, {tokens:,} tokens.

| | |
|---|---|
| base model | `{base}`, revision `{revision}` |
| base files | `{base_digest}` |
| data | `{data}`, `{data_digest}` |
| trained on, kept back | {train_rows} rows, {evaluation_rows} rows |
| training loss, first and last | {first_loss}, {last_loss} |
| evaluation loss | {evaluation_loss} |
| run | `{run}` |

The digest of the base files covers the model's configuration and the names and sizes of its files; that of the data covers its content.

## Configuration

```yaml
{configuration}```
"""


def build_card(record: Mapping[str, Any]) -> str:
    """A card in the form that model hubs read, from the record of `training.Outcome`."""
    front = {"base_model": record["base"], "library_name": "peft", "pipeline_tag": "text-generation", "tags": ["lora"]}
    values = {key: "none" if value is None else value for key, value in record.items()}
    return _TEXT.format(
        **values | {"configuration": yaml.safe_dump(_plain(record["configuration"]), sort_keys=True)},
        front=yaml.safe_dump(front, sort_keys=False),
        rows=record["train_rows"],
    )


def _plain(value: Any) -> Any:
    """Without what says nothing (null), and without types of the libraries."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, list | tuple | set):
        return [_plain(inner) for inner in value]
    return value if isinstance(value, bool | int | float | str) else str(value)
