"""What is committed under `manifests/` and the generated parts of `config/` are what their sources give today."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from hack.render.__main__ import differences
from hack.render.kustomize import ROOT
from test.install import shipped
from test.support import published_schemas

NEWEST, OLDEST = "1.37", "1.30"


@pytest.mark.parametrize("generator", ["hack.generate", "hack.render"])
def test_generated_files_are_what_their_sources_give(generator: str) -> None:
    command = [sys.executable, "-m", generator, "--check"]
    reply = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert reply.returncode == 0, f"{reply.stdout}{reply.stderr}"


def test_an_edited_a_missing_and_a_surplus_file_are_noticed(tmp_path: Path) -> None:
    for name, content in {"same": "1", "edited": "by hand", "surplus": ""}.items():
        (tmp_path / name).write_text(content)

    assert differences({"same": "1", "edited": "2", "missing": "3"}, tmp_path) == (["edited", "missing"], ["surplus"])


def test_install_yaml_holds_the_objects_of_the_default_base() -> None:
    assert {shipped.key(d): d for d in shipped.install_yaml()} == {shipped.key(d): d for d in shipped.base()}


def test_no_object_is_there_twice() -> None:
    keys = [shipped.key(d) for option in ("default", *shipped.OPTIONS) for d in shipped.base(option)]

    assert len(keys) == len(set(keys))


@pytest.mark.parametrize("minor", [OLDEST, NEWEST])
def test_every_shipped_object_is_valid_for_the_oldest_and_the_newest_kubernetes(minor: str) -> None:
    available = {".".join(version.split(".")[:2]) for version in kubernetes_validate.utils.all_versions()}
    assert minor in available
    for document in [d for base in ("default", *shipped.OPTIONS, *shipped.VARIANTS) for d in shipped.base(base)]:
        if not document["apiVersion"].startswith(shipped.FOREIGN_GROUP):
            published_schemas.validate(document, minor)


def test_the_validator_refuses_what_kubernetes_would_drop_silently() -> None:
    broken = yaml.safe_load(yaml.safe_dump(shipped.deployments()["kaito-controller"]))
    broken["spec"]["replicaz"] = 2

    with pytest.raises(kubernetes_validate.ValidationError, match="replicaz"):
        published_schemas.validate(broken, NEWEST)


def test_every_object_belongs_to_the_product_by_label() -> None:
    unlabelled = [
        shipped.key(d)
        for base in ("default", *shipped.OPTIONS, *shipped.VARIANTS)
        for d in shipped.base(base)
        if d["metadata"].get("labels", {}).get("app.kubernetes.io/part-of") != "kaito"
        and d["kind"] != "CustomResourceDefinition"
    ]

    assert not unlabelled
