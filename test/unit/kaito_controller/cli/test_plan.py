"""`kubectl kaito plan` in situations that a stranger can read (`golden/`), for programs, and when the question makes no sense."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from kaito_controller.cli.__main__ import main
from test.unit.kaito_controller.cli.situations import A100, GOLDEN, SITUATIONS, Situation, answer, sample, workspace

HUB_MODEL = workspace("Qwen/Qwen3-8B", A100)


@pytest.fixture(autouse=True)
def columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


@pytest.mark.parametrize("name", sorted(SITUATIONS))
def test_the_page_is_the_one_that_was_reviewed(name: str, tmp_path: Path) -> None:
    code, page = answer(SITUATIONS[name], tmp_path / "workspace.yaml")

    assert page == (GOLDEN / f"{name}.txt").read_text("utf-8")
    assert code == SITUATIONS[name].code


def test_no_golden_file_is_left_over() -> None:
    assert {path.stem for path in GOLDEN.iterdir()} == set(SITUATIONS)


@pytest.mark.parametrize("path", sorted(GOLDEN.iterdir()), ids=lambda path: path.stem)
def test_a_page_fits_eighty_columns_without_colour(path: Path) -> None:
    for line in path.read_text("ascii").splitlines():
        assert len(line) <= 80
        assert line.isprintable()


@pytest.mark.parametrize("name", sorted(SITUATIONS))
def test_json_and_yaml_say_the_same_and_agree_with_the_exit_code(name: str, tmp_path: Path) -> None:
    code, as_json = answer(SITUATIONS[name], tmp_path / "workspace.yaml", "-o", "json")
    _, as_yaml = answer(SITUATIONS[name], tmp_path / "workspace.yaml", "-o", "yaml")
    document = json.loads(as_json)

    assert document == yaml.load(as_yaml, Loader=yaml.CSafeLoader)
    assert (document["fit"] == "does not fit") == (code == 1)
    for choice in document["instanceTypes"]:
        assert (choice["fit"] == "does not fit") == bool(choice["why"]) == (choice["gpusPerPod"] == 0)


def test_the_document_carries_price_width_and_flags_of_each_type(tmp_path: Path) -> None:
    _, text = answer(Situation(HUB_MODEL), tmp_path / "workspace.yaml", "-o", "json")
    mine = next(choice for choice in json.loads(text)["instanceTypes"] if choice["asked"])

    assert mine["name"] == A100
    assert (mine["priceRegion"], mine["usdPerMonth"]) == ("eastus", round(mine["usdPerHour"] * 730, 3))
    assert mine["width"] == {"tensor": 1, "pipeline": 1, "data": 1}
    assert f"--max-model-len={mine['contextTokens']}" in mine["podFlags"]
    assert mine["concurrentRequests"]["least"] >= 1


@pytest.mark.parametrize(
    ("value", "capacity", "notes"),
    [("spot", ["spot"], 1), ("spot-then-on-demand", ["spot", "on-demand"], 1), ("on-demand", ["on-demand"], 0)],
)
def test_prices_are_said_to_be_those_of_nodes_on_demand_where_spot_nodes_are_ordered(
    tmp_path: Path, value: str, capacity: list[str], notes: int
) -> None:
    document = yaml.safe_load(HUB_MODEL)
    document["metadata"]["annotations"] = {"kaito.sh/capacity-type": value}

    _, text = answer(Situation(yaml.safe_dump(document)), tmp_path / "workspace.yaml", "-o", "json")

    said = [note for note in json.loads(text)["notes"] if "the prices are those of nodes on demand" in note]
    assert json.loads(text)["capacityTypes"] == capacity
    assert len(said) == notes
    assert any("Nodes on demand are ordered next." in note for note in said) is (value == "spot-then-on-demand")


def test_a_lower_price_limit_never_adds_a_type(tmp_path: Path) -> None:
    def names(limit: str) -> set[str]:
        _, text = answer(Situation(HUB_MODEL, ("--max-price", limit)), tmp_path / "workspace.yaml", "-o", "json")
        return {choice["name"] for choice in json.loads(text)["instanceTypes"] if not choice["asked"]}

    assert names("4") < names("8") < names("100")


def test_the_workspace_is_found_among_other_objects(tmp_path: Path) -> None:
    text = f"apiVersion: v1\nkind: Namespace\nmetadata: {{name: team}}\n---\n{HUB_MODEL}---\n"

    assert answer(Situation(text), tmp_path / "all.yaml")[0] == 0


QUESTIONS = {
    "no-workspace": ("kind: Pod\n", (), "holds 0 objects of kind Workspace; give a file with one"),
    "two-workspaces": (f"{HUB_MODEL}---\n{HUB_MODEL}", (), "holds 2 objects of kind Workspace"),
    "no-yaml": ("a: [", (), "is no valid YAML"),
    "alias": ("kind: &a Workspace\nx: *a\n", (), "uses a YAML alias (*name); write the values out"),
    "no-text": ("", (), "holds 0 objects"),
    "unknown-model": (workspace("gpt-17", A100), (), 'inference.preset.name: "gpt-17"'),
    "unknown-type": (workspace("qwen3-8b", "t2.micro"), (), 'resource.instanceType: "t2.micro"'),
    "no-resource": ("kind: Workspace\ninference: {preset: {name: qwen3-8b}}\n", (), "resource"),
    "neither": (HUB_MODEL.replace("inference", "interference"), (), "give exactly one of inference and tuning"),
    "nodes": (HUB_MODEL.replace("count: 1", "count: many"), (), "resource.count"),
    "not-tunable": (
        sample("tuning-phi-3-qlora").replace("phi-3-mini-128k-instruct", "qwen3-8b"), (), "tuning.preset.name",
    ),
    "region": (HUB_MODEL, ("--region", "atlantis"), 'the catalogue has no azure prices of it; use eastus'),
    "region-without-prices": (HUB_MODEL, ("--region", "x", "--cloud", "aws"), "leave it out"),
    "gpu": (HUB_MODEL, ("--gpu", "Voodoo2"), '--gpu "Voodoo2": no instance type of azure has it; use part of'),
    "price": (HUB_MODEL, ("--max-price", "-1"), "--max-price"),
    "no-price": (HUB_MODEL, ("--max-price", "nan"), "--max-price"),
    "context": (HUB_MODEL, ("--context", "50000"), "was made for 40960 tokens; ask for at most so many"),
    "context-of-an-image": (sample("inference-falcon-7b"), ("--context", "2048"), "leave it out"),
    "option": (HUB_MODEL, ("--maximum", "3"), "--maximum"),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(QUESTIONS))
def test_a_question_that_makes_no_sense_is_one_sentence(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text, options, part = QUESTIONS[name]

    code, page = answer(Situation(text, options), tmp_path / "workspace.yaml")

    error = capsys.readouterr().err
    assert (code, page, error.count("\n")) == (2, "", 1)
    assert part in error


@pytest.mark.parametrize("name", ["missing.yaml", "."])
def test_a_file_that_cannot_be_read_is_named(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "-f", str(tmp_path / name)]) == 2
    assert "cannot be read" in capsys.readouterr().err


def test_a_template_is_not_guessed_at(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    template = {"spec": {"containers": [{"name": "main", "image": "registry.example/model:1"}]}}
    text = yaml.safe_dump({**yaml.safe_load(HUB_MODEL), "inference": {"template": template}})

    assert answer(Situation(text), tmp_path / "workspace.yaml")[0] == 2
    assert "inference.template" in capsys.readouterr().err
