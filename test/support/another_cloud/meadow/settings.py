"""Whom to ask: a folder with one file for each pool. What a file says is the pool's state."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from gpu_provisioner.cloud import port
from gpu_provisioner.cloud.settings import CloudSettings


class Herds:
    """Implements `Cloud`. A pool is there as soon as it was looked at once after its creation."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def check_credential(self) -> None:
        if not self._folder.is_dir():
            raise port.Auth(f"{self._folder} is no folder", code="GateClosed")

    def close(self) -> None:
        pass

    def get(self, name: str) -> port.Pool:
        try:
            kind, labels, tags = (self._folder / name).read_text().split("\n")
        except FileNotFoundError:
            raise port.PoolNotFound(f"no herd {name}", code="NoSuchHerd") from None
        return port.Pool(
            name, port.SUCCEEDED, instance_type=kind, node_labels=_mapping(labels), tags=_mapping(tags), etag="1"
        )

    def list(self) -> list[port.Pool]:
        return [self.get(file.name) for file in sorted(self._folder.iterdir())]

    def create(self, spec: port.PoolSpec) -> port.Pool:
        if not spec.instance_type.startswith("horned"):
            raise port.SkuNotOffered(f"{spec.instance_type} has no horns", code="Hornless")
        lines = [spec.instance_type, _text(spec.node_labels), _text(spec.tags)]
        try:
            with (self._folder / spec.name).open("x") as file:
                file.write("\n".join(lines))
        except FileExistsError:
            raise port.AlreadyThere(f"herd {spec.name} grazes already", code="HerdExists") from None
        return port.Pool(spec.name, "Creating", instance_type=spec.instance_type)

    def delete(self, name: str, *, etag: str = "") -> None:
        self.get(name)
        (self._folder / name).unlink()


def _text(values: object) -> str:
    assert isinstance(values, dict)
    return ",".join(f"{key}={value}" for key, value in values.items())


def _mapping(text: str) -> dict[str, str]:
    return dict(entry.split("=", 1) for entry in text.split(",") if entry)


class MeadowSettings(CloudSettings):
    """What the adapter needs beside what every operator has."""

    meadow: Path = Field(description="Folder with the herds.")
    meadow_requests_per_s: float = Field(default=50.0, gt=0, description="Requests per second to the meadow.")

    def connect(self) -> tuple[Herds, None]:
        return Herds(self.meadow), None

    def request_budget(self) -> port.RequestBudget:
        return port.RequestBudget(self.meadow_requests_per_s, 100)

    def pool_defaults(self) -> port.PoolDefaults:
        return port.PoolDefaults()


SETTINGS = MeadowSettings
