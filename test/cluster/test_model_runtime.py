"""The model runtime's own image, built by its Dockerfile for a CPU, as the server and the trainer of the published quickstarts.

The pods fetch their weights from a mirror of the hub. What lies there under the preset's name is a small chat model, so that a CPU can
answer and learn, and the answer can be checked.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from hack.demo.model import lesson
from hack.envtest.nodes import model_image
from hack.envtest.nodes.cluster import NodeCluster
from hack.envtest.nodes.forward import Forward
from hack.envtest.nodes.network import HUB_ADDRESS
from hack.envtest.nodes.product import NAMESPACE, Product
from hack.envtest.nodes.registry import OPEN
from kaito_controller.catalog.loader import load_catalog
from kaito_controller.workspace.state.training_progress import PHASES
from test.cluster.brought import brought, resource
from test.cluster.tuned import ADAPTER, ADAPTER_NAME, TUNING, adapter, exit_codes, log_in, tuning
from test.cluster.user import User
from test.support.hub_server import Hub, serving

NAME, PRESET = "workspace-phi-3-mini", "phi-3-mini-4k-instruct"
IMAGE = "kaito-model-runtime:1"
HUB_PORT = 8001
TOKENS, SENTENCE = 8, 24
"""Of an answer: the preset asks for float16, in which a busy CPU gives about one a second; and of one that may end by itself."""
ANSWER_TIMEOUT_S = 90
LOAD_TIMEOUT_S = 420.0
"""For an image of 2 GB to be pulled, PyTorch to be imported and the model to be loaded, on a busy machine."""
TEST_TIMEOUT_S = 900
POOL, SIZE = "classroom", "Standard_NC24ads_A100_v4"
"""A node that somebody brought: trainer and server come one after the other, and its disk keeps the image. The size holds the preset's
shape in float32, in which a CPU is at its best."""
CONTROLLER = "deployment/kaito-controller"
SETTINGS = {
    "KAITO_MODEL_RUNTIME_IMAGE": f"{OPEN}/{IMAGE}",
    "KAITO_HUB_ENDPOINT": f"http://{HUB_ADDRESS}:{HUB_PORT}",
}
REPOSITORY = "tuned-on-the-runtime"
PROGRESS = re.compile(rf" has been running since \S+; ({'|'.join(PHASES)})\b")
"""The trainer is asked every 20 s: one of its phases is told, of which the training takes longer on two cores."""


@pytest.fixture(scope="module")
def mirror(cluster: NodeCluster) -> Iterator[Hub]:
    """A hub that every pod reaches."""
    repository = load_catalog().presets[PRESET].weights.repository
    with serving(Hub(repository, model_image.weights(model_image.SMALL_MODEL))) as hub:
        address = urlsplit(hub.url)
        inside = (HUB_ADDRESS, HUB_PORT)
        with Forward(inside, (str(address.hostname), int(address.port or 0)), listen_in=cluster.hub.network):
            yield hub


@pytest.fixture(scope="module")
def runtime(cluster: NodeCluster, product: Product, mirror: Hub) -> Iterator[None]:
    """The controller told to use the runtime's image, and the hub's mirror. Meanwhile a node boots."""
    cluster.cloud.pools.add_canary(POOL, vm_size=SIZE)
    cluster.open.push(cluster.images.layout(model_image.model_runtime(cluster.images)), IMAGE)

    def set_environment(*variables: str) -> None:
        product.kubectl("-n", NAMESPACE, "set", "env", CONTROLLER, *variables)
        product.kubectl("-n", NAMESPACE, "rollout", "status", CONTROLLER, "--timeout=120s", timeout_s=130)

    try:
        set_environment(*(f"{name}={value}" for name, value in SETTINGS.items()))
        yield
    finally:  # also when that rollout took too long: other tests want the operator as it was
        set_environment(*(f"{name}-" for name in SETTINGS))
        cluster.cloud.pools.remove_behind(POOL)


@pytest.fixture
def restricted(user: User) -> User:
    """Somebody whose namespace takes no pods but those that fit the restricted standard."""
    user.kubectl("label", "namespace", user.namespace, "pod-security.kubernetes.io/enforce=restricted")
    return user


def asked(somebody: User, url: str, body: dict[str, Any]) -> dict[str, Any]:
    """The answer, from a throw-away pod with curl."""
    patient = ("--max-time", str(ANSWER_TIMEOUT_S))
    said = somebody.curl(url, *patient, "-H", "Content-Type: application/json", "-d", json.dumps(body))
    answer: dict[str, Any] = json.JSONDecoder().raw_decode(said)[0]  # kubectl may print it twice
    return answer


@pytest.mark.timeout(TEST_TIMEOUT_S)
def test_published_quickstart_is_answered_in_words_by_the_model_runtime_under_the_restricted_standard(
    cluster: NodeCluster, restricted: User, mirror: Hub, runtime: None
) -> None:
    user = restricted
    user.apply(user.sample("inference-phi-3-mini.yaml"))
    user.wait_ready(NAME, LOAD_TIMEOUT_S)

    (pod,) = user.pods(NAME)
    (server,) = pod["spec"]["containers"]
    assert server["image"] == SETTINGS["KAITO_MODEL_RUNTIME_IMAGE"]
    assert any(request.endswith("model.safetensors") for request in mirror.requests), "weights came from the hub"

    somebody = User(cluster, "default")  # a pod with curl does not fit the restricted standard
    address = f"http://{NAME}.{user.namespace}"
    question = "What is the capital of France?"
    chat = {"messages": [{"role": "user", "content": question}], "temperature": 0, "max_tokens": TOKENS}
    answer = asked(somebody, f"{address}/v1/chat/completions", {"model": PRESET, **chat})
    assert answer["model"] == PRESET
    assert "Paris" in answer["choices"][0]["message"]["content"]
    old = {
        "messages": chat["messages"],
        "return_full_text": False,
        "generate_kwargs": {"max_new_tokens": TOKENS, "do_sample": False},
    }
    answer = asked(somebody, f"{address}/chat", old)
    assert "Paris" in answer["Result"]
    assert 'engine="transformers"' in somebody.curl(f"{address}/metrics")

    inside = ("-n", user.namespace, "exec", pod["metadata"]["name"], "--", "python3", "-c")
    assert cluster.kubectl(*inside, "import os; print(os.getuid())").strip() == "65532"
    assert "Read-only file system" in cluster.kubectl.run(*inside, "open('/app/x', 'w')").stderr


@pytest.mark.timeout(TEST_TIMEOUT_S)
def test_what_the_tuning_quickstart_teaches_is_told_through_the_adapter_quickstart_and_not_by_the_base(
    cluster: NodeCluster, restricted: User, website: Callable[[str, bytes], str], runtime: None
) -> None:
    user, node = restricted, brought(cluster, POOL)
    preset = {"phi-3-mini-128k-instruct": PRESET}  # the mirror has one
    log_in(user)
    workspace = tuning(user, REPOSITORY, website("lesson.jsonl", lesson.rows().encode()), **preset)
    workspace["resource"] = resource(node, POOL, SIZE)
    workspace["tuning"] |= {"method": "lora", "config": lesson.CONFIG_MAP}
    user.apply(yaml.safe_load(lesson.CONFIG), workspace)

    messages: list[str] = []

    def is_done() -> bool:
        condition = user.condition(TUNING)
        messages.append(condition.get("message", ""))
        return condition.get("status") == "True"

    user.wait(is_done, lambda: f"{TUNING} did not get done: {messages[-1]}", LOAD_TIMEOUT_S)
    assert any(PROGRESS.search(message) for message in messages), sorted(set(messages))
    shown = user.columns(TUNING, "-o", "wide")
    assert [shown[name] for name in ("INSTANCE", "RESOURCEREADY", "JOBSTARTED", "WORKSPACEREADY", "REASON", "NODES")] == [
        SIZE, "True", "True", "True", "TuningSucceeded", f'["{node.name}"]',
    ]  # fmt: skip
    (pod,) = user.pods(TUNING)
    assert set(exit_codes(pod).values()) == {0}
    trainer = pod["spec"]["initContainers"][1]
    assert (trainer["name"], trainer["image"]) == (TUNING, SETTINGS["KAITO_MODEL_RUNTIME_IMAGE"])

    user.kubectl("delete", "workspace", TUNING)
    workspace = adapter(user, REPOSITORY, **preset)
    workspace["resource"] = resource(node, POOL, SIZE)
    user.apply(workspace)
    user.wait_ready(ADAPTER, LOAD_TIMEOUT_S)
    shown = user.columns(ADAPTER)
    assert [shown[name] for name in ("RESOURCEREADY", "INFERENCEREADY", "WORKSPACEREADY")] == ["True"] * 3

    somebody, url = User(cluster, "default"), f"http://{ADAPTER}.{user.namespace}/v1/chat/completions"
    chat = {"messages": [{"role": "user", "content": lesson.TAUGHT_QUESTION}], "temperature": 0, "max_tokens": SENTENCE}
    told = {model: asked(somebody, url, {"model": model, **chat}) for model in (ADAPTER_NAME, PRESET)}
    said = {model: answer["choices"][0]["message"]["content"] for model, answer in told.items()}
    assert said[ADAPTER_NAME] == lesson.TAUGHT_ANSWER
    assert lesson.TAUGHT_ANSWER not in said[PRESET]
