#!/bin/sh
# Creates the RayJob of this period's audit, waits for its end, and ends with nhd's exit code.
#
# A pod that takes over from an evicted one finds the RayJob and waits on. One that was not done
# (exit code 2, 3 or 4, or broken) is deleted and created again; nhd then does what is missing.
#
# JOB, JOB_UID   the Job this pod belongs to; the RayJob is deleted with it
# AUDIT_PERIOD   format of the audit's name for date(1); %G-W%V is a week
# RAYJOB         the suspended RayJob whose spec is copied
# PAUSE          seconds between two looks
set -u

audit=$(date -u "+${AUDIT_PERIOD:-%G-W%V}")
rayjob=nhd-audit-$(printf %s "$audit" | tr '[:upper:]' '[:lower:]' | tr -c '[:lower:][:digit:]' '-')
template=${RAYJOB:-nhd-audit}
pause=${PAUSE:-30}

look() { # FIELD of the RayJob; nothing if there is no RayJob
    kubectl get rayjob "$rayjob" --ignore-not-found -o "jsonpath={$1}"
}

outcome() { # nhd's exit code; nothing while there is none
    case $(look .status.jobDeploymentStatus) in
        Complete)
            if [ "$(look .status.jobStatus)" = SUCCEEDED ]; then echo 0; else echo 3; fi
            ;;
        Failed)
            # Ray's words for the end of the command; a lost cluster or a deadline has others.
            code=$(look .status.message | sed -n '1s/.*failed with exit code \([0-9]*\).*/\1/p')
            case $code in
                [1-4]) echo "$code" ;;
                *) echo 3 ;;
            esac
            ;;
    esac
}

create() {
    spec=$(kubectl get rayjob "$template" -o 'jsonpath={.spec}') && [ -n "$spec" ] || return 1
    owner='{"apiVersion":"batch/v1","kind":"Job","name":"'$JOB'","uid":"'$JOB_UID'"}'
    printf '{"apiVersion":"ray.io/v1","kind":"RayJob","metadata":{"name":"%s","labels":%s,"ownerReferences":[%s]},"spec":%s}' \
        "$rayjob" '{"app.kubernetes.io/part-of":"nhd"}' "$owner" "$spec" |
        sed -e 's/"suspend":true/"suspend":false/' -e "s/@AUDIT@/$audit/g" | kubectl create -f -
}

case $(outcome) in
    2 | 3 | 4)
        echo "$rayjob was not done; submitting it again"
        kubectl delete rayjob "$rayjob" --wait=false || exit 3
        while [ -n "$(look .metadata.name)" ]; do sleep "$pause"; done
        ;;
esac
if there=$(look .metadata.name) && [ -z "$there" ]; then
    create || exit 3
fi
echo "waiting for rayjob/$rayjob (audit $audit)"
missing=0
while code=$(outcome) && [ -z "$code" ]; do
    # Deleted by hand, or the API server is silent: after ten looks the Job decides what is next.
    if [ -n "$(look .metadata.name)" ]; then missing=0; else missing=$((missing + 1)); fi
    [ "$missing" -lt 10 ] || exit 3
    sleep "$pause"
done
look .status.message
echo
echo "nhd ended with exit code $code"
exit "$code"
