"""`kubectl kaito chat`: a question to a served model through the API server, so that no port has to be opened.

Model servers that speak OpenAI's API are asked in it, with the conversation so far; those of KAITO 0.3 at
`/chat`, each question for itself.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import Any

import click
import orjson

from controller_runtime.errors import ApiError, NotFound, ServiceUnavailable
from controller_runtime.resources import SERVICES
from controller_runtime.untrusted import entries, mapping
from kaito_controller.api.labels import WORKSPACES
from kaito_controller.cli.cluster import Cluster, connect, of_cluster, refusal
from kaito_controller.cli.document import Output, output_option, to_text

ANSWER_TIMEOUT_S = 300.0


@dataclass(slots=True)
class Conversation:
    """With one model. `model` is its name in OpenAI's API, "" for a server that has only `/chat`."""

    cluster: Cluster
    name: str
    most_tokens: int
    model: str = ""
    said: list[dict[str, str]] = field(default_factory=list)

    def begin(self) -> None:
        """Finds out how the server is asked."""
        try:
            known = entries(mapping(orjson.loads(self.cluster.objects.read(self._url("/v1/models")))).get("data"), 64)
        except NotFound:
            return
        except ApiError as error:
            raise click.UsageError(_unanswered(self.cluster, self.name, error)) from error
        except orjson.JSONDecodeError:
            return
        self.model = str(known[0].get("id") or "") if known else ""

    def ask(self, question: str) -> str:
        """The answer; it is remembered."""
        self.said.append({"role": "user", "content": question})
        try:
            answer = self._openai() if self.model else self._chat(question)
        except ApiError as error:
            raise click.UsageError(_unanswered(self.cluster, self.name, error)) from error
        self.said.append({"role": "assistant", "content": answer})
        return answer

    def _openai(self) -> str:
        body = {"model": self.model, "messages": self.said, "max_tokens": self.most_tokens}
        reply = self.cluster.objects.post(self._url("/v1/chat/completions"), body)
        choices = entries(reply.get("choices"), 8)
        return str(mapping(choices[0].get("message")).get("content") or "") if choices else ""

    def _chat(self, question: str) -> str:
        body = {"prompt": question, "generate_kwargs": {"max_length": self.most_tokens}}
        reply: dict[str, Any] = self.cluster.objects.post(self._url("/chat"), body)
        return str(reply.get("Result") or "")

    def _url(self, path: str) -> str:
        return SERVICES.path(self.cluster.namespace, f"{self.name}:80", f"proxy{path}")


@click.command()
@click.argument("name")
@click.argument("question", nargs=-1)
@of_cluster
@click.option("--max-tokens", type=click.IntRange(min=1), default=512, show_default=True, help="Longest answer.")
@output_option
def command(
    name: str,
    question: tuple[str, ...],
    namespace: str,
    kube_context: str,
    kubeconfig: str,
    max_tokens: int,
    output: Output,
) -> tuple[int, str]:
    """Ask the model of a Workspace: QUESTION, or standard input, or one question after another on a terminal.

    Exit codes: 0 answered, 2 it cannot be asked.
    """
    cluster = connect(namespace, kube_context, kubeconfig, read_timeout_s=ANSWER_TIMEOUT_S)
    if not cluster.required(WORKSPACES, name).get("inference"):
        raise click.UsageError(f"Workspace {name} tunes a model and serves none; name one with inference")
    conversation = Conversation(cluster, name, max_tokens)
    conversation.begin()
    if not question and sys.stdin.isatty():
        return _talk(conversation)
    text = " ".join(question) or sys.stdin.read(1 << 20).strip()
    if not text:
        raise click.UsageError("no question; give it behind the name, or on standard input")
    answer = conversation.ask(text)
    if output == "table":
        return 0, f"{answer.rstrip()}\n"
    return 0, to_text({"model": conversation.model or name, "question": text, "answer": answer}, output)


def _talk(conversation: Conversation) -> tuple[int, str]:
    """Until the end of the input."""
    click.echo("One question a line; Ctrl-D ends it.", err=True)
    while True:
        try:
            question = input("> ").strip()
        except EOFError:
            click.echo()
            return 0, ""
        if question:
            click.echo(conversation.ask(question))


def _unanswered(cluster: Cluster, name: str, error: ApiError) -> str:
    if isinstance(error, NotFound | ServiceUnavailable):
        return f"the model of Workspace {name} does not answer yet; see: kubectl kaito explain {name} -n {cluster.namespace}"
    return refusal("services/proxy", error)
