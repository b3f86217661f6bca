#!/usr/bin/env bash
# Set up .venv inside the checkout with the tested versions; does nothing when it is current.
set -euo pipefail
cd "$(dirname "$0")/.."

stamp=$(cat pyproject.toml infra/constraints.txt infra/setup.sh | sha256sum | cut -d' ' -f1)
[ -f .venv/stamp ] && [ "$(cat .venv/stamp)" = "$stamp" ] && exit 0

python=
for candidate in python3 python3.11 python3.12 python3.13; do
    if "$candidate" -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        python=$candidate
        break
    fi
done
if [ -z "$python" ]; then
    echo "nhd needs Python 3.11 or later with the venv module; none was found." >&2
    exit 2
fi
echo "Setting up .venv (once; about half a minute with a fast package registry) ..." >&2
rm -rf .venv
"$python" -m venv .venv
.venv/bin/python -m pip install -qq --disable-pip-version-check uv
.venv/bin/uv pip install -q --python .venv/bin/python -c infra/constraints.txt -e '.[dev,s3]'
echo "$stamp" > .venv/stamp
