"""`kubectl kaito tune`: a tuning Workspace from flags. Written out to be looked at, or created in the cluster with --create.

The rules are those of admission, asked beforehand; whether the model can be tuned on the instance type is the catalogue's answer, with
--create that of the cluster's catalogue.
"""

from __future__ import annotations

from typing import Any

import click

from controller_runtime.errors import AlreadyExists, ApiError, Invalid
from controller_runtime.resources import Object
from kaito_controller.api.labels import API_VERSION, KIND, WORKSPACES
from kaito_controller.api.types import Workspace
from kaito_controller.api.validation import validate_create
from kaito_controller.catalog.loader import load_catalog
from kaito_controller.catalog.model import Catalog
from kaito_controller.cli.cluster import Cluster, connect, of_cluster, refusal
from kaito_controller.cli.cluster_plan import catalogue_of
from kaito_controller.cli.output import to_text


@click.command(short_help="A tuning Workspace from flags.")
@click.argument("name")
@click.option("--model", required=True, metavar="PRESET", help="The model to tune; kubectl kaito models lists them.")
@click.option("--method", type=click.Choice(("lora", "qlora")), default="qlora", show_default=True)
@click.option("--instance-type", required=True, metavar="TYPE", help="Kind of node, such as Standard_NC24ads_A100_v4.")
@click.option("--url", "urls", multiple=True, metavar="URL", help="Training data to download; may be repeated.")
@click.option("--data-image", default="", metavar="IMAGE", help="Training data in an image, instead of --url.")
@click.option("--data-claim", default="", metavar="PVC", help="Training data in a claim, instead of --url.")
@click.option("--output", "result", required=True, metavar="IMAGE", help="Image to push the result to.")
@click.option("--push-secret", required=True, metavar="SECRET", help="Secret that may push it.")
@click.option("--keep-in", default="", metavar="PVC", help="Claim in which the result stays as well.")
@click.option("--config", default="", metavar="CONFIGMAP", help="Training parameters of your own.")
@click.option("--create", is_flag=True, help="Create it in the cluster instead of writing it out.")
@of_cluster
def command(
    name: str,
    model: str,
    method: str,
    instance_type: str,
    urls: tuple[str, ...],
    data_image: str,
    data_claim: str,
    result: str,
    push_secret: str,
    keep_in: str,
    config: str,
    create: bool,
    namespace: str,
    kube_context: str,
    kubeconfig: str,
) -> tuple[int, str]:
    """A tuning Workspace from flags, as YAML for kubectl apply, or created at once.

    Exit codes: 0 written or created, 2 it cannot work or is refused.
    """
    source = _source(urls, data_image, data_claim)
    destination: dict[str, Any] = {"image": result, "imagePushSecret": push_secret, **_volume(keep_in)}
    tuning = {"preset": {"name": model}, "method": method, "input": source, "output": destination}
    if config:
        tuning["config"] = config
    workspace = build(name, instance_type, tuning)
    if create:
        cluster = connect(namespace, kube_context, kubeconfig)
        _check(workspace, catalogue_of(cluster, load_catalog())[0])
        return 0, _create(workspace, cluster)
    _check(workspace, load_catalog())
    if namespace:
        workspace["metadata"]["namespace"] = namespace
    return 0, to_text(workspace, "yaml")


def _check(workspace: Object, catalog: Catalog) -> None:
    found = validate_create(Workspace.from_object(workspace), catalog)
    if found:
        raise click.UsageError(str(found[0]))


def build(name: str, instance_type: str, tuning: dict[str, Any]) -> Object:
    """Its nodes are labelled with its name, so that it shares none."""
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": name},
        "resource": {"instanceType": instance_type, "labelSelector": {"matchLabels": {"apps": name}}},
        "tuning": tuning,
    }


def _source(urls: tuple[str, ...], image: str, claim: str) -> dict[str, Any]:
    given = [bool(urls), bool(image), bool(claim)]
    if sum(given) != 1:
        raise click.UsageError("give exactly one of --url, --data-image and --data-claim")
    return {"urls": list(urls)} if urls else {"image": image} if image else _volume(claim)


def _volume(claim: str) -> dict[str, Any]:
    return {"volumeSource": {"persistentVolumeClaim": {"claimName": claim}}} if claim else {}


def _create(workspace: Object, cluster: Cluster) -> str:
    name = workspace["metadata"]["name"]
    try:
        cluster.objects.create(WORKSPACES, workspace, cluster.namespace)
    except AlreadyExists as error:
        told = f"Workspace {name} exists in namespace {cluster.namespace}; choose another NAME"
        raise click.UsageError(told) from error
    except Invalid as error:
        raise click.UsageError(error.message) from error
    except ApiError as error:
        raise click.UsageError(refusal("workspaces", error).replace("cannot be read", "cannot be created")) from error
    return (
        f"workspace.kaito.sh/{name} created; follow it: kubectl kaito explain {name} -n {cluster.namespace} --watch\n"
    )
