#!/usr/bin/env bash
# Writes requirements.lock, every package that pyproject.toml asks for, directly or not, with its version, and
# requirements.itk.lock, what it asks for under 'itk', alone; then envs/.
set -euo pipefail
python=${1:-python3}
cd "$(dirname "$0")/../.."
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
"$python" - > "$scratch/wanted.txt" <<'PY'
import sys
import tomllib
project = tomllib.load(open("pyproject.toml", "rb"))["project"]
oldest = project["requires-python"].removeprefix(">=")
if oldest != "{}.{}".format(*sys.version_info):
    sys.exit(f"The lock must suit Python {oldest}, the oldest that pyproject.toml allows: make lock PYTHON=python{oldest}")
print("\n".join(project["dependencies"] + project["optional-dependencies"]["dev"]))
PY
"$python" - > "$scratch/itk.lock" <<'PY'
import tomllib
print("# Written by 'make lock' from pyproject.toml: what is built on ITK. It is installed without what it depends on, because")
print("# antspyx asks for an older NumPy and SciPy than requirements.lock has, with which it gives the same fields.")
print("\n".join(tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["itk"]))
PY
"$python" -m venv "$scratch/venv"
"$scratch/venv/bin/pip" install --quiet -r <(grep '^torch==' "$scratch/wanted.txt")
"$scratch/venv/bin/pip" install --quiet -r "$scratch/wanted.txt"
{
    echo "# Written by 'make lock' from pyproject.toml. The lock does not say which build of torch: CPU or CUDA."
    "$scratch/venv/bin/pip" freeze | sed -E 's/^(torch==[0-9.]+)\+.*/\1/' | grep -vE '^(nvidia-|triton==|cuda-)'
} > "$scratch/requirements.lock"
cp "$scratch/requirements.lock" requirements.lock
cp "$scratch/itk.lock" requirements.itk.lock
"$scratch/venv/bin/pip" install --quiet --no-deps -r requirements.itk.lock
"$scratch/venv/bin/python" workflow/tools/environments.py
