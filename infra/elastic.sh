#!/usr/bin/env bash
# The elastic proof: an audit on a Ray cluster of several machines, of which one comes late, one
# loses power, and the store is cut off for ten seconds; it must end as in a single process.
#
#     bash infra/elastic.sh [FOLDER]
#
# FOLDER (elastic by default) keeps the logs and the twin's results. Each machine has network
# namespaces of its own: Linux, iproute2, and root or unprivileged user namespaces are needed.
set -euo pipefail
cd "$(dirname "$0")/.."
bash infra/setup.sh

spaces=(--net --mount --pid --fork --kill-child --mount-proc)
[ "$(id -u)" = 0 ] || spaces=(--user --map-root-user "${spaces[@]}")
trial='ip link add nhd0 type bridge && unshare --net --mount --pid --uts --ipc --fork --mount-proc true'
if ! why=$(unshare "${spaces[@]}" sh -c "$trial" 2>&1); then
    echo "This proof needs network namespaces (as root, or where unprivileged user namespaces" \
        "are allowed; a container needs --privileged), and iproute2: $(head -n 1 <<<"$why")" >&2
    exit 2
fi
PATH="$PWD/.venv/bin:$PATH" exec unshare "${spaces[@]}" .venv/bin/python -m infra.elastic "$@"
