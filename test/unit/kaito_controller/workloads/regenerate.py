"""Write the golden files anew: `python -m test.unit.kaito_controller.workloads.regenerate`, then read the diff before committing it."""

from __future__ import annotations

from kaito_controller.workloads import build_objects
from test.unit.kaito_controller.workloads.cases import CASES, GOLDEN, as_yaml

if __name__ == "__main__":
    for name, make in CASES.items():
        (GOLDEN / f"{name}.yaml").write_text(as_yaml(build_objects(make())))
