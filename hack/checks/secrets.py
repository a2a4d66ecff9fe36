"""Fails when a tracked file seems to hold a secret. A false alarm is marked in place with `pragma: allowlist secret` and a reason."""

from __future__ import annotations

import subprocess
import sys

from detect_secrets.core.scan import scan_file
from detect_secrets.settings import default_settings

SKIPPED = (".sum", "requirements.txt")  # Checksums of dependencies look like keys and are not.


def main() -> int:
    files = subprocess.run(["git", "ls-files"], capture_output=True, text=True, check=True).stdout.split()
    found = 0
    with default_settings():
        for name in files:
            if name.endswith(SKIPPED):
                continue
            for secret in scan_file(name):
                found += 1
                print(f"{name}:{secret.line_number}: {secret.type}")
    print(f"{len(files)} files, {found} findings")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
