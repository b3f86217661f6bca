#!/usr/bin/env bash
# Run infra/open_run.ipynb anew and keep its outputs, after the demo study (made if it is not there).
# Jupyter's parts come from a throw-away folder; the notebook runs on the checkout's own .venv.
#   bash infra/open_run.sh [STUDY]     STUDY: what `nhd demo --out` made; by default demo
set -euo pipefail
cd "$(dirname "$0")/.."
bash infra/setup.sh

study=$(realpath -m "${1:-demo}")
[ -d "$study/comparison" ] || .venv/bin/nhd demo --out "$study"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
ln -s "$study" "$work/demo"
.venv/bin/uv pip install -q --python .venv/bin/python --target "$work/jupyter" \
    nbclient nbformat ipykernel
HOME="$work" PYTHONPATH="$work/jupyter" .venv/bin/python infra/open_run.py "$work"
