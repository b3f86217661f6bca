"""Patience with stores: what may pass by itself is tried again for a while, in one place.

The stores' own clients repeat a failed request for a few seconds; a store that is away for ten or
thirty is waited for here. The wait is NHD_PATIENCE seconds (60), or as `waiting` says.
"""

import contextlib
import errno
import logging
import os
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from pipelines.errors import UsageError
from pipelines.io.redaction import redact, without_secrets

T = TypeVar("T")

VARIABLE = "NHD_PATIENCE"
SECONDS = 60.0
PAUSES = (0.2, 5.0)  # seconds between tries: the first, and the longest after doubling
SAID_EVERY = 10.0  # seconds between lines about stores that are away
AWAY = {
    errno.EBUSY, errno.EREMOTEIO, errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN,
    errno.EHOSTDOWN, errno.ETIMEDOUT, errno.EPIPE,
}  # fmt: skip
PASSING_STATUS = {408, 425, 429}  # and all from 500 on, but for
UNABLE = {501, 505}  # what the server does not know, such as a conditional write
# Classes of aiohttp, botocore, azure-core and requests, by name so that none need be imported.
PASSING = {
    "ClientConnectionError", "ClientPayloadError", "HTTPClientError", "ConnectionError",
    "ResponseStreamingError", "IncompleteReadError", "IncompleteRead", "ResponseParserError",
    "ServiceRequestError", "ServiceResponseError", "ChunkedEncodingError", "TransportError",
}  # fmt: skip
LASTING = {"SSLError", "ClientSSLError", "ClientConnectorCertificateError"}

_log = logging.getLogger("nhd.stores")
_here = threading.local()
said = [float("-inf")]  # when a line was written last


def patiently(do: Callable[[], T], url: str) -> T:
    """What `do()` returns; while it fails in a way that may pass, it is called again.

    It must bear that. Raises its last error once the patience is at its end, and at once any
    error that says something for good: not there, not allowed, wrong.
    """
    began, pause = time.monotonic(), PAUSES[0]
    told = False
    while True:
        try:
            found = do()
        except Exception as error:
            left = began + patience() - time.monotonic()
            if left <= 0 or not passing(error):
                raise
            told = _say(url, error, left) or told
            time.sleep(min(pause * random.uniform(0.5, 1.0), left))
            pause = min(2 * pause, PAUSES[1])
        else:
            if told:
                away = time.monotonic() - began
                _log.warning("%s is reached again after %.0f s", without_secrets(url), away)
            return found


def patience() -> float:
    """Seconds for which this thread waits for a store; UsageError for a value that is none."""
    told = getattr(_here, "seconds", None)
    if told is not None:
        return float(told)
    try:
        return float(os.environ.get(VARIABLE) or SECONDS)
    except ValueError:
        given = os.environ[VARIABLE]
        raise UsageError(f"{VARIABLE}={given} should be a number of seconds") from None


@contextlib.contextmanager
def waiting(seconds: float) -> Iterator[None]:
    """Let this thread wait no longer than this for stores."""
    before = getattr(_here, "seconds", None)
    _here.seconds = min(seconds, patience())
    try:
        yield
    finally:
        _here.seconds = before


def passing(error: BaseException) -> bool:
    """May the same request succeed in a moment? Stores wrap errors, so the causes count too."""
    chain = list(_causes(error))
    verdicts = [verdict for one in chain if (verdict := _verdict(one)) is not None]
    return verdicts[0] if verdicts else any(map(_away, chain))


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        # What is not there says so while it handles the answer to another question.
        missing = isinstance(error, FileNotFoundError)
        error = error.__cause__ or (None if missing else error.__context__)


def _verdict(error: BaseException) -> bool | None:
    """Where one error of the chain settles it."""
    if {kind.__name__ for kind in type(error).__mro__} & LASTING:
        return False
    if isinstance(error, (PermissionError, FileExistsError)):
        return False
    if isinstance(error, socket.gaierror):  # else nobody knows the name
        return error.errno == socket.EAI_AGAIN
    status = _status(error)
    if status is None or status in UNABLE:
        return None if status is None else False
    return status >= 500 or status in PASSING_STATUS


def _away(error: BaseException) -> bool:
    if isinstance(error, (ConnectionError, TimeoutError)):
        return True
    if {kind.__name__ for kind in type(error).__mro__} & PASSING:
        return True
    return isinstance(error, OSError) and error.errno in AWAY


def _status(error: BaseException) -> int | None:
    """The HTTP status of an answer, where the error is about one."""
    answer = getattr(error, "response", None)
    if isinstance(answer, dict):  # botocore's ClientError
        found = answer.get("ResponseMetadata", {}).get("HTTPStatusCode")
        return found if isinstance(found, int) else None
    # aiohttp's, azure-core's and gcsfs's; aiohttp calls a cut body an error of code 400.
    code = "code" if type(error).__name__ == "HttpError" else "status_code"
    found = getattr(error, "status", None) or getattr(error, code, None)
    return found if isinstance(found, int) else None


def _say(url: str, error: Exception, left: float) -> bool:
    """Say that a store is away, not too often."""
    if time.monotonic() - said[0] < SAID_EVERY:
        return False
    said[0] = time.monotonic()
    why = redact(str(error)) or type(error).__name__
    _log.warning(
        "%s cannot be reached now (%s); trying again for %.0f s", without_secrets(url), why, left
    )
    return True
