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
# Whole files to each process, for the fixtures they share; xdist 3.8 knows no groups under pytest 9.2.
exec .venv/bin/pytest -n 2 --dist loadfile --no-loadscope-reorder "$@"
