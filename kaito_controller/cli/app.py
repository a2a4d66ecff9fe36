"""The group of commands. Each is a module of its own with its options, and is imported only when it is run."""

from __future__ import annotations

import importlib

import click

from controller_runtime.version import VERSION

LAZY = {
    "chat": "kaito_controller.cli.chat",
    "doctor": "kaito_controller.cli.doctor.command",
    "explain": "kaito_controller.cli.explain.command",
    "gc": "kaito_controller.cli.gc",
    "logs": "kaito_controller.cli.logs",
    "models": "kaito_controller.cli.models",
    "plan": "kaito_controller.cli.plan",
    "top": "kaito_controller.cli.top",
    "tune": "kaito_controller.cli.tune",
}
"""Commands by module: `plan` starts without what only a cluster needs, and the others without what only a plan needs."""


class Commands(click.Group):
    """The group, with the commands of `LAZY` besides those that are registered."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted([*super().list_commands(ctx), *LAZY])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in LAZY:
            return super().get_command(ctx, cmd_name)
        found: click.Command = importlib.import_module(LAZY[cmd_name]).command
        found.name = cmd_name
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            cure = "; kubectl kaito --help lists the commands"
            raise click.UsageError(error.format_message().rstrip(".") + cure, ctx) from error


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(VERSION, prog_name="kubectl-kaito")
def app() -> None:
    """Models on Kubernetes: know before paying, see why, talk to it.

    \b
    kubectl kaito plan -f workspace.yaml   where it fits, its price (no cluster)
    kubectl kaito explain NAME --watch     what it waits for, until it is ready
    kubectl kaito chat NAME                talk to the model

    Exit codes: 0 yes, 1 no (it does not fit, nothing is left to choose), 2 the question cannot be read, 130 Ctrl-C.
    """
