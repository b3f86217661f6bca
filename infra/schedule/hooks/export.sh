#!/bin/sh
# A hook of `nhd audit`: hands the audit's report over to other tools, by `nhd export`.
#
#     notify: {command: [/opt/nhd/infra/schedule/hooks/export.sh, csv, /srv/flagged], timeout: 600}
#     notify: {command: [/opt/nhd/infra/schedule/hooks/export.sh, mlflow], timeout: 600}
#
# FORMAT is csv, fiftyone, mlflow or openlineage; each audit gets a folder of its own in FOLDER. An
# audit that was compared with nothing has no report, and there is nothing to do. Needs jq and nhd.
set -eu

format=${1:?usage: export.sh FORMAT [FOLDER]}
verdict=$(cat)
report=$(printf '%s' "$verdict" | jq -r '.report // empty')
name=$(printf '%s' "$verdict" |
    jq -er '.name | tostring | gsub("[^A-Za-z0-9._-]"; "-") | sub("^[.-]+"; "")')
[ -n "$report" ] || exit 0
exec nhd export --report "$report" --format "$format" ${2:+--out "$2/${name:?the verdict has no name}"}
