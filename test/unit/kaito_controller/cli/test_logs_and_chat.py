"""`kubectl kaito logs` and `chat`: which container is read, how a model is asked, and what is said when there is no answer."""

from __future__ import annotations

import json

import click
import pytest

from controller_runtime.errors import BadRequest, Forbidden, NotFound, ServiceUnavailable
from kaito_controller.cli.chat import Conversation
from kaito_controller.cli.logs import LogSource, find_source, read_log
from test.unit.kaito_controller.cli.shelf import Answer, Shelf


@pytest.mark.parametrize(
    ("situation", "container", "previous"),
    [
        ("container-crashes", "phi", True),
        ("container-lacks-memory", "phi", True),
        ("serves", "phi", False),
        ("model-loads", "phi", False),
        ("tuning-is-done", "pusher", False),
        ("tuning-image-cannot-be-pulled", "data-downloader", False),
    ],
)
def test_the_container_that_matters_is_found(situation: str, container: str, previous: bool) -> None:
    found = find_source(Shelf(situation).cluster, "phi")

    assert found is not None
    assert (found.container, found.previous) == (container, previous)


@pytest.mark.parametrize("situation", ["node-is-being-made", "image-cannot-be-pulled", "node-is-cordoned"])
def test_where_nothing_has_run_there_is_nothing_to_read(situation: str) -> None:
    assert find_source(Shelf(situation).cluster, "phi") is None


def test_a_container_that_the_pod_does_not_have_is_refused_with_those_that_it_has() -> None:
    with pytest.raises(click.UsageError, match=r'-c "trainer": pod phi-.* has no such container; it has phi$'):
        find_source(Shelf("serves").cluster, "phi", "trainer")


MODELS = json.dumps({"data": [{"id": "qwen3-8b"}]}).encode()
SOURCE = LogSource("team", "phi-1", "phi", previous=True)


def test_its_last_lines_are_read_and_the_kubectl_command_shows_the_same() -> None:
    shelf = Shelf("serves", answers={"/log": b"CUDA too old\n"})

    assert read_log(shelf.cluster, SOURCE, 20) == (0, "CUDA too old\n")
    assert shelf.asked == [
        ("/api/v1/namespaces/team/pods/phi-1/log", {"container": "phi", "tailLines": 20, "previous": True})
    ]
    assert " ".join(SOURCE.kubectl()) == "kubectl logs phi-1 -c phi -n team --previous"


@pytest.mark.parametrize(
    ("error", "told"),
    [(Forbidden("no", code=403), "kaito-plugin-user"), (BadRequest("container gone", code=400), "container gone")],
)
def test_a_log_that_cannot_be_read_is_one_sentence(error: Forbidden | BadRequest, told: str) -> None:
    with pytest.raises(click.UsageError, match=told):
        read_log(Shelf("serves", answers={"/log": error}).cluster, SOURCE, 20)


def asked(answers: dict[str, Answer], *questions: str) -> tuple[Shelf, list[str]]:
    shelf = Shelf("serves", answers=answers)
    conversation = Conversation(shelf.cluster, "phi", 64)
    conversation.begin()
    return shelf, ["".join(conversation.ask(question)) for question in questions]


def test_a_server_of_kaito_0_3_is_asked_at_chat_each_question_for_itself() -> None:
    shelf, answers = asked({"/chat": {"Result": "42"}}, "What?", "Sure?")

    assert answers == ["42", "42"]
    assert shelf.asked[-1] == (
        "/api/v1/namespaces/team-4/services/phi:80/proxy/chat",
        {"prompt": "Sure?", "generate_kwargs": {"max_length": 64}},
    )


def test_a_server_with_openai_s_api_gets_the_conversation_so_far() -> None:
    shelf, answers = asked(
        {
            "/v1/models": MODELS,
            "/v1/chat/completions": {"choices": [{"message": {"role": "assistant", "content": "42"}}]},
        },
        "What?",
        "Sure?",
    )

    assert answers == ["42", "42"]
    body = shelf.asked[-1][1]
    assert body["model"] == "qwen3-8b"
    assert [said["content"] for said in body["messages"]][:3] == ["What?", "42", "Sure?"]


STREAMED = b"""
data: {"choices": [{"delta": {"role": "assistant", "content": null}}]}

: a comment
data: {"choices": [{"delta": {"content": "forty"}}]}
data: {"choices": [{"delta": {"content": "-two"}}]}
data: {"choices": [], "usage": {"completion_tokens": 2}}
data: {broken
data: [DONE]
"""


def test_a_streamed_answer_comes_piece_by_piece_and_is_remembered_whole() -> None:
    shelf = Shelf("serves", answers={"/v1/models": MODELS, "/v1/chat/completions": STREAMED})
    conversation = Conversation(shelf.cluster, "phi", 64)
    conversation.begin()

    assert list(conversation.ask("What?")) == ["forty", "-two"]
    assert shelf.asked[-1][1]["stream"] is True
    assert [said["content"] for said in conversation.said] == ["What?", "forty-two"]


def test_a_question_without_an_answer_is_not_part_of_the_conversation() -> None:
    error = ServiceUnavailable("no endpoints", code=503)
    conversation = Conversation(Shelf("serves", answers={"/chat": error}).cluster, "phi", 64)

    with pytest.raises(click.UsageError):
        list(conversation.ask("What?"))
    assert conversation.said == []


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ServiceUnavailable("no endpoints", code=503), "does not answer yet; see: kubectl kaito explain phi -n team-4"),
        (NotFound("no", code=404), "does not answer yet"),
        (Forbidden("no", code=403), "services/proxy cannot be read: your rights do not allow it"),
    ],
)
def test_a_model_that_does_not_answer_is_one_sentence_with_the_next_command(
    error: ServiceUnavailable | NotFound | Forbidden, told: str
) -> None:
    with pytest.raises(click.UsageError, match=told):
        asked({"/chat": error, "/v1/models": NotFound("no", code=404)}, "What?")


def test_a_page_of_something_else_at_v1_models_is_not_taken_for_openai_s_api() -> None:
    _, answers = asked({"/v1/models": b"<html>", "/chat": {"Result": "42"}}, "What?")

    assert answers == ["42"]
