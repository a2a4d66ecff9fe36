#!/bin/sh
# Puts the two operators and their locked dependencies into one folder that a Python interpreter runs from (PYTHONPATH=that folder).
# The Dockerfile runs this in its build stage, and a test runs it on a laptop, so that the image's content is exercised without a daemon.
# The same tree gives the same bytes: dependencies are locked by hash, and nothing in the folder names the time or the place of the build.
#
#   hack/image/assemble.sh TARGET          from the top of the tree, with Python 3.11 or newer as `python3`
set -eu
target=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# One timestamp for every file in the wheel.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-1767225600}
export SOURCE_DATE_EPOCH PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONDONTWRITEBYTECODE=1

python3 -m venv "$work/build"
pip() { "$work/build/bin/python" -m pip "$@"; }
pip install --quiet --require-hashes --no-deps -r hack/image/build-requirements.txt
mkdir "$work/source"
cp -R pyproject.toml README.md LICENSE controller_runtime gpu_provisioner kaito_controller "$work/source"
pip wheel --quiet --no-deps --no-build-isolation --wheel-dir "$work/wheels" "$work/source"
pip install --quiet --no-compile --require-hashes --no-deps --target "$target" -r hack/image/requirements.txt
# By name and not by path: pip records the path that a wheel was installed from.
mkdir "$work/ours"
pip install --quiet --no-compile --no-deps --no-index --find-links "$work/wheels" --target "$work/ours" kaito-operator
rm -rf "$work/ours/bin" "${target:?}/bin"
cp -R "$work"/ours/* "$target"
# Console scripts name the interpreter of the build; the image starts modules instead.
sed -i '\#^\(\.\./\)*bin/#d' "$target"/*.dist-info/RECORD
