"""Agent pools through azure-mgmt-containerservice: the only module that knows the Azure libraries.

Three habits of those libraries are switched off, because they hide what happened: re-sending requests (our queue retries, once, and
counts), waiting for long operations (`polling=False`; progress is read from the pool itself, which also works after a restart), and
update-or-create (a create carries If-None-Match, so that it can never rewrite a pool that exists). Every failure leaves here as
a CloudError.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Any, TypeVar

from azure.core import AzureClouds, MatchConditions
from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError
from azure.core.pipeline.policies import RetryPolicy, SansIOHTTPPolicy
from azure.core.rest import HttpRequest, HttpResponse
from azure.identity import (
    AzureAuthorityHosts,
    CredentialUnavailableError,
    DefaultAzureCredential,
    ManagedIdentityCredential,
    WorkloadIdentityCredential,
)
from azure.mgmt.containerservice import ContainerServiceClient
from azure.mgmt.containerservice.models import AgentPool, GPUProfile, ManagedClusterAgentPoolProfileProperties
from azure.mgmt.core.tools import get_arm_endpoints

from controller_runtime.version import user_agent
from gpu_provisioner.cloud import port
from gpu_provisioner.cloud.azure.errors import classify, retry_after_s
from gpu_provisioner.cloud.azure.options import AzureOptions

T = TypeVar("T")

API_VERSION = "2026-08-01"
"""Pinned: what a newer version of the library would send is not what was tested."""

_MOST_PAGES = 100

_CLOUDS = {
    "public": (AzureClouds.AZURE_PUBLIC_CLOUD, AzureAuthorityHosts.AZURE_PUBLIC_CLOUD),
    "usgovernment": (AzureClouds.AZURE_US_GOVERNMENT, AzureAuthorityHosts.AZURE_GOVERNMENT),
    "china": (AzureClouds.AZURE_CHINA_CLOUD, AzureAuthorityHosts.AZURE_CHINA),
}


class AzureAgentPools:
    """Implements the NodePools port against one AKS cluster. Thread-safe."""

    def __init__(self, options: AzureOptions) -> None:
        cloud, authority = _CLOUDS[options.cloud]
        self._scopes: list[str] = list(get_arm_endpoints(cloud)["credential_scopes"])
        self._credential = _credential(options, authority)
        self._client = ContainerServiceClient(
            self._credential or _NoCredential(),
            options.subscription_id,
            base_url=options.arm_endpoint,
            cloud_setting=cloud,
            credential_scopes=self._scopes,
            api_version=API_VERSION,
            retry_policy=RetryPolicy.no_retries(),
            connection_timeout=options.connect_timeout_s,
            read_timeout=options.read_timeout_s,
            user_agent=user_agent("gpu-provisioner"),
            # Azure's own policy refuses plain http, which is right everywhere but on the loopback of a simulated cloud.
            **({"authentication_policy": SansIOHTTPPolicy()} if self._credential is None else {}),
        )
        self._pools = self._client.agent_pools
        self._subscription_id = options.subscription_id
        self._place = (options.resource_group, options.cluster_name)

    def check_credential(self) -> None:
        """Fetch a token now. Raises Auth with the identity library's explanation when that is impossible."""
        if self._credential is None:
            return
        try:
            self._credential.get_token(*self._scopes)
        except (
            AzureError,
            OSError,
            ValueError,
        ) as error:  # a token file that is missing or unreadable is a plain OSError
            raise port.Auth(_one_line(str(error)), code="CredentialUnavailable") from error

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def get(self, name: str) -> port.Pool:
        pool = _call(lambda: _decoded(self._pools.get(*self._place, name)))
        if pool.name.lower() != name.lower():
            raise classify(None, "", f"the reply about agent pool {name} is about {pool.name[:100]!r}")
        return pool

    def list(self) -> list[port.Pool]:
        return _call(lambda: [_decoded(found) for found in self._pools.list(*self._place)])

    def create(self, spec: port.PoolSpec) -> port.Pool:
        replies: list[Any] = []
        _call(
            lambda: self._pools.begin_create_or_update(
                *self._place,
                spec.name,
                pool_body(spec),
                match_condition=MatchConditions.IfMissing,
                polling=False,
                raw_response_hook=replies.append,
            ),
            creating=True,
        )
        # The reply holds the pool's first state; should it be unreadable, the pool has still been accepted.
        return _pool_of_reply(replies, spec)

    def delete(self, name: str, *, etag: str = "") -> None:
        condition = {"etag": etag, "match_condition": MatchConditions.IfNotModified} if etag else {}
        _call(lambda: self._pools.begin_delete(*self._place, name, polling=False, **condition))

    def read_list(self, path: str, api_version: str, **query: str) -> Sequence[Mapping[str, Any]]:
        """All pages of a list of the subscription; `path` begins after the subscription. Raises CloudError."""
        url: str = f"/subscriptions/{self._subscription_id}{path}"
        parameters: Mapping[str, str] | None = {"api-version": api_version, **query}
        items: Sequence[Mapping[str, Any]] = []
        for _ in range(_MOST_PAGES):
            page = _call(functools.partial(self._read_page, HttpRequest("GET", url, params=parameters)))
            items = [*items, *page["value"]]
            # A link holds all parameters.
            link = page.get("nextLink")
            if not isinstance(link, str) or not link:
                break
            url, parameters = link, None
        return items

    def _read_page(self, request: HttpRequest) -> Mapping[str, Any]:
        reply: HttpResponse = self._client.send_request(request)
        reply.raise_for_status()
        page = reply.json()
        if not isinstance(page, Mapping) or not isinstance(page.get("value"), list):
            raise ValueError(  # noqa: TRY004 -- the reply is wrong, no argument of ours
                f"a list without values from {request.url.partition('?')[0]}"
            )
        return page


class _NoCredential:
    """Stands in where the library insists on a credential that nobody will ask."""

    def get_token(self, *_scopes: str, **_options: Any) -> Any:
        raise ClientAuthenticationError("no credential is configured (AZURE_CREDENTIAL=none)")


def _credential(options: AzureOptions, authority: str) -> Any:
    host = (options.authority_host or authority).removeprefix("https://").rstrip("/")
    match options.credential:
        case "none":
            return None
        case "managed-identity":
            return ManagedIdentityCredential(client_id=options.client_id)
        case "default":
            return DefaultAzureCredential(
                authority=host,
                managed_identity_client_id=options.client_id,
                exclude_interactive_browser_credential=True,
            )
        case _:
            return WorkloadIdentityCredential(
                tenant_id=options.tenant_id,
                client_id=options.client_id,
                token_file_path=options.federated_token_file,
                authority=host,
            )


def _call(request: Callable[[], T], *, creating: bool = False) -> T:
    """Send one request; whatever the libraries raise becomes a CloudError."""
    try:
        return request()
    except (ClientAuthenticationError, CredentialUnavailableError) as error:
        raise _from_http(error, creating=creating, default=port.Auth) from error
    except HttpResponseError as error:
        raise _from_http(error, creating=creating) from error
    except (AzureError, ValueError, OSError, AttributeError, LookupError, TypeError) as error:
        # No reply, or one that could not be read: the library decodes what comes without looking at its shape.
        raise classify(None, "", f"no usable reply from Azure: {_one_line(str(error))}") from error


def _from_http(
    error: HttpResponseError, *, creating: bool, default: type[port.CloudError] | None = None
) -> port.CloudError:
    response = error.response
    if response is None:
        text = _one_line(str(error))
        return default(text, code="CredentialUnavailable") if default else classify(None, "", text)
    body = _json(response)
    inner = body.get("error") if isinstance(body.get("error"), Mapping) else body
    code, message = str((inner or {}).get("code") or ""), str((inner or {}).get("message") or "")
    return classify(
        error.status_code,
        code,
        message or _one_line(str(error.message)),
        creating=creating,
        retry_after_s=retry_after_s(dict(response.headers)),
    )


def _json(response: Any) -> Mapping[str, Any]:
    try:
        body = json.loads(response.text())
    except Exception:  # whatever an unread, broken or binary body raises: the status alone must do
        return {}
    return body if isinstance(body, Mapping) else {}


def _one_line(text: str) -> str:
    return " ".join(text.split())[:500]


def pool_body(spec: port.PoolSpec) -> AgentPool:
    """The request body of a create; what is None is left to AKS."""
    spot = spec.capacity_type == port.SPOT
    optional = {
        "os_disk_size_gb": spec.os_disk_size_gib,
        "availability_zones": list(spec.zones) or None,
        "os_sku": spec.image_family,
        "vnet_subnet_id": spec.subnet_id,
        "gpu_instance_profile": spec.gpu_instance_profile,
        "gpu_profile": GPUProfile(driver=spec.gpu_driver) if spec.gpu_driver else None,
        "scale_set_priority": "Spot" if spot else None,
        "scale_set_eviction_policy": "Delete" if spot else None,
        "spot_max_price": -1.0 if spot else None,
    }
    return AgentPool(
        properties=ManagedClusterAgentPoolProfileProperties(
            count=1,
            vm_size=spec.instance_type,
            type="VirtualMachineScaleSets",
            mode="User",
            os_type="Linux",
            node_labels=dict(spec.node_labels),
            node_taints=list(spec.node_taints),
            tags=dict(spec.tags),
            **{key: value for key, value in optional.items() if value is not None},
        )
    )


def _pool_of_reply(replies: list[Any], spec: port.PoolSpec) -> port.Pool:
    try:
        return _decoded(AgentPool(json.loads(replies[-1].http_response.text())))
    except Exception:
        return port.Pool(
            spec.name, "Creating", instance_type=spec.instance_type, node_labels=spec.node_labels, tags=spec.tags
        )


def _decoded(found: Any) -> port.Pool:
    """Raises ValueError for a reply that is JSON and no agent pool; the library decodes when a field is read, and raises what it likes."""
    try:
        return read_pool(found)
    except Exception as error:
        raise ValueError(f"not an agent pool ({type(error).__name__}: {_one_line(str(error))[:200]})") from error


def read_pool(found: Any) -> port.Pool:
    """A pool as the library decoded it."""
    p = found.properties or ManagedClusterAgentPoolProfileProperties()
    return port.Pool(
        name=str(found.name or ""),
        provisioning_state=str(p.provisioning_state or ""),
        power_state=_word(p.power_state.code if p.power_state else None) or "Running",
        mode=_word(p.mode) or "User",
        instance_type=str(p.vm_size or ""),
        node_labels=_texts(p.node_labels),
        tags=_texts(p.tags),
        etag=str(p.e_tag or ""),
        error=_failure(p),
    )


def _texts(found: Any) -> dict[str, str]:
    return {str(key): str(value) for key, value in dict(found or {}).items()}


def _word(value: Any) -> str:
    """The library turns known words into enum members and leaves unknown ones as text."""
    return str(value.value if isinstance(value, Enum) else value or "")


def _failure(p: Any) -> port.Problem | None:
    """Why a pool ended Failed, from the pool itself, so that it is known after a restart too."""
    if p.provisioning_state not in (port.FAILED, port.CANCELED):
        return None
    detail = p.status.provisioning_error if p.status else None
    code, message = (detail.code, detail.message) if detail else ("", "")
    return classify(
        200, str(code or ""), str(message or f"the operation ended {p.provisioning_state}; AKS gives no cause")
    ).problem
