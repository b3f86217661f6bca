#!/usr/bin/env bash
# Take the README's pictures anew: demo, atlas, Chromium. Needs Debian's chromium.
#   bash infra/screenshots.sh [STUDY] [SERIES]     STUDY: demo by default, made if it is not there;
#   SERIES: `audits` in the folder that infra/twelve_weeks.sh made, for the picture of an audit
set -euo pipefail
cd "$(dirname "$0")/.."
bash infra/setup.sh
study=${1:-demo}
.venv/bin/nhd demo --out "$study"
.venv/bin/nhd atlas --run "$study/baseline" --beside "$study/current" --out "$study/atlas"
.venv/bin/python infra/screenshots.py "$study" infra/pictures ${2:+"$2"}
