"""`kubectl kaito plan`: the instance types on which a Workspace would run, best first, what it costs there, and how long it takes.

Reads, asks the catalogue, and returns exit code and text; holds no logic of its own.
"""

from __future__ import annotations

import math
from dataclasses import replace

import click

from kaito_controller.api.labels import WORKSPACES
from kaito_controller.catalog.loader import load_catalog
from kaito_controller.catalog.model import DEFAULT_REGION, Catalog, Cloud
from kaito_controller.cli.asked import Asked, Narrowed, asked_by, check_narrowed, read_asked, read_text
from kaito_controller.cli.choices import Choice, all_choices
from kaito_controller.cli.circumstances import Circumstances
from kaito_controller.cli.cluster import Cluster, complete_name, connect, of_cluster
from kaito_controller.cli.document import plan_document
from kaito_controller.cli.output import Output, output_option, to_text


@click.command(short_help="Where a Workspace fits, and what it costs.")
@click.argument("name", default="", shell_complete=complete_name)
@click.option(
    "-f",
    "--filename",
    default="",
    type=click.Path(allow_dash=True),
    help="File with the Workspace; - reads standard input. Needs no cluster.",
)
@click.option(
    "--cluster", "asks_cluster", is_flag=True, help="With -f: quota, times and added models of the cluster, too."
)
@click.option("--cloud", type=click.Choice(("azure", "aws")), help="Whose types; else the cloud of the type asked for.")
@click.option("--region", default=DEFAULT_REGION, show_default=True, metavar="NAME", help="Region of the list prices.")
@click.option("--gpu", default="", metavar="NAME", help="Only types with this GPU, such as A100 or T4.")
@click.option(
    "--max-price", type=click.FloatRange(min=0, min_open=True), metavar="USD", help="Per hour, all nodes together."
)
@click.option(
    "--context", type=click.IntRange(min=1), metavar="TOKENS", help="Prompt and answer of one request, which must fit."
)
@click.option("--all", "everything", is_flag=True, help="Also types that are retired or too small.")
@click.option(
    "--tokens",
    type=click.IntRange(min=1),
    metavar="COUNT",
    help="Of the training data: gives hours and price of the run.",
)
@click.option(
    "--epochs",
    type=click.FloatRange(min=0, min_open=True),
    metavar="COUNT",
    help="How often they are read.  [default: 1]",
)
@click.option(
    "--hours",
    type=click.FloatRange(min=0, min_open=True),
    metavar="COUNT",
    help="Instead of --tokens: gives the price.",
)
@of_cluster
@output_option
def command(
    name: str,
    filename: str,
    asks_cluster: bool,
    cloud: Cloud | None,
    region: str,
    gpu: str,
    max_price: float | None,
    context: int | None,
    everything: bool,
    tokens: int | None,
    epochs: float | None,
    hours: float | None,
    namespace: str,
    kube_context: str,
    kubeconfig: str,
    output: Output,
) -> tuple[int, str]:
    """Instance types for a Workspace, best first: whether it fits, and what it costs.

    For a file (-f) no cluster is needed. For the NAME of a Workspace, and with --cluster (or an option that says which), quota, times
    and added models are those of the cluster, where they can be read.

    Exit codes: 0 it fits, 1 it does not or nothing is left to choose from, 2 it cannot be read.
    """
    if bool(name) == bool(filename):
        raise click.UsageError("give the NAME of a Workspace, or a file with -f")
    catalog, known, cluster = load_catalog(), Circumstances(), None
    if name or asks_cluster or kube_context or kubeconfig:
        cluster = connect(namespace, kube_context, kubeconfig)
        catalog, known = _of_cluster(cluster, catalog)
    if filename or cluster is None:
        asked = read_asked(read_text(filename), filename, catalog)
    else:
        asked = asked_by(cluster.required(WORKSPACES, name), catalog)
    asked, known = _with_run(asked, known, tokens, epochs, hours)
    of_type = asked.instance_type.cloud if asked.instance_type else "azure"
    if max_price is not None and not math.isfinite(max_price):
        raise click.UsageError(f"--max-price {max_price}: is no price; give USD per hour, such as 5")
    narrowed = Narrowed(cloud or of_type, region, gpu, max_price, context)
    check_narrowed(narrowed, catalog)
    _check_context(asked, context)
    choices = all_choices(asked, narrowed, catalog)
    if output == "table":
        from kaito_controller.cli.plan_page import plan_page  # rich takes longer to import than JSON to write

        text = plan_page(asked, narrowed, choices, known, everything=everything)
    else:
        text = to_text(plan_document(asked, narrowed, choices, known), output)
    return _verdict(choices), text


def _of_cluster(cluster: Cluster, catalog: Catalog) -> tuple[Catalog, Circumstances]:
    from kaito_controller.cli.cluster_plan import catalogue_of, circumstances_of

    cluster.reach()
    catalog, remarks = catalogue_of(cluster, catalog)
    known = circumstances_of(cluster)
    return catalog, replace(known, remarks=(*remarks, *(f"Not read: {gap}." for gap in cluster.gaps)))


def _with_run(
    asked: Asked, known: Circumstances, tokens: int | None, epochs: float | None, hours: float | None
) -> tuple[Asked, Circumstances]:
    """What is said of the length of a tuning run, which is refused for anything else."""
    given = {"--tokens": tokens, "--epochs": epochs, "--hours": hours}
    named = [f"{flag} {value:g}" for flag, value in given.items() if value is not None]
    if named and not asked.method:
        raise click.UsageError(f"{named[0]}: only a tuning run has an end; a served model costs by the month")
    if hours is not None and (len(named) > 1 or not math.isfinite(hours)):
        raise click.UsageError(f"{named[-1]}: give either hours, or tokens and epochs")
    if epochs is not None and (tokens is None or not math.isfinite(epochs)):
        raise click.UsageError(f"{named[-1]}: give --tokens too, the number of tokens of the training data")
    read = None if tokens is None else round(tokens * (epochs or 1.0))
    return replace(asked, tokens=read), replace(known, hours=hours, spot=asked.spot)


def _check_context(asked: Asked, context: int | None) -> None:
    """A context changes nothing where memory is stated in numbers; and no model takes more than it was made for."""
    shape = asked.preset.shape
    if context is None:
        return
    if asked.method or shape is None or not asked.preset.is_sized_by_shape:
        raise click.UsageError(
            f"--context {context}: what {asked.method or 'inference'} of {asked.preset.name} needs does not follow from it; leave it out"
        )
    if context > shape.context:
        raise click.UsageError(
            f"--context {context}: {asked.preset.name} was made for {shape.context} tokens; ask for at most so many"
        )


def _verdict(choices: list[Choice]) -> int:
    """0 when the Workspace would run as it is written, or, with a type that nobody knows, when any type would do."""
    mine = [c for c in choices if c.asked] or choices
    return 0 if any(c.fits for c in mine) else 1
