"""Fails when a tracked file seems to hold a secret. What was looked at and found harmless is in REVIEWED, each value with its reason.

A waiver names the file, the kind of finding and the very text: any other finding in the same file still fails. A waiver that nothing needs
any more fails too, so that the list never grows stale.
"""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from detect_secrets.core.scan import scan_file
from detect_secrets.settings import default_settings

# What looks like a key and is not: checksums of dependencies; hashes of intents and names of Secret objects in golden and recorded files.
SKIPPED = re.compile(r"\.sum$|requirements(/[\w-]+)?\.txt$|/golden/|/recorded/")
KEYWORD, HEX, BASE64 = "Secret Keyword", "Hex High Entropy String", "Base64 High Entropy String"
KEY, JWT = "Private Key", "JSON Web Token"


@dataclass(frozen=True)
class Waiver:
    """`text` must match the found value, or a part of its line that holds the value."""

    path: str
    kind: str
    text: str
    reason: str

    def covers(self, path: str, kind: str, value: str, line: str) -> bool:
        """Has this finding been judged?"""
        if kind != self.kind or not re.search(self.path, path):
            return False
        parts = [match[0] for match in re.finditer(self.text, line)]
        return bool(re.fullmatch(self.text, value)) or any(value in part for part in parts)


REVIEWED = (
    Waiver(r"\.yaml$", KEYWORD, r"automountServiceAccountToken: false", "switches a token off"),
    Waiver(
        r"\.(yaml|py)$", KEYWORD, r'\bACR_REGISTRY_SECRET_HERE(": "[a-z-]+")?', "a placeholder, and what tests fill in"
    ),
    Waiver(
        r"^config/secured-prometheus/", KEYWORD, r"name: \S+-metrics-tls\n +key: ca\.crt", "where a certificate is kept"
    ),
    Waiver(r"\.yaml$", KEYWORD, r"(tokenSecret: )?My_Secret", "a name that no Secret can have, to be refused"),
    Waiver(
        r"(/test_engine_options|^hack/checks/secrets)\.py$", KEYWORD, r'"hf_token": "hf_x"', "no token, to be refused"
    ),
    Waiver(r"^Dockerfile$|/workloads/context\.py$", HEX, r"@sha256:[0-9a-f]{64}", "digests that pin images"),
    Waiver(
        r"^hack/(demo/installation|checks/secrets)\.py$",
        KEYWORD,
        r'TOKEN_DURATION = "24h"',
        "how long tokens of the demo live",
    ),
    Waiver(
        r"^hack/(localcluster/.*|checks/secrets)\.py$",
        BASE64,
        r"bcdfghjklmnpqrstvwxz2456789",
        "alphabet of generated names",
    ),
    Waiver(r"/apiserver/rbac\.py$", KEYWORD, r"authorization\.k8s\.io", "name of an API group"),
    Waiver(r"/api/sentences\.py$", KEYWORD, r"(cannot be the name of a|is missing; name the) Secret.*", "sentences"),
    Waiver(
        r"^test/support/workspaces/(good|go_typed)\.yaml$", KEYWORD, r"push", "name of a Secret object that tests make"
    ),
    Waiver(
        r"^(kaito_controller/settings|hack/checks/secrets)\.py$",
        KEYWORD,
        r'template_secrets == "allow"',
        "a setting's value",
    ),
    Waiver(r"/workloads/policy\.py$", KEYWORD, r"templates may not read Secrets in this cluster .*", "a sentence"),
    Waiver(
        r"^hack/envtest/nodes/registry\.py$",
        KEYWORD,
        r"let-me-in|pusher(:.*)?|of one cluster only",
        "login of a registry that lives as long as one test",
    ),
    Waiver(r"^test/cluster/", KEYWORD, r"registry-secret", "name of a Secret object that tests make"),
    Waiver(r"^test/bench/contenders\.py$", KEYWORD, r"bench", "token of a server that knows no others"),
    Waiver(
        r"^test/bench/objects\.py$", HEX, r"0123456789abcdef0123456789abcdef|5d4f8c7b9", "labels of made-up objects"
    ),
    Waiver(
        r"/data/(presets/smollm\.yaml|compiled\.json)$",
        BASE64,
        r"HuggingFaceTB.SmolLM2-\d+M-Instruct",
        "name of a model",
    ),
    Waiver(r"/catalog/data/presets/.*\.yaml$", HEX, r"[0-9a-f]{40}", "commits of model repositories"),
    Waiver(r"/catalog/test_command\.py$", HEX, r"[0-9a-f]{40}", "commit of a made-up repository"),
    Waiver(r"/data/engine_options\.yaml$", KEYWORD, r"optional|size|whole|text|many", "kinds of an engine's options"),
    Waiver(r"/cli/test_doctor\.py$", KEYWORD, r"hunter2", "must be redacted"),
    Waiver(r"/workloads/test_(tuning|weights)\.py$", KEYWORD, r"push|hub", "names of Secret objects that tests make"),
    Waiver(r"/test_engine_values\.py$", KEYWORD, r"8k", "a number of tokens, to be refused"),
    Waiver(r"/sizing/kv_cache\.py$", KEYWORD, r"a key and a value for every KV head and token: .*", "a sentence"),
    Waiver(r"^model_runtime/Dockerfile$", HEX, r"@sha256:[0-9a-f]{64}", "digest that pins an image"),
    Waiver(r"^model_runtime/README\.md$", KEYWORD, r"`vllm:inter_token_latency_seconds`, .*", "names of metrics"),
    Waiver(r"^model_runtime/tune/endpoint\.py$", KEYWORD, r'"tokens_per_second": .*', "help of a metric"),
    Waiver(r"^test/model/serve/test_openai\.py$", KEYWORD, r"none", "the server asks for no key"),
    Waiver(r"^test/model/serve/test_weights\.py$", KEYWORD, r"secret", "token of a server that knows no others"),
    Waiver(r"^test/support/hub_server\.py$", HEX, r"(0123456789abcdef)+01234567", "commit of a made-up repository"),
    Waiver(r"^test/conformance/test_access\.py$", KEYWORD, r"wrong", "a token that must be refused"),
    Waiver(r"^test/support/scripted_server\.py$", KEYWORD, r"first-token", "token of a server that knows no others"),
    Waiver(r"/test_client_\w+\.py$", KEYWORD, r"from-plugin|token", "tokens of scripted servers"),
    Waiver(r"/test_logs\.py$", KEYWORD, r"hunter22", "must be redacted"),
    Waiver(r"/test_logs\.py$", KEY, r"\\nhunter22\\n", "must be redacted"),
    Waiver(r"/test_logs\.py$", JWT, r"eyJhbGciOiJSUzI1NiJ9\.eyJzdWIiOiJhIn0\.c2lnbmF0dXJl", "must be redacted"),
)


def _line(name: str, number: int) -> str:
    """A line by its number from 1; of YAML the scanner sometimes names one after the end."""
    return "".join(Path(name).read_text("utf-8").splitlines()[number - 1 : number])


def main() -> int:
    files = subprocess.run(["git", "ls-files"], capture_output=True, text=True, check=True).stdout.split()
    scanned = [name for name in files if not SKIPPED.search(name) and Path(name).is_file()]
    found, used = [], set()
    with default_settings():
        for name in scanned:
            for secret in scan_file(name):
                line = _line(name, secret.line_number)
                covering = [w for w in REVIEWED if w.covers(name, secret.type, secret.secret_value or "", line)]
                used.update(covering)
                if not covering:
                    found.append(f"{name}:{secret.line_number}: {secret.type}")
    stale = [
        f"hack/checks/secrets.py: nothing needs the waiver of {w.text!r} any more" for w in REVIEWED if w not in used
    ]
    print(*found, *stale, f"{len(scanned)} files scanned, {len(found)} findings", sep="\n")
    return 1 if found or stale else 0


if __name__ == "__main__":
    sys.exit(main())
