"""Text without secrets: URLs as they may be shown, stored and compared."""

import re
from collections.abc import Iterable
from urllib.parse import quote

from pipelines.errors import UsageError

SHORTEST = 8  # characters; shorter secrets occur by chance in harmless text
_STORE = re.compile(r"(?:[\w.+-]+::)*(?:s3a?|gs|gcs|az|abfss?)://", re.IGNORECASE)
CONTAINERS = ("abfs", "abfss", "wasb", "wasbs")  # container@account: not a user's name

# An AWS secret may hold slashes that nobody escaped; `host:8080/path@x` is no password.
_PASSWORD = r"(?:[A-Z0-9]{16,}:|[^\s/?#@:]*:(?!\d{1,5}[/?#]))[A-Za-z0-9+/=%._~-]+@"
_USERINFO = re.compile(rf"://(?:{_PASSWORD}|(?P<userinfo>[^\s/?#]*)@)")
_NAME = (
    r"(?:x-(?:amz|goog|oss|cos|ms)-[\w-]+"
    r"|[\w.-]*(?:signature|token|secret|password|passwd|credentials?|accessid"
    r"|access[-_]?key(?:[-_]?id)?|api[-_]?key|account[-_]?key)"
    r"|sig|key|pwd|auth|authorization|expires|policy|key-pair-id"
    # Azure's shared access signatures
    r"|s[eprtv]|spr|sip|ss|srt|ses|sdd|scid|sk[est]|skv|skoid|sktid|saoid|suoid)"
)
# The value ends with the parameter, the URL, or a quote that closes it in a sentence.
_VALUE = r"(?:(?![\"'<>`](?:[\s,;:.)\]}>]|\Z)|::[A-Za-z][A-Za-z0-9+.-]*://)[^&#\s])*+"
_AND = r"&(?:amp;)?"
_PARAMETERS = re.compile(
    rf"(?P<before>[?#]|{_AND}){_NAME}={_VALUE}(?:{_AND}{_NAME}={_VALUE})*+(?P<after>{_AND})?",
    re.IGNORECASE,
)


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """`text` without the credentials of the URLs in it, and with *** for each of `secrets`.

    User names and passwords before a host go, and query parameters that sign or authorise; the
    other parameters stay, and so do `secrets` of fewer than SHORTEST characters. Redacting twice
    changes nothing more.
    """
    known = [secret for secret in secrets if len(secret) >= SHORTEST]
    forms = {form for secret in known for form in (secret, quote(secret), quote(secret, safe=""))}
    hidden = sorted(forms, key=len, reverse=True)
    while (clean := _redact_once(text, hidden)) != text:
        text = clean
    return text


def _redact_once(text: str, hidden: list[str]) -> str:
    """Only ever shortens, so that repeating it comes to an end."""
    for secret in hidden:
        text = text.replace(secret, "***")
    text = _USERINFO.sub(_without_user, text)
    return _PARAMETERS.sub(lambda found: found["before"] if found["after"] else "", text)


def _without_user(found: re.Match[str]) -> str:
    scheme = found.string[max(0, found.start() - 5) : found.start()].lower()
    userinfo = found["userinfo"]
    container = scheme.endswith(CONTAINERS) and userinfo and ":" not in userinfo
    return found[0] if container else "://"


def refuse_credentials(url: str) -> str:
    """The URL; UsageError if it is an object store's and holds credentials, which would show in
    logs, dashboards and the shell's history."""
    if _STORE.match(url) and _USERINFO.sub(_without_user, url) != url:
        raise UsageError(
            f"the URL of {without_secrets(url)} holds credentials; leave them out of it: they "
            "come from the environment, an instance role or a Kubernetes secret"
        )
    return url


def without_secrets(url: str) -> str:
    """The name of what is at `url`: the same for every signature and user it is read with."""
    return redact(url) if "://" in url else url
