#!/usr/bin/python3
"""CNI plugin: a port of the pod's loopback leads to the AKS stand-in, as the address of Azure's metadata service is there in every pod.

The provisioner goes without a credential to nothing but a cloud on loopback, and that stays so. Chained behind `ptp`; it passes on what
that said. Run by containerd with the machine's own Python, without this project's packages.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

RULES = """
table ip cloud {{
  chain output {{ type nat hook output priority -100; ip daddr 127.0.0.1 tcp dport {port} dnat to {to}; }}
  chain leaving {{ type nat hook postrouting priority 100; ip saddr 127.0.0.1 oifname != "lo" masquerade; }}
}}
"""


def main() -> None:
    config = json.load(sys.stdin)
    command = os.environ["CNI_COMMAND"]
    if command == "VERSION":
        print(json.dumps({"cniVersion": "1.0.0", "supportedVersions": ["0.4.0", "1.0.0"]}))
    elif command == "ADD":
        inside = ["nsenter", f"--net={os.environ['CNI_NETNS']}"]
        rules = RULES.format(port=config["port"], to=config["to"])
        subprocess.run([*inside, "nft", "-f", "-"], input=rules, text=True, check=True, stdout=sys.stderr)
        setting = "net.ipv4.conf.all.route_localnet=1"
        subprocess.run([*inside, "sysctl", "-q", "-w", setting], check=True, stdout=sys.stderr)
        print(json.dumps(config["prevResult"]))


if __name__ == "__main__":
    main()
