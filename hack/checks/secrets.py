"""Fails when a tracked file seems to hold a secret. What was looked at and found harmless is in REVIEWED, with the reason."""

from __future__ import annotations

import re
import subprocess
import sys

from detect_secrets.core.scan import scan_file
from detect_secrets.settings import default_settings

# What looks like a key and is not: checksums of dependencies; hashes of intents and names of Secret objects in golden files.
SKIPPED = re.compile(r"\.sum$|requirements\.txt$|/golden/")

# (path, kind of finding) → why it is harmless. Kinds that are not listed for a path still fail.
REVIEWED = [
    (r"\.yaml$", "Secret Keyword", "names of Secret objects and of service-account fields, never their content"),
    (r"^Dockerfile$|/workloads/(context|images)\.py$", "Hex High Entropy String", "digests that pin images"),
    (r"localcluster/.*\.py$", "Base64 High Entropy String", "alphabets of generated names"),
    (r"/api/sentences\.py$", "Secret Keyword", "sentences about fields whose name ends in Secret"),
    (
        r"^hack/demo/.*\.py$",
        "Secret Keyword",
        "the lifetime of tokens, and names that fill the placeholders of quickstarts",
    ),
    (r"localcluster/apiserver/rbac\.py$", "Secret Keyword", "names of kinds and verbs"),
    (
        r"^test/.*\.py$",
        "Secret Keyword|Hex High Entropy String",
        "made-up names and values; keys of any known kind still fail",
    ),
    (
        r"^test/unit/controller_runtime/.*\.py$",
        r"Private Key|JSON Web Token|Secret Keyword",
        "made-up input of redaction tests",
    ),
]


def reviewed(path: str, kind: str) -> bool:
    """True when this kind of finding has been judged for this path."""
    return any(re.search(where, path) and re.fullmatch(what, kind) for where, what, _ in REVIEWED)


def main() -> int:
    files = subprocess.run(["git", "ls-files"], capture_output=True, text=True, check=True).stdout.split()
    scanned = [name for name in files if not SKIPPED.search(name)]
    found = 0
    with default_settings():
        for name in scanned:
            for secret in scan_file(name):
                if not reviewed(name, secret.type):
                    found += 1
                    print(f"{name}:{secret.line_number}: {secret.type}")
    print(f"{len(scanned)} files scanned, {found} findings")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
