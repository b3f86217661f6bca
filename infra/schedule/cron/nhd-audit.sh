#!/usr/bin/env bash
# One scheduled audit: a lock, a log, a few attempts, and a message if a person should look.
#
#     nhd-audit.sh CONFIG [MORE ARGUMENTS OF nhd audit]
#
# Everything is passed to `nhd audit --config CONFIG ...`, the same arguments at every attempt, so
# give --name what the schedule means (the week), not what the clock says when an attempt starts.
# Ends with nhd's exit code. On 0 it prints nothing: cron mails what a job prints.
#
# NHD=nhd                   the command
# NHD_AUDIT_STATE           folder of locks and logs (~/.local/state/nhd-audit)
# NHD_AUDIT_ATTEMPTS=4      how often an incomplete audit (exit code 3, or killed) is started in all
# NHD_AUDIT_PAUSE=300       seconds between attempts
# NHD_AUDIT_NOTIFY          a command that gets CODE and SUBJECT as arguments and the end of the log
#                           on standard input; without it the message is printed, so cron mails it
# NHD_AUDIT_LOGS=60         how many logs are kept
set -uo pipefail

if [ $# -lt 1 ]; then
    echo "usage: nhd-audit.sh CONFIG [MORE ARGUMENTS OF nhd audit]" >&2
    exit 2
fi
config=$1
shift
nhd=${NHD:-nhd}
state=${NHD_AUDIT_STATE:-${XDG_STATE_HOME:-$HOME/.local/state}/nhd-audit}
attempts=${NHD_AUDIT_ATTEMPTS:-4}
pause=${NHD_AUDIT_PAUSE:-300}
# Two configurations of one base name must not share a lock.
id=$(basename "$config" | tr -c 'A-Za-z0-9._\n' '-').$(realpath -m "$config" | cksum | cut -d' ' -f1)
log=$state/$id.$(date -u +%Y%m%dT%H%M%SZ).$$.log
child=

tell() { # CODE SUBJECT
    if [ -n "${NHD_AUDIT_NOTIFY:-}" ]; then
        # Unquoted on purpose: a command with its arguments.
        # shellcheck disable=SC2086
        tail -n 20 "$log" | $NHD_AUDIT_NOTIFY "$1" "$2" && return
        echo "the notification failed: $NHD_AUDIT_NOTIFY"
    fi
    echo "$2"
    tail -n 20 "$log"
    echo "log: $log"
}

# shellcheck disable=SC2317  # it is reached through the trap
stop() { # pass the signal on; nhd commits what it has and exits with 3
    trap '' TERM INT
    if [ -n "$child" ]; then
        kill -TERM "$child" 2>/dev/null
        wait "$child"
    fi
    echo "stopped by a signal; the same command goes on" >> "$log"
    exit 3
}

mkdir -p "$state" || exit 2
: > "$log" || exit 2
exec 9> "$state/$id.lock"
if ! flock --nonblock 9; then
    echo "another $0 is busy with $config on this machine" >> "$log"
    tell 4 "audit $config did not start: the last one is still running"
    exit 4
fi
trap stop TERM INT

for ((attempt = 1; ; attempt++)); do
    echo "$(date -u +%FT%TZ) attempt $attempt of $attempts: $nhd audit --config $config $*" >> "$log"
    # The lock's descriptor stays ours: a worker that outlives the audit must not hold it.
    "$nhd" audit --config "$config" "$@" >> "$log" 2>&1 9>&- < /dev/null &
    child=$!
    wait "$child" 2>> "$log"  # where bash says that it was killed
    code=$?
    child=
    echo "$(date -u +%FT%TZ) exit code $code" >> "$log"
    # 3 is incomplete; above 128 it was killed, for example for memory. Both resume.
    if { [ "$code" -ne 3 ] && [ "$code" -le 128 ]; } || [ "$attempt" -ge "$attempts" ]; then
        break
    fi
    sleep "$pause" 9>&- &
    child=$!
    wait "$child"
    child=
done

case $code in
    0) ;;
    1) tell 1 "audit $config: a threshold was crossed" ;;
    2) tell 2 "audit $config: the configuration is wrong, nothing was audited" ;;
    4) tell 4 "audit $config did not start: another run holds its folder" ;;
    *) tell "$code" "audit $config: incomplete after $attempt attempts; the same command resumes" ;;
esac
find "$state" -maxdepth 1 -name "$id.*.log" | sort -r | tail -n "+$((${NHD_AUDIT_LOGS:-60} + 1))" |
    xargs -r -d '\n' rm -f --
exit "$code"
