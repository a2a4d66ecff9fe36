"""Words that no one expects, in every flag and variable of both operators: a sentence for each, or settings that work."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import gpu_provisioner.main
import gpu_provisioner.settings
import kaito_controller.main
from controller_runtime.settings import SettingRow, SettingsError, describe_settings, load_settings
from gpu_provisioner.settings import SETTINGS as PROVISIONER
from kaito_controller.settings import ENV_PREFIX, ControllerSettings

LONGEST_SENTENCE = 500
REQUIRED = {
    "GPU_PROVISIONER_SUBSCRIPTION_ID": "00000000-0000-0000-0000-000000000000",
    "GPU_PROVISIONER_RESOURCE_GROUP": "group",
    "GPU_PROVISIONER_CLUSTER_NAME": "cluster",
    "AZURE_TENANT_ID": "tenant",
    "AZURE_CLIENT_ID": "client",
    "AZURE_FEDERATED_TOKEN_FILE": "/var/run/token",
}
OPERATORS: dict[str, tuple[type[Any], str, dict[str, str]]] = {
    "kaito-controller": (ControllerSettings, ENV_PREFIX, {}),
    "gpu-provisioner": (PROVISIONER, gpu_provisioner.settings.ENV_PREFIX, REQUIRED),
}
ROWS = [(prog, row) for prog, (model, prefix, _) in OPERATORS.items() for row in describe_settings(model, prefix)]
WORDS = [
    "", "0", "-1", "inf", "-inf", "nan", "1e308", "1e309", "1e-320", "9" * 400, "9" * 5000, "9" * 400 + "h", "1e400s", "0x10", "1_000",
    "\u0663", "\u0661\u0662h", "\udcff", "\x00", "a\nb", "x" * 100_000, "%s{}%", "--workers", "..", "http://", "http://\n", "::", ":0",
    ":99999", "[::1]:80", "[zz]:1", " 5 ", "true", "null", "{}", "[]", ",", ",,,", "=", "a=", "=b", "a=b=c", "10.0.0.0/99", "*", "a/B/c/",
    "Never\n", "kaito.sh/KaitoNodeClass\n", "999999999999999999999",
]  # fmt: skip


def loaded(prog: str, row: SettingRow, text: str, *, as_flag: bool) -> Any:
    """The settings with that one word in them, or the error that refuses it."""
    model, prefix, environ = OPERATORS[prog]
    told = {} if as_flag else {row.env[0]: text}
    argv = [f"{row.flag}={text}"] if as_flag else []
    try:
        return load_settings(model, argv, environ | told, env_prefix=prefix, prog=prog)
    except SettingsError as error:
        return error


@settings(max_examples=400)
@given(place=st.sampled_from(ROWS), text=st.one_of(st.sampled_from(WORDS), st.text(max_size=40)), as_flag=st.booleans())
@example(place=next(r for r in ROWS if r[1].field == "machine_timeout_s"), text="inf", as_flag=True)
@example(place=next(r for r in ROWS if r[1].field == "time_scale"), text="1e-320", as_flag=True)
@example(place=next(r for r in ROWS if r[1].field == "workers"), text="x" * 100_000, as_flag=False)
@example(place=next(r for r in ROWS if r[1].field == "tags"), text="9" * 400, as_flag=False)
def test_a_word_is_refused_in_one_sentence_or_gives_settings_that_can_be_reckoned_with(
    place: tuple[str, SettingRow], text: str, as_flag: bool
) -> None:
    prog, row = place
    found = loaded(prog, row, text, as_flag=as_flag)
    if isinstance(found, SettingsError):
        assert all(len(sentence) <= LONGEST_SENTENCE and sentence.isprintable() for sentence in found.problems)
        assert any(name in sentence for sentence in found.problems for name in (row.flag, *row.env, row.field))
        return
    for name, value in found:
        if isinstance(value, float):
            assert math.isfinite(value), name
            if name.endswith("_s") and not name.endswith("_per_s"):
                assert datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=value) > datetime.min.replace(tzinfo=UTC)
    derived = (
        ("limits",) if prog == "gpu-provisioner" else ("limits", "pods", "node_terms", "brought_nodes", "allowance")
    )
    for name in derived:
        value = getattr(found, name)
        assert (value() if callable(value) else value) is not None


@pytest.mark.parametrize("main", [kaito_controller.main.main, gpu_provisioner.main.main])
@pytest.mark.parametrize(
    ("argument", "told"),
    [
        ("--lease-duration-s=inf", "--lease-duration-s: 'inf' is not usable for lease_duration_s: input should be"),
        ("--workers=" + "9" * 5000, "--workers: '99999"),
        ("--metrics-bind-address=a\nb", "--metrics-bind-address: 'a\\nb' is not usable for metrics_bind_address: use"),
        ("--wrokers=1", "unknown flag --wrokers: did you mean --workers?"),
        ("--\udcff=1", "unknown flag '--\\udcff': see --help for all flags"),
        ("x" * 100_000, "unexpected argument 'xxx"),
    ],
)  # fmt: skip
def test_the_program_ends_with_code_2_and_one_line(
    main: Any, argument: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([argument], dict(REQUIRED)) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert told in line
    assert len(line) <= LONGEST_SENTENCE
