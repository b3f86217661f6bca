#!/bin/sh
# A hook of `nhd audit`: posts a crossed verdict to a Slack-compatible webhook.
#
#     notify: {command: [/opt/nhd/infra/schedule/hooks/slack.sh], when: crossed}
#
# The verdict comes as JSON on standard input. NHD_WEBHOOK_URL is the address: a secret, so it
# comes from the environment, and goes to curl through a file descriptor, not its command line.
# Needs curl and jq.
set -eu

: "${NHD_WEBHOOK_URL:?set NHD_WEBHOOK_URL to the address of the webhook}"
message=$(jq -e '
    # Names in a verdict come from data: & < > are the characters that Slack gives a meaning.
    def plain: tostring | gsub("&"; "&amp;") | gsub("<"; "&lt;") | gsub(">"; "&gt;");
    {text: (
        ["*\(.audit | plain)*, \(.name | plain): \(.sentence | plain)"]
        + [.causes[]? | "• \(.text | plain), since \(.since | plain)"]
        + [if .page then "Page: \(.page | plain)" else empty end]
        | join("\n"))}')
printf 'url = "%s"\n' "$NHD_WEBHOOK_URL" |
    curl --silent --show-error --fail --max-time 20 --retry 3 --config - \
        --header 'Content-Type: application/json' --data "$message" --output /dev/null
