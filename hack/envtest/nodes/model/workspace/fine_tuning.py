"""A trainer without a model: reads the mounted configuration and data, and writes the two result files of the container contract."""

from __future__ import annotations

import json
import re
from pathlib import Path

CONFIG = Path("/mnt/config/training_config.yaml")
DATA = Path("/mnt/data")


def main() -> None:
    match = re.search(r"^\s*output_dir:\s*[\"']?([^\s\"']+)", CONFIG.read_text(), re.M)
    output = Path("/mnt") / (match[1] if match else "output")
    files = {path.name: path.stat().st_size for path in sorted(DATA.iterdir()) if path.is_file()}
    if not files:
        raise SystemExit(f"there is no data below {DATA}")
    (output / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "trained_on": files}))
    (output / "adapter_model.safetensors").write_bytes(b"\x02\0\0\0\0\0\0\0{}")
    print(f"trained on {files}", flush=True)


if __name__ == "__main__":
    main()
