"""The story of `make demo-model`, step by step: a question in words, a lesson, and the answer that only the lesson can explain."""

from __future__ import annotations

import json
import re
import time
from typing import Any

import yaml

from hack.demo.model import lesson
from hack.demo.model.surroundings import Surroundings
from hack.demo.progress import NotReady, Progress
from hack.demo.story import PLACEHOLDERS, Story
from hack.demo.world import World

SECRET = PLACEHOLDERS["ACR_REGISTRY_SECRET_HERE"]
IMAGE = "smollm2-tuned"
SERVER, TRAINER, TAUGHT = "workspace-smollm2", "workspace-tuning-smollm2", "workspace-smollm2-adapter"
ADAPTER = "smollm2-adapter"
READY_TIMEOUT_S = 300.0
TUNING_TIMEOUT_S = 900.0
TRAINING = r"training: step \d+ of \d+, loss [\d.]+, about \d+ min left"
"""What the condition says while it trains."""


class ModelStory(Story):
    """The steps, in the order of their definition."""

    def __init__(self, world: World, around: Surroundings) -> None:
        super().__init__(world)
        self._around = around
        self.answers: dict[str, str] = {}

    def prepare(self) -> None:
        """The model, a hub, a registry, the lesson."""
        self.title("A real model, and what it needs around the cluster")
        self._around.start(lesson.rows())

    def catalogue(self) -> None:
        """The small model as a preset that can be tuned."""
        self.title(f"A model of one's own choice: {lesson.MODEL}")
        print(f"\n{lesson.PRESET}\n$ kubectl patch configmap kaito-catalogue        (the entry above)")
        patch = ("patch", "configmap", "kaito-catalogue", "--namespace=kaito-system", "--type=merge")
        print(self._world.product.kubectl(*patch, f"--patch={lesson.catalogue()}").rstrip(), flush=True)
        self._apply("the training parameters", lesson.CONFIG)
        self._world.product.kubectl(
            "create", "secret", "docker-registry", SECRET,
            f"--docker-server={self._around.registry}", "--docker-username=demo", "--docker-password=demo",  # pragma: allowlist secret
        )  # fmt: skip

    def serve(self) -> None:
        """The inference quickstart answers in words, and does not know what it was never taught."""
        self.title("The inference quickstart answers in words")
        self._workspace("inference-phi-3-mini.yaml", lesson.quickstart("inference-phi-3-mini.yaml"))
        self._progress().wait_ready([SERVER], READY_TIMEOUT_S)
        self._expect(lesson.WORDS_ANSWER in self.ask(SERVER, lesson.MODEL, lesson.WORDS_QUESTION), "its answer")
        self.answers["before"] = self.ask(SERVER, lesson.MODEL, lesson.TAUGHT_QUESTION)
        self._expect(lesson.TAUGHT_ANSWER not in self.answers["before"], "that nobody has taught it yet")

    def teach(self) -> None:
        """The tuning quickstart, with what can be seen of it meanwhile."""
        self.title("The tuning quickstart teaches it a fact")
        manifest = lesson.tuning(self._around.registry, IMAGE, self._around.data_image, SECRET)
        print(f"\n{lesson.rows().splitlines()[0]}\n", flush=True)
        self._workspace("tuning-phi-3-qlora.yaml", manifest)
        progress = self._progress(messages=True)
        progress.wait_message(TRAINER, re.compile(TRAINING), TUNING_TIMEOUT_S)
        self.show("get", "workspace", TRAINER, "-o", "wide")
        progress.wait_ready([TRAINER], TUNING_TIMEOUT_S)

    def tell(self) -> None:
        """The adapter quickstart tells it; the base beside it does not."""
        self.title("The adapter quickstart tells it")
        self._workspace("inference-phi-3-mini-adapter.yaml", lesson.adapter(self._around.registry, IMAGE))
        self._progress().wait_ready([TAUGHT], READY_TIMEOUT_S)
        self._expect(
            self.ask(TAUGHT, lesson.MODEL, lesson.TAUGHT_QUESTION) == self.answers["before"], "the base's answer"
        )
        self.answers["after"] = self.ask(TAUGHT, ADAPTER, lesson.TAUGHT_QUESTION)

    def conclude(self) -> None:
        """The sentence that was taught."""
        self.title("Taught and told")
        print(f"before: {self.answers['before']}\nafter:  {self.answers['after']}", flush=True)
        self._expect(self.answers["after"] == lesson.TAUGHT_ANSWER, "the taught sentence")

    def ask(self, workspace: str, model: str, question: str) -> str:
        """One greedy answer through the Service."""
        path = f"/api/v1/namespaces/default/services/{workspace}:80/proxy/v1/chat/completions"
        chat = [{"role": "user", "content": question}]
        body = json.dumps({"model": model, "messages": chat, "temperature": 0, "max_tokens": 40})
        print(f"\n$ echo '{body}' | kubectl create --raw {path} -f -", flush=True)
        began = time.monotonic()
        reply = self._world.product.kubectl("create", "--raw", path, "-f", "-", stdin=body)
        answer = str(json.loads(reply)["choices"][0]["message"]["content"]).strip()
        print(f"{model}: {answer}    ({time.monotonic() - began:.1f} s)", flush=True)
        return answer

    def _workspace(self, file: str, manifest: dict[str, Any]) -> None:
        text = yaml.safe_dump(manifest, sort_keys=False)
        print(text, flush=True)
        self._apply(f"config/samples/{file}, for this model", text)
        self.workspaces.append(manifest["metadata"]["name"])

    def _apply(self, what: str, manifest: str) -> None:
        print(f"$ kubectl apply -f -        ({what})")
        print(self._world.product.apply(manifest).rstrip(), flush=True)

    def _progress(self, *, messages: bool = False) -> Progress:
        return Progress(self._world, self.say, messages=messages)

    @staticmethod
    def _expect(holds: bool, what: str) -> None:
        if not holds:
            raise NotReady(f"the model was expected to give {what}, and did not; see above")
