"""`kubectl kaito chat`: a question to a served model through the API server, so that no port has to be opened.

Model servers that speak OpenAI's API are asked in it, with the conversation so far, and their answer is shown as it comes; those of
KAITO 0.3 at `/chat`, each question for itself. What a model says is text: on a terminal no control character of it is obeyed.
"""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import click
import orjson

from controller_runtime.errors import ApiError, NotFound, ServiceUnavailable
from controller_runtime.resources import SERVICES
from controller_runtime.untrusted import entries, mapping
from kaito_controller.api.labels import WORKSPACES
from kaito_controller.cli.cluster import Cluster, complete_name, connect, of_cluster, refusal
from kaito_controller.cli.output import Output, output_option, to_text

ANSWER_TIMEOUT_S = 300.0
_CONTROL = re.compile(r"[^\t\n\x20-\x7e\u00a0-\U0010ffff]")


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

    def ask(self, question: str) -> Iterator[str]:
        """The answer, piece by piece. Question and answer are remembered once it is whole."""
        asked = {"role": "user", "content": question}
        answer = ""
        try:
            for piece in self._openai(asked) if self.model else (self._chat(question),):
                answer += piece
                yield piece
        except ApiError as error:
            raise click.UsageError(_unanswered(self.cluster, self.name, error)) from error
        self.said += [asked, {"role": "assistant", "content": answer}]

    def _openai(self, asked: dict[str, str]) -> Iterator[str]:
        body = {"model": self.model, "messages": [*self.said, asked], "max_tokens": self.most_tokens, "stream": True}
        url = self._url("/v1/chat/completions")
        for line in self.cluster.objects.post_lines(url, body, read_timeout_s=ANSWER_TIMEOUT_S):
            yield from _text_of(line)

    def _chat(self, question: str) -> str:
        body = {"prompt": question, "generate_kwargs": {"max_length": self.most_tokens}}
        reply: dict[str, Any] = self.cluster.objects.post(self._url("/chat"), body)
        return str(reply.get("Result") or "")

    def _url(self, path: str) -> str:
        return SERVICES.path(self.cluster.namespace, f"{self.name}:80", f"proxy{path}")


def _text_of(line: bytes) -> Iterator[str]:
    """What one line of the answer says: an event with the next words, or the whole answer of a server that does not stream."""
    event = line.removeprefix(b"data:").strip()
    if not event.startswith(b"{"):
        return  # a comment, an empty line, or [DONE]
    try:
        choices = entries(mapping(orjson.loads(event)).get("choices"), 8)
    except orjson.JSONDecodeError:
        return
    for choice in choices[:1]:
        text = mapping(choice.get("delta") or choice.get("message")).get("content")
        if isinstance(text, str):
            yield text


@click.command(short_help="Ask the model of a Workspace a question.")
@click.argument("name", shell_complete=complete_name)
@click.argument("question", nargs=-1)
@of_cluster
@click.option(
    "--max-tokens", type=click.IntRange(min=1), default=512, show_default=True, metavar="TOKENS", help="Longest answer."
)
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

    On a terminal the answer is shown as it comes; Ctrl-C ends an answer, and at the prompt, like Ctrl-D, the conversation.

    Exit codes: 0 answered, 2 it cannot be asked, 130 the answer was broken off with Ctrl-C.
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
    if output == "table" and sys.stdout.isatty():
        _show(conversation.ask(text))
        return 0, ""
    answer = "".join(conversation.ask(text))
    if output == "table":
        return 0, f"{answer.rstrip()}\n"
    return 0, to_text({"model": conversation.model or name, "question": text, "answer": answer}, output)


def _talk(conversation: Conversation) -> tuple[int, str]:
    """Until the end of the input. What cannot be answered is one sentence, and the next question may do better."""
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401  # gives the prompt a line editor and a history
    click.echo("One question a line; Ctrl-C ends an answer, Ctrl-D the conversation.", err=True)
    while True:
        try:
            question = input("> ").strip()
        except (EOFError, KeyboardInterrupt):
            click.echo()
            return 0, ""
        try:
            if question:
                _show(conversation.ask(question))
        except KeyboardInterrupt:
            click.echo("\n(broken off)", err=True)
        except click.UsageError as error:
            click.echo(error.format_message(), err=True)


def _show(pieces: Iterator[str]) -> None:
    """Piece by piece as they come."""
    for piece in pieces:
        click.echo(_CONTROL.sub("", piece), nl=False)
    click.echo()


def _unanswered(cluster: Cluster, name: str, error: ApiError) -> str:
    if isinstance(error, NotFound | ServiceUnavailable):
        return f"the model of Workspace {name} does not answer yet; see: kubectl kaito explain {name} -n {cluster.namespace}"
    return refusal("services/proxy", error)
