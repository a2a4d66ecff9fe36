"""Settings from flags and environment variables, checked once at start.

A settings class is a frozen pydantic model; every field becomes `--kebab-case` and `PREFIX_SNAKE_CASE` (plus the names that the field
declares under `json_schema_extra={"env": [...]}`). A flag beats the environment, the environment beats the default; an empty
environment variable counts as unset, because manifests write those. Durations are seconds, or Go-style such as `1m30s`.
All mistakes are reported together, each with field, value and cure.
"""

from __future__ import annotations

import argparse
import difflib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, Literal, NoReturn, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError, model_validator
from pydantic.fields import FieldInfo

from controller_runtime.version import VERSION

S = TypeVar("S", bound=BaseModel)

LONGEST_S = 1e9
"""Some thirty years: what is longer, infinity above all, no clock and no wait can hold."""
MOST_SHOWN = 100
"""Characters of a value that are repeated in a message."""
_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_GO_DURATION = re.compile(r"^(?:\d+(?:\.\d+)?(?:ms|s|m|h))+$")
_BIND_ADDRESS = re.compile(r"^(?:\[[0-9a-fA-F:]+\]|[^:\s\[\]]*):(\d{1,5})$")


class SettingsError(Exception):
    """One or more settings are unusable; `problems` has one line for each."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


def _seconds(value: object) -> object:
    if isinstance(value, str) and _GO_DURATION.match(value):
        return sum(float(n) * _UNITS_S[unit] for n, unit in re.findall(r"([\d.]+)(ms|s|m|h)", value))
    return value


def _bind_address(value: object) -> object:
    if value == "0":
        return value
    match = _BIND_ADDRESS.match(str(value))
    if not match or int(match[1]) > 65535:
        raise ValueError('use "host:port", ":port" for all interfaces, or "0" to switch it off')
    return value


Seconds = Annotated[float, BeforeValidator(_seconds), Field(ge=0, le=LONGEST_S)]
"""A duration in seconds."""
BindAddress = Annotated[str, BeforeValidator(_bind_address)]
"""Where a server listens; "0" switches it off."""


class OperatorSettings(BaseModel):
    """What every operator binary can be told."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, allow_inf_nan=False)

    kubeconfig: str | None = Field(
        default=None,
        description="Path of a kubeconfig file; inside a pod the service account is used when this is not given.",
        json_schema_extra={"env": ["KUBECONFIG"]},
    )
    context: str | None = Field(default=None, description="Context of the kubeconfig; its current one when not given.")
    metrics_bind_address: BindAddress = Field(
        default=":8080", description='Where /metrics is served; "0" switches it off.'
    )
    metrics_auth: Literal["none", "kubernetes"] = Field(
        default="none",
        description="kubernetes: /metrics asks for a bearer token, which TokenReview and SubjectAccessReview must accept.",
    )
    metrics_cert_dir: str | None = Field(
        default=None, description="Directory with tls.crt and tls.key; /metrics is served over TLS when given."
    )
    health_probe_bind_address: BindAddress = Field(
        default=":8081", description='Where /healthz and /readyz are served; "0" switches them off.'
    )
    leader_elect: bool = Field(
        default=True, description="Hold a Lease while working, so that of several replicas only one writes."
    )
    leader_election_namespace: str | None = Field(
        default=None,
        description="Namespace of the Lease; the pod's own when not given.",
        json_schema_extra={"env": ["POD_NAMESPACE"]},
    )
    leader_election_name: str | None = Field(
        default=None, description="Name of the Lease; the program's when not given."
    )
    lease_duration_s: Seconds = Field(
        default=15.0, description="How long a standby waits for a leader that has fallen silent."
    )
    renew_deadline_s: Seconds = Field(default=10.0, description="A leader that could not renew for so long exits.")
    retry_period_s: Seconds = Field(default=2.0, description="Pause between attempts to get or renew the Lease.")
    graceful_shutdown_timeout_s: Seconds = Field(
        default=30.0, description="After SIGTERM, time for running reconciles to end and the Lease to be released."
    )
    cache_sync_timeout_s: Seconds = Field(
        default=120.0, description="A cache that has not synced by then stops the program, naming its kind."
    )
    workers: int = Field(default=4, ge=1, le=256, description="Maximum concurrent reconciles, for each controller.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="Minimum log level.")
    log_format: Literal["json", "console"] = Field(default="json", description="json for machines, console for people.")

    @model_validator(mode="after")
    def _timings_fit_together(self) -> OperatorSettings:
        if not self.lease_duration_s > self.renew_deadline_s > 1.2 * self.retry_period_s > 0:
            raise ValueError(
                f"lease_duration_s ({self.lease_duration_s:g}) must exceed renew_deadline_s ({self.renew_deadline_s:g}), which "
                f"must exceed 1.2 times retry_period_s ({self.retry_period_s:g}), which must be above 0"
            )
        return self


@dataclass(frozen=True, slots=True)
class SettingRow:
    """One setting, as the documentation tables show it. `env` lists every accepted variable, the most specific first."""

    field: str
    flag: str
    env: tuple[str, ...]
    default: str
    description: str


def describe_settings(model: type[BaseModel], env_prefix: str) -> list[SettingRow]:
    """Every setting of `model`, in order of declaration."""
    return [
        SettingRow(
            name, _flag(name), _env_names(name, field, env_prefix), _default_text(field), field.description or ""
        )
        for name, field in model.model_fields.items()
    ]


def load_settings(
    model: type[S],
    argv: Sequence[str],
    environ: Mapping[str, str] | None = None,
    *,
    env_prefix: str,
    prog: str,
) -> S:
    """Build `model` from flags (`argv` without the program name) and environment. Raises SettingsError; `--help` prints and exits."""
    environ = os.environ if environ is None else environ
    flags = vars(_parser(model, env_prefix, prog).parse_args(list(argv)))
    texts: dict[str, str] = {}
    origins: dict[str, str] = {}
    for name, field in model.model_fields.items():
        candidates = [(_flag(name), flags.get(name))]
        candidates += [(env, environ.get(env) or None) for env in _env_names(name, field, env_prefix)]
        origin, text = next(((origin, text) for origin, text in candidates if text is not None), ("", None))
        if text is not None:
            texts[name], origins[name] = text, origin
    try:
        return model(**{name: _decode(model.model_fields[name], text) for name, text in texts.items()})
    except ValidationError as error:
        raise SettingsError(_problems(error, model, texts, origins, env_prefix)) from None


class _Parser(argparse.ArgumentParser):
    """An argument parser that reports like the rest of the settings instead of exiting."""

    def error(self, message: str) -> NoReturn:
        raise SettingsError([f"{message}; see --help"])

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        known, unknown = self.parse_known_args(args, namespace)
        if unknown:
            raise SettingsError([self._unknown(text) for text in unknown])
        return known

    def _unknown(self, text: str) -> str:
        if not text.startswith("-"):
            return f"unexpected argument {quoted(text)}: settings are given as --name=value; see --help"
        flags = [option for action in self._actions for option in action.option_strings]
        name = text.split("=", 1)[0]
        close = difflib.get_close_matches(name[:MOST_SHOWN], flags, n=1)
        shown = name if len(name) <= MOST_SHOWN and name.isprintable() else quoted(name)
        return f"unknown flag {shown}: " + (f"did you mean {close[0]}?" if close else "see --help for all flags")


def _parser(model: type[BaseModel], env_prefix: str, prog: str) -> argparse.ArgumentParser:
    parser = _Parser(prog=prog, allow_abbrev=False, description=(model.__doc__ or "").strip().splitlines()[0])
    parser.add_argument("--version", action="version", version=f"{prog} {VERSION}")
    for row in describe_settings(model, env_prefix):
        text = f"{row.description} [default: {row.default}; environment: {', '.join(row.env)}]".replace("%", "%%")
        # `--flag` alone means true for a boolean, and is an error for everything else.
        if _is_bool(model.model_fields[row.field]):
            parser.add_argument(row.flag, dest=row.field, nargs="?", const="true", metavar="BOOL", help=text)
        else:
            parser.add_argument(row.flag, dest=row.field, metavar="VALUE", help=text)
    return parser


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _env_names(name: str, field: FieldInfo, env_prefix: str) -> tuple[str, ...]:
    extra = field.json_schema_extra
    declared = extra.get("env", []) if isinstance(extra, dict) else []
    prefix = env_prefix.rstrip("_")
    own = f"{prefix}_{name.upper()}" if prefix else name.upper()
    return tuple(dict.fromkeys([own, *(str(env) for env in declared)])) if isinstance(declared, list) else (own,)


def _default_text(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    default = field.get_default(call_default_factory=True, validated_data={})
    if default is None or default == "":
        return "none"
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, float):
        return f"{default:g}"
    if isinstance(default, list | tuple | set | frozenset):
        return ",".join(str(item) for item in default) or "none"
    if isinstance(default, Mapping):
        return ",".join(f"{key}={value}" for key, value in default.items()) or "none"
    return str(default)


def _shapes(field: FieldInfo) -> set[Any]:
    """The bare types of a field: `tuple[str, ...] | None` gives {tuple, NoneType}."""
    annotation = field.annotation
    members = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
    return {get_origin(member) or member for member in members}


def _is_bool(field: FieldInfo) -> bool:
    return bool in _shapes(field)


def _decode(field: FieldInfo, text: str) -> object:
    """Text as pydantic wants it: `a,b` for lists, `k=v,k2=v2` for maps, itself for the rest."""
    shapes = _shapes(field)
    if shapes & {list, tuple, set, frozenset}:
        return [item.strip() for item in text.split(",") if item.strip()]
    if shapes & {dict, Mapping}:
        return {
            key.strip(): value.strip() for key, _, value in (item.partition("=") for item in text.split(",") if item)
        }
    return text


def _problems(
    error: ValidationError,
    model: type[BaseModel],
    texts: Mapping[str, str],
    origins: Mapping[str, str],
    env_prefix: str,
) -> list[str]:
    problems = []
    for entry in error.errors(include_url=False, include_context=False):
        name = str(entry["loc"][0]) if entry["loc"] else ""
        field = model.model_fields.get(name)
        message = _sentence(entry["msg"])
        if field is None:
            problems.append(message)
        elif entry["type"] == "missing":
            problems.append(
                f"{name} is required: set {_flag(name)} or {' or '.join(_env_names(name, field, env_prefix))}"
            )
        else:
            shown = "(hidden)" if SecretStr in _shapes(field) else quoted(texts.get(name, ""))
            problems.append(f"{origins.get(name, name)}: {shown} is not usable for {name}: {message}")
    return problems


def quoted(text: str) -> str:
    """A value as messages show it: on one line, and its beginning alone when it is long. For validators, too."""
    return repr(text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}...")


def _sentence(message: str) -> str:
    prefix = "Value error, "
    return message[len(prefix) :] if message.startswith(prefix) else message[:1].lower() + message[1:]
