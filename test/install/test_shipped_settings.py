"""Each binary accepts exactly the flags and environment that its Deployment gives it, and refuses to run on what nobody filled in."""

from __future__ import annotations

from typing import Any

import pytest

from controller_runtime.settings import OperatorSettings, SettingsError, load_settings
from gpu_provisioner import settings as provisioner
from kaito_controller import settings as controller
from test.install import shipped

FILLED = {
    "ARM_SUBSCRIPTION_ID": "00000000-0000-0000-0000-000000000000",
    "ARM_RESOURCE_GROUP": "my-group",
    "AZURE_CLUSTER_NAME": "my-cluster",
    "AZURE_TENANT_ID": "11111111-1111-1111-1111-111111111111",
    "LOCATION": "westeurope",
}
INJECTED = {
    "AZURE_CLIENT_ID": "22222222-2222-2222-2222-222222222222",
    "AZURE_FEDERATED_TOKEN_FILE": "/var/run/secrets/azure/tokens/azure-identity-token",
    "AZURE_AUTHORITY_HOST": "https://login.microsoftonline.com/",
}
"""What AKS' workload-identity webhook adds to the pod."""


def environment(name: str) -> dict[str, str]:
    """The container's variables, as the kubelet would resolve them."""
    container = shipped.container(shipped.deployments()[name])
    maps = {d["metadata"]["name"]: d["data"] for d in shipped.of_kind(shipped.base(), "ConfigMap")}
    found: dict[str, str] = {}
    for source in container.get("envFrom", []):
        found |= maps[source["configMapRef"]["name"]]
    for variable in container["env"]:
        found[variable["name"]] = variable.get("value", "kaito-system")
    return found


def load(name: str, model: type[OperatorSettings], module: Any, **more: str) -> Any:
    arguments = shipped.container(shipped.deployments()[name])["args"]
    return load_settings(model, arguments, environment(name) | more, env_prefix=module.ENV_PREFIX, prog=name)


def test_controller_starts_with_exactly_what_its_deployment_gives() -> None:
    settings = load("kaito-controller", controller.ControllerSettings, controller)

    assert settings.leader_elect
    assert settings.leader_election_namespace == settings.release_namespace == "kaito-system"
    assert settings.preset_registry_name == "mcr.microsoft.com/aks/kaito"


def test_provisioner_starts_once_the_config_map_is_filled_in() -> None:
    settings = load("gpu-provisioner", provisioner.SETTINGS, provisioner, **FILLED, **INJECTED)

    assert settings.leader_elect
    assert settings.credential == "workload-identity"
    assert (settings.cluster_name, settings.location) == ("my-cluster", "westeurope")


def test_provisioner_names_everything_that_is_still_empty() -> None:
    with pytest.raises(SettingsError) as caught:
        load("gpu-provisioner", provisioner.SETTINGS, provisioner)

    for variable in ("ARM_SUBSCRIPTION_ID", "ARM_RESOURCE_GROUP", "AZURE_CLUSTER_NAME"):
        assert variable in str(caught.value)


def test_every_variable_of_the_config_map_is_one_that_the_provisioner_reads() -> None:
    from controller_runtime.settings import describe_settings

    read = {env for row in describe_settings(provisioner.SETTINGS, provisioner.ENV_PREFIX) for env in row.env}

    assert set(environment("gpu-provisioner")) <= read


@pytest.mark.parametrize("name", ["kaito-controller", "gpu-provisioner"])
def test_the_command_names_a_module_of_this_project(name: str) -> None:
    from importlib.util import find_spec

    interpreter, dash_m, module = shipped.container(shipped.deployments()[name])["command"]

    assert (interpreter, dash_m) == ("python3", "-m")
    assert find_spec(f"{module}.__main__")
