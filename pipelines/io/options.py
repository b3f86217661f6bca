"""Options of stores that come from the environment, and which of them may travel to other nodes.

Options are fsspec's own: FSSPEC_S3='{"requester_pays": true}' or FSSPEC_S3_REQUESTER_PAYS=true,
next to the clouds' variables such as AWS_ENDPOINT_URL and AWS_REGION. Ray shows the environment
of its workers in its dashboard and logs, so secrets never travel: a node has its own, from its
environment, its instance role or a Kubernetes secret.
"""

import json
import os
import re
from collections.abc import Mapping
from typing import Any

from pipelines.io.redaction import redact

PASSED_ON = re.compile(
    r"FSSPEC_(?!CONFIG_DIR$)\w+|NHD_(?!CACHE)\w+"  # where there is room, each machine knows
    r"|AWS_(ENDPOINT_URL\w*|REGION|DEFAULT_REGION|MAX_ATTEMPTS|RETRY_MODE|USE_\w+_ENDPOINT"
    r"|REQUEST_CHECKSUM_CALCULATION|RESPONSE_CHECKSUM_VALIDATION|EC2_METADATA_DISABLED)"
    r"|STORAGE_EMULATOR_HOST|GOOGLE_CLOUD_PROJECT|AZURE_STORAGE_ACCOUNT_NAME"
    r"|HF_(ENDPOINT|HUB_OFFLINE|HUB_DOWNLOAD_TIMEOUT)"
)
SECRET = re.compile(
    r"(^|[_-])(key|pass|passwd|password|pwd|sas|auth|signature|cookies?)([_-]|$)"
    r"|(access|account|api)[_-]?key|key[_-]?id|secret|token|credential|authorization"
    r"|connection[_-]string|private|webhook",
    re.IGNORECASE,
)
NO_TOKEN = {"anon", "cloud", "google_default"}  # gcsfs's words for where a token comes from


def passed_on(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The variables that workers on other nodes need too: options of stores, and nhd's own.

    None that may hold a secret; those are in `withheld`.
    """
    return {name: value for name, value in _wanted(environment).items() if not _secret(name, value)}


def withheld(environment: Mapping[str, str] = os.environ) -> list[str]:
    """The names of variables that `passed_on` leaves out because they may hold a secret."""
    return [name for name, value in _wanted(environment).items() if _secret(name, value)]


def _wanted(environment: Mapping[str, str]) -> dict[str, str]:
    found = {name: value for name, value in environment.items() if PASSED_ON.fullmatch(name)}
    return dict(sorted(found.items()))


def _secret(name: str, value: str) -> bool:
    try:
        options = json.loads(value)
    except ValueError:
        options = value
    return _holds_secret({name: options})


def _holds_secret(options: Any) -> bool:
    if isinstance(options, dict):
        names = [name for name, of in options.items() if SECRET.search(str(name))]
        told = any(str(options[name]) not in NO_TOKEN for name in names)
        return told or any(map(_holds_secret, options.values()))
    if isinstance(options, list):
        return any(map(_holds_secret, options))
    return isinstance(options, str) and redact(options) != options
