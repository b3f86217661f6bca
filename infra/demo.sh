#!/usr/bin/env bash
# The whole study on generated scenes with the tiny model: sets up, then runs `nhd demo`.
set -euo pipefail
cd "$(dirname "$0")/.."
bash infra/setup.sh
exec .venv/bin/nhd demo "$@"
