#!/bin/sh
# A hook of `nhd audit`: files the verdict as FOLDER/NAME.json, and as FOLDER/latest.json.
#
#     notify: {command: [/opt/nhd/infra/schedule/hooks/file.sh, /srv/verdicts], when: always}
#
# The verdict comes as JSON on standard input. Needs jq.
set -eu

folder=${1:?usage: file.sh FOLDER}
mkdir -p "$folder"
new=$(mktemp "$folder/.new.XXXXXX")
trap 'rm -f "$new"' EXIT
cat > "$new"
name=$(jq -er '.name | tostring | gsub("[^A-Za-z0-9._-]"; "-") | ltrimstr(".")' "$new")
chmod 644 "$new"
cp "$new" "$new.copy"
# Renamed into place: a reader never sees half a verdict.
mv "$new.copy" "$folder/${name:?the verdict has no name}.json"
mv "$new" "$folder/latest.json"
