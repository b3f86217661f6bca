#!/bin/sh
# Run by Kubernetes before a worker's pod is stopped: Ray gives the node no more work, nhd's worker
# hands back or finishes its shard, and the raylet leaves when nothing runs here any more. The command
# that started it stays, so this script looks for the raylet itself.
#
# $1     seconds until the pod is killed: a little less than its grace period
# PROC   where processes are listed
grace=$1

raylet() { cat "${PROC:-/proc}"/[0-9]*/comm 2>/dev/null | grep -qx raylet; }

# Bounded, because the head may be gone already: then there is nobody to tell.
timeout 20 ray drain-node --reason DRAIN_NODE_REASON_PREEMPTION \
    --reason-message "the pod is being stopped" --deadline-remaining-seconds "$grace" || exit 0
until [ "$grace" -le 0 ] || ! raylet; do
    sleep 1
    grace=$((grace - 1))
done
