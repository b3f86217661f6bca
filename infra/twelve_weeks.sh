#!/usr/bin/env bash
# Twelve simulated weeks of audits, with a shift planted in week nine: sets up, then runs
# infra/twelve_weeks.py, which says what is expected and ends with 1 if anything else is seen.
#
#     bash infra/twelve_weeks.sh [FOLDER] [--seed N]
#
# FOLDER is twelve_weeks by default. Stopped, the same command goes on.
set -euo pipefail
cd "$(dirname "$0")/.."
bash infra/setup.sh
exec .venv/bin/python infra/twelve_weeks.py "$@"
