#!/bin/bash
# $PYTHON as the process of a pod: the address, the token and the authority of $KUBECONFIG are where a pod finds them, which only this process
# sees (a mount namespace: Linux, root). For `PYTHON=V/bin/python python -m test.bench.beside_go COUNT test/bench/in_a_pod.sh`.
set -euo pipefail
if [[ -z ${IN_A_POD:-} ]]; then
    IN_A_POD=1 exec unshare --mount "$0" "$@"
fi
mount -t tmpfs none /run
account=/var/run/secrets/kubernetes.io/serviceaccount
mkdir -p "$account"
address=$("$PYTHON" - "$KUBECONFIG" "$account" <<'READ'
import base64, pathlib, sys, yaml
config, account = yaml.safe_load(pathlib.Path(sys.argv[1]).read_text()), pathlib.Path(sys.argv[2])
cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
data = cluster.get("certificate-authority-data")
authority = base64.b64decode(data) if data else pathlib.Path(cluster["certificate-authority"]).read_bytes()
(account / "ca.crt").write_bytes(authority)
(account / "token").write_text(user["token"])
print(cluster["server"].removeprefix("https://"))
READ
)
unset KUBECONFIG
export KUBERNETES_SERVICE_HOST=${address%:*} KUBERNETES_SERVICE_PORT=${address##*:}
exec "$PYTHON" "$@"
