#!/usr/bin/env bash
# Debian's programs that some tests drive: a browser, Prometheus, shellcheck. Without them those are skipped.
set -euo pipefail
missing=()
for program in chromium prometheus shellcheck; do
    command -v "$program" >/dev/null || missing+=("$program")
done
[ ${#missing[@]} -eq 0 ] && exit 0
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
