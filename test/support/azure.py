"""The real Azure client pointed at the cloud of localcluster: plain HTTP, no token, polling and retries at test speed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from azure.core.credentials import AccessToken
from azure.core.exceptions import HttpResponseError
from azure.core.pipeline.policies import SansIOHTTPPolicy
from azure.mgmt.containerservice import ContainerServiceClient
from azure.mgmt.containerservice.models import AgentPool

from hack.localcluster.cloud import AksCloud


class NoCredential:
    """The cloud asks for no token, but the client insists on a credential."""

    def get_token(self, *_: str, **__: Any) -> AccessToken:
        return AccessToken("none", 2**31)


@contextmanager
def azure_client(cloud: AksCloud, **overrides: Any) -> Iterator[ContainerServiceClient]:
    """A `ContainerServiceClient` for the cloud; `overrides` replace its settings, such as `retry_total`."""
    settings = {
        "base_url": cloud.url,
        "authentication_policy": SansIOHTTPPolicy(),
        "polling_interval": 0.02,
        "retry_total": 0,
        **overrides,
    }
    client = ContainerServiceClient(NoCredential(), cloud.identity.subscription_id, **settings)
    try:
        yield client
    finally:
        client.close()


class Pools:
    """`agent_pools` of the client with the names of the group and the cluster filled in."""

    def __init__(self, client: ContainerServiceClient, cloud: AksCloud) -> None:
        self._operations = client.agent_pools
        self.where = (cloud.identity.resource_group, cloud.identity.cluster_name)

    def begin_create(self, name: str, parameters: Any, **kwargs: Any) -> Any:
        return self._operations.begin_create_or_update(*self.where, name, parameters, **kwargs)

    def begin_delete(self, name: str, **kwargs: Any) -> Any:
        return self._operations.begin_delete(*self.where, name, **kwargs)

    def get(self, name: str) -> Any:
        return self._operations.get(*self.where, name)

    def pages(self) -> Iterator[Any]:
        """The list page by page, each asked for when it is taken."""
        pages: Iterator[Any] = self._operations.list(*self.where).by_page()
        return pages

    def list(self) -> list[Any]:
        return list(self._operations.list(*self.where))


SIZE = "Standard_NC12s_v3"


def gpu_pool(**overrides: Any) -> AgentPool:
    settings = {
        "count": 1,
        "vm_size": SIZE,
        "type_properties_type": "VirtualMachineScaleSets",
        "os_type": "Linux",
        "os_disk_size_gb": 120,
        "node_labels": {"kaito.sh/workspace": "w", "kaito.sh/machine-type": "gpu"},
        "node_taints": ["sku=gpu:NoSchedule"],
    }
    return AgentPool(**{**settings, **overrides})


def error_of(excinfo: pytest.ExceptionInfo[HttpResponseError]) -> tuple[int | None, str | None]:
    error = excinfo.value
    return error.status_code, error.error.code if error.error else None
