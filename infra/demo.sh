#!/usr/bin/env bash
# The whole study on generated scenes with the tiny model: sets up, then runs `nhd demo`.
set -euo pipefail
cd "$(dirname "$0")/.."
bash infra/setup.sh
.venv/bin/nhd demo "$@"
echo "nhd is in .venv/bin: source .venv/bin/activate puts it on the path."
