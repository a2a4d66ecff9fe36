#!/bin/sh
# Static checks of everything that is not Python typing: YAML, shell, Dockerfile, Python security, planted secrets, and the rendered manifests
# against the Kubernetes hardening rules. Offline: every rule set ships inside its package. Run by `make checks`, from the top of the tree.
set -eu
usage='usage: run.sh BIN_OF_THE_CHECKERS BIN_OF_MAKE_SETUP'
bin=${1:?$usage} tools=${2:?$usage}
say() { printf '\n== %s\n' "$1"; }

say "yamllint"
"$bin/yamllint" --strict -c hack/checks/yamllint.yaml config manifests/install.yaml
say "shellcheck"
"$bin/shellcheck" hack/image/*.sh hack/checks/*.sh .ci/run
say "hadolint"
"$bin/hadolint" Dockerfile model_runtime/Dockerfile
say "bandit"
"$bin/bandit" --quiet -c hack/checks/bandit.yaml --severity-level medium --recursive controller_runtime gpu_provisioner kaito_controller
say "detect-secrets"
# shellcheck disable=SC2046 # no tracked name has a blank
hack/checks/planted_secrets.sh "$tools" $(git ls-files ':!.secrets.baseline')
say "checkov (manifests and Dockerfile)"
"$bin/checkov" --config-file hack/checks/checkov.yaml --quiet --compact --skip-download
say "trivy config"
"$bin/trivy" config --quiet --skip-check-update --skip-version-check --exit-code 1 --ignorefile hack/checks/trivyignore.yaml manifests/install.yaml
"$bin/trivy" config --quiet --skip-check-update --skip-version-check --exit-code 1 --ignorefile hack/checks/trivyignore.yaml Dockerfile
"$bin/trivy" config --quiet --skip-check-update --skip-version-check --exit-code 1 --ignorefile hack/checks/trivyignore.yaml model_runtime/Dockerfile
