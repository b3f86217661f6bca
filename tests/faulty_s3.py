"""The process behind `tests.s3_server`: moto's S3, behind a proxy that injects faults.

The proxy answers a share of the requests with one of FAULTS instead of what S3 would say:

    500    InternalError, the request is not carried out
    503    SlowDown, the request is not carried out
    drop   the connection is closed, the request is not carried out
    lost   the request is carried out, then the connection is closed without an answer
    cut    the connection is closed somewhere inside the body, whose full length was announced

An answer without a body cannot be cut and passes whole. It may also be away altogether for some
requests, when connections are closed as they come, or let no more than so many bytes of a body
pass. Bucket names cannot start with a hyphen, so the path /-faults steers the proxy. Run as a
script, it prints where it listens and ends when its standard input does.
"""

import contextlib
import http.client
import json
import logging
import os
import random
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

FAULTS = ("500", "503", "drop", "lost", "cut")
CONTROL = "/-faults"
HOST = "127.0.0.1"
ERRORS = {"500": ("InternalError", "injected"), "503": ("SlowDown", "Please reduce your rate.")}
NOT_FORWARDED = {"connection", "transfer-encoding", "content-length", "expect", "keep-alive"}


class _Faults:
    """Decides on faults, one request at a time, and counts them."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.set(0.0, 0, FAULTS)

    def set(
        self, rate: float, seed: int, faults: Sequence[str], away: int = 0, most: int = 1 << 60
    ) -> None:
        with self.lock:
            self.away, self.most = away, most
            self.rate, self.kinds, self.random = rate, tuple(faults), random.Random(seed)
            self.faults: Counter[str] = Counter()
            self.requests: Counter[str] = Counter()
            self.seen: Counter[str] = Counter()  # what `Seen` of tests.s3_server tells
            self.now = 0

    def next(self, method: str, payer: bool) -> tuple[str | None, float]:
        """The fault for the next request, or None, and where in the body to cut."""
        with self.lock:
            if self.away > 0:
                self.away -= 1
                return "away", 0.0
            self.requests[method] += 1
            self.seen["paid_for"] += payer
            struck = self.random.random() < self.rate
            return (self.random.choice(self.kinds) if struck else None), self.random.random()

    def count(self, fault: str) -> None:
        with self.lock:
            self.faults[fault] += 1

    @contextlib.contextmanager
    def under_way(self, method: str) -> Iterator[None]:
        """Counts the requests for bodies that are carried out together."""
        with self.lock:
            self.now += method == "GET"
            self.seen["at_once"] = max(self.seen["at_once"], self.now)
        try:
            yield
        finally:
            with self.lock:
                self.now -= method == "GET"

    def passed(self, count: int) -> int:
        """How many of `count` bytes of a body may pass."""
        with self.lock:
            self.seen["bytes"] += min(count, self.most)
            return min(count, self.most)

    def report(self) -> bytes:
        told = {"faults": self.faults, "requests": self.requests, "seen": self.seen}
        return json.dumps(told).encode()


class _Proxy(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    state: _Faults
    moto: str

    def _serve(self) -> None:
        body = self._body()
        if self.path == CONTROL:
            if self.command == "PUT":
                self.state.set(**json.loads(body))
            return self._send(200, [], self.state.report())
        payer = "x-amz-request-payer" in self.headers
        fault, where = self.state.next(self.command, payer)
        if fault in ERRORS or fault in ("drop", "away"):
            return self._refuse(fault)
        with self.state.under_way(self.command):
            status, headers, data = self._forward(body)
        if fault is None or (fault == "cut" and (not data or self.command == "HEAD")):
            return self._pass(status, headers, data)
        self.state.count(fault)
        if fault == "cut":
            self._send(status, headers, data, upto=int(where * len(data)))
        self.close_connection = True

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _serve

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return b"".join(parts)

    def _forward(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        headers = {k: v for k, v in self.headers.items() if k.lower() not in NOT_FORWARDED}
        headers["Content-Length"] = str(len(body))
        connection = http.client.HTTPConnection(self.moto.removeprefix("http://"))
        with contextlib.closing(connection):
            connection.request(self.command, self.path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.getheaders(), answer.read()

    def _pass(self, status: int, headers: list[tuple[str, str]], data: bytes) -> None:
        passed = self.state.passed(len(data))
        self._send(status, headers, data, upto=passed)
        self.close_connection |= passed < len(data)

    def _refuse(self, fault: str) -> None:
        self.state.count(fault)
        if fault in ("drop", "away"):
            self.close_connection = True
        else:
            xml = "<Error><Code>{}</Code><Message>{}</Message></Error>".format(*ERRORS[fault])
            self._send(int(fault), [("Content-Type", "application/xml")], xml.encode())

    def _send(
        self, status: int, headers: list[tuple[str, str]], data: bytes, upto: int | None = None
    ) -> None:
        length = str(len(data))
        self.send_response_only(status)
        for name, value in headers:
            if self.command == "HEAD" and name.lower() == "content-length":
                length = value
            elif name.lower() not in NOT_FORWARDED:
                self.send_header(name, value)
        self.send_header("Content-Length", length)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data[:upto])


class _Listener(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):  # clients leave when they like
            super().handle_error(request, client_address)


def _main() -> None:
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # else a line for every request
    moto = ThreadedMotoServer(ip_address=HOST, port=0, verbose=False)
    moto.start()
    _Proxy.state = _Faults()
    _Proxy.moto = "http://{}:{}".format(*moto.get_host_and_port())
    proxy = _Listener((HOST, 0), _Proxy)
    threading.Thread(target=proxy.serve_forever, daemon=True).start()
    endpoint = f"http://{HOST}:{proxy.server_port}"
    print(json.dumps({"endpoint": endpoint, "direct": _Proxy.moto}), flush=True)
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    _main()
