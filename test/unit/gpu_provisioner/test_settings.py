"""Settings: the reference's variables work, mistakes are named, durations reach the limits."""

from __future__ import annotations

import pytest

from controller_runtime.settings import SettingsError, load_settings
from gpu_provisioner import main as program
from gpu_provisioner.cloud import port
from gpu_provisioner.settings import ENV_PREFIX, PROG, SETTINGS, ProvisionerSettings
from test.support.jumping_clock import JumpingClock

ENVIRONMENT = {
    "ARM_SUBSCRIPTION_ID": " sub ",
    "ARM_RESOURCE_GROUP": "rg",
    "AZURE_CLUSTER_NAME": "cluster",
    "AZURE_TENANT_ID": "tenant",
    "AZURE_CLIENT_ID": "client",
    "AZURE_FEDERATED_TOKEN_FILE": "/var/run/token",
    "AZURE_AUTHORITY_HOST": "https://login.microsoftonline.com/",
    "LOCATION": "eastus",
}


def load(*argv: str, **environment: str) -> ProvisionerSettings:
    return load_settings(SETTINGS, argv, {**ENVIRONMENT, **environment}, env_prefix=ENV_PREFIX, prog=PROG)


def test_the_variables_of_the_reference_are_enough() -> None:
    options = load().cloud_options()
    assert (options.subscription_id, options.resource_group, options.cluster_name) == ("sub", "rg", "cluster")
    assert (options.tenant_id, options.client_id, options.credential) == ("tenant", "client", "workload-identity")


def test_workload_identity_names_everything_that_is_missing() -> None:
    with pytest.raises(SettingsError) as wrong:
        load(AZURE_TENANT_ID="", AZURE_FEDERATED_TOKEN_FILE="")
    assert "AZURE_TENANT_ID" in str(wrong.value)
    assert "AZURE_FEDERATED_TOKEN_FILE" in str(wrong.value)
    assert "(AZURE_CLIENT_ID)" not in str(wrong.value)


def test_managed_identity_needs_no_token_file() -> None:
    settings = load(AZURE_CREDENTIAL="managed-identity", AZURE_FEDERATED_TOKEN_FILE="", AZURE_TENANT_ID="")
    assert settings.cloud_options().credential == "managed-identity"


@pytest.mark.parametrize(
    "endpoint", ["https://management.azure.com", "http://10.0.0.1", "", "http://localhost.evil.com"]
)
def test_no_credential_is_for_loopback_only(endpoint: str) -> None:
    with pytest.raises(SettingsError, match="loopback"):
        load(AZURE_CREDENTIAL="none", ARM_ENDPOINT=endpoint)


def test_time_scale_divides_every_limit() -> None:
    normal, fast = load().limits(), load("--time-scale=60").limits()
    assert fast.launch_timeout_s == normal.launch_timeout_s / 60
    assert fast.busy_retry_s == normal.busy_retry_s / 60


def test_durations_may_be_written_as_in_go() -> None:
    assert load("--unhealthy-timeout-s=20m").limits().unhealthy_timeout_s == 1200


@pytest.mark.parametrize(
    "flag", ["--zones=1,x", "--tags=a<b=c", "--capacity-type=cheap", "--poll-s=0", "--azure-cloud=mars"]
)
def test_an_unusable_value_is_named_with_its_flag(flag: str) -> None:
    with pytest.raises(SettingsError, match=flag.split("=")[0]):
        load(flag)


def test_pool_defaults_come_from_settings() -> None:
    defaults = load("--zones=1,2", "--tags=team=ml,cost=42", "--os-sku=AzureLinux").pool_defaults()
    assert (defaults.zones, defaults.tags, defaults.image_family) == (
        ("1", "2"),
        {"team": "ml", "cost": "42"},
        "AzureLinux",
    )


def test_the_program_says_what_is_missing_and_ends_with_two(capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main([], {}) == program.UNUSABLE
    said = capsys.readouterr().err
    assert "ARM_SUBSCRIPTION_ID" in said
    assert "Traceback" not in said


class Pools:
    def __init__(self, error: port.CloudError) -> None:
        self.error = error

    def check_credential(self) -> None:
        raise self.error


def test_a_refused_credential_stops_the_start_and_an_outage_does_not() -> None:
    with pytest.raises(port.Auth):
        program.check_cloud(Pools(port.Auth("no federated credential matches")))  # type: ignore[arg-type]
    clock = JumpingClock()
    program.check_cloud(Pools(port.Unknown("connection refused")), clock)  # type: ignore[arg-type]
    assert sum(clock.pauses) >= program.CLOUD_PATIENCE_S
