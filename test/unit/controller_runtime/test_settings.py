import pytest
from pydantic import Field, SecretStr

from controller_runtime.settings import OperatorSettings, SettingsError, describe_settings, load_settings


class Example(OperatorSettings):
    """Settings of an example program."""

    images: tuple[str, ...] = Field(default=("a", "b"), description="Images.")
    tags: dict[str, str] = Field(default_factory=dict, description="Tags.")
    region: str = Field(description="Region.", json_schema_extra={"env": ["LOCATION"]})
    password: SecretStr | None = Field(default=None, description="Password.", min_length=20)


def load(*argv, model=OperatorSettings, **environ):
    return load_settings(model, argv, environ, env_prefix="KAITO", prog="kaito-controller")


def problems(*argv, model=OperatorSettings, **environ):
    with pytest.raises(SettingsError) as caught:
        load(*argv, model=model, **environ)
    return list(caught.value.problems)


def test_without_anything_the_defaults_hold():
    settings = load()

    assert settings == OperatorSettings()
    assert (settings.lease_duration_s, settings.renew_deadline_s, settings.retry_period_s) == (15, 10, 2)
    assert (settings.metrics_bind_address, settings.health_probe_bind_address) == (":8080", ":8081")
    assert settings.graceful_shutdown_timeout_s == 30


def test_a_flag_beats_the_environment_and_the_environment_beats_the_default():
    assert load(KAITO_WORKERS="7").workers == 7
    assert load("--workers=9", KAITO_WORKERS="7").workers == 9
    assert load("--workers", "9").workers == 9


def test_the_own_variable_beats_the_declared_alias_and_an_empty_one_counts_as_unset():
    assert load(POD_NAMESPACE="pod").leader_election_namespace == "pod"
    assert load(POD_NAMESPACE="pod", KAITO_LEADER_ELECTION_NAMESPACE="own").leader_election_namespace == "own"
    assert load(POD_NAMESPACE="pod", KAITO_LEADER_ELECTION_NAMESPACE="").leader_election_namespace == "pod"


@pytest.mark.parametrize(
    ("argv", "expected"),
    [(["--leader-elect"], True), (["--leader-elect=false"], False), (["--leader-elect=true"], True)],
)
def test_a_boolean_flag_may_stand_alone(argv, expected):
    assert load(*argv, KAITO_LEADER_ELECT="false" if expected else "true").leader_elect is expected


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("1m30s", 90), ("1.5h", 5400), ("60500ms", 60.5)])
def test_durations_are_seconds_or_written_as_in_go(text, seconds):
    assert load(f"--lease-duration-s={text}").lease_duration_s == seconds


def test_lists_and_maps_are_comma_separated():
    settings = load("--images=x, y", "--tags=a=1,b=2", model=Example, LOCATION="eastus")

    assert settings.images == ("x", "y")
    assert settings.tags == {"a": "1", "b": "2"}
    assert settings.region == "eastus"


def test_every_mistake_is_reported_with_origin_value_and_cure():
    found = problems("--log-level=loud", KAITO_WORKERS="none", KAITO_METRICS_BIND_ADDRESS="8080")

    assert len(found) == 3
    assert any(p.startswith("--log-level: 'loud' is not usable for log_level: input should be 'debug'") for p in found)
    assert any(
        p.startswith("KAITO_WORKERS: 'none' is not usable for workers: input should be a valid integer") for p in found
    )
    assert any("KAITO_METRICS_BIND_ADDRESS: '8080'" in p and '"host:port"' in p for p in found)


@pytest.mark.parametrize("address", [":0", "127.0.0.1:8080", "[::1]:8080", "localhost:80", "0"])
def test_bind_addresses_in_every_usual_form_are_accepted(address):
    assert load(f"--metrics-bind-address={address}").metrics_bind_address == address


@pytest.mark.parametrize("address", ["8080", ":99999", "http://x:80", "a b:80", ":", "::1"])
def test_bind_addresses_that_cannot_work_are_refused(address):
    assert len(problems(f"--metrics-bind-address={address}")) == 1


def test_a_missing_required_setting_names_flag_and_variables():
    assert problems(model=Example) == ["region is required: set --region or KAITO_REGION or LOCATION"]


def test_lease_timings_that_would_not_be_safe_are_refused_together():
    (problem,) = problems(KAITO_LEASE_DURATION_S="5")

    assert "lease_duration_s (5) must exceed renew_deadline_s (10)" in problem


def test_a_mistyped_flag_is_answered_with_a_guess():
    assert problems("--worker=3") == ["unknown flag --worker: did you mean --workers?"]
    assert problems("--frobnicate") == ["unknown flag --frobnicate: see --help for all flags"]
    assert "unexpected argument 'run'" in problems("run")[0]
    assert "expected one argument" in problems("--workers")[0]


def test_a_rejected_secret_is_not_shown():
    (problem,) = problems("--password=hunter22", "--region=x", model=Example)

    assert "hunter22" not in problem
    assert "(hidden)" in problem


def test_help_lists_every_setting_with_default_and_variables(capsys):
    with pytest.raises(SystemExit) as caught:
        load("--help")

    out = " ".join(capsys.readouterr().out.split())
    assert caught.value.code == 0
    for row in describe_settings(OperatorSettings, "KAITO"):
        assert row.flag in out
        assert row.env[0] in out
        assert row.description in out


def test_descriptions_are_complete_and_tell_the_default():
    rows = {row.field: row for row in describe_settings(Example, "KAITO_")}

    assert all(row.description for row in rows.values())
    assert rows["kubeconfig"].env == ("KAITO_KUBECONFIG", "KUBECONFIG")
    assert [rows[f].default for f in ("region", "leader_elect", "lease_duration_s", "images", "tags", "context")] == [
        "required",
        "true",
        "15",
        "a,b",
        "none",
        "none",
    ]


def test_settings_cannot_be_changed_afterwards():
    with pytest.raises(ValueError, match="frozen"):
        load().workers = 3
