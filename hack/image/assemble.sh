#!/bin/sh
# Puts the two operators and their locked dependencies into one folder that a Python interpreter runs from (PYTHONPATH=that folder).
# The Dockerfile runs this in its build stage, and a test runs it on a laptop, so that the image's content is exercised without a daemon.
#
#   hack/image/assemble.sh TARGET          from the top of the tree, with Python 3.11 or newer as `python3`
set -eu
target=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# One timestamp for every file in the wheel: the same tree gives the same bytes.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-1767225600}
export SOURCE_DATE_EPOCH PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PYTHONDONTWRITEBYTECODE=1

python3 -m venv "$work/build"
"$work/build/bin/python" -m pip install --quiet --require-hashes --no-deps -r hack/image/build-requirements.txt
mkdir "$work/source"
cp -R pyproject.toml README.md LICENSE controller_runtime gpu_provisioner kaito_controller "$work/source"
"$work/build/bin/python" -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir "$work/wheels" "$work/source"
"$work/build/bin/python" -m pip install --quiet --no-compile --require-hashes --no-deps --target "$target" -r hack/image/requirements.txt
"$work/build/bin/python" -m pip install --quiet --no-compile --no-deps --target "$target" "$work"/wheels/*.whl
