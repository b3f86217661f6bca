#!/usr/bin/env bash
# All checks, the same for people and CI: sets up, then ruff, mypy and pytest.
set -euo pipefail
cd "$(dirname "$0")/.."
bash infra/setup.sh
.venv/bin/ruff check .
.venv/bin/ruff format --check .
.venv/bin/mypy --strict nhd_ops
.venv/bin/mypy
export OMP_NUM_THREADS=1  # two test processes, one core each
exec .venv/bin/pytest -n 2 --dist loadgroup "$@"
