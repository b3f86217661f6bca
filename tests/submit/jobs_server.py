"""A server that speaks Ray's Jobs protocol and plays what it is told: for ends that are rare."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web


@dataclass
class Play:
    """How one job goes."""

    state: str = "SUCCEEDED"
    code: int | None = 0
    log: str = ""
    message: str = ""
    cuts: list[int] = field(default_factory=list)
    """Characters after which each connection to the log is cut, in turn; the next one is not."""


class JobsServer:
    """Plays one of `plays` per job that is submitted."""

    def __init__(self, plays: list[Play]) -> None:
        self.plays = plays
        self.jobs: dict[str, Play] = {}
        self.requests: list[dict[str, Any]] = []
        self.token = ""
        self.forgets = ""
        self.url = ""

    def app(self) -> web.Application:
        """Its routes."""
        app = web.Application(middlewares=[self._token])
        app.router.add_get("/api/version", self._version)
        app.router.add_get("/api/packages/{protocol}/{name}", self._package)
        app.router.add_put("/api/packages/{protocol}/{name}", self._package)
        app.router.add_post("/api/jobs/", self._submit)
        app.router.add_get("/api/jobs/", self._list)
        app.router.add_get("/api/jobs/{id}", self._job)
        app.router.add_post("/api/jobs/{id}/stop", self._stop)
        app.router.add_get("/api/jobs/{id}/logs", self._log)
        app.router.add_get("/api/jobs/{id}/logs/tail", self._tail)
        return app

    @web.middleware
    async def _token(self, request: web.Request, handler: Any) -> Any:
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if self.token and given != self.token:
            return web.Response(status=403 if given else 401, text="no")
        return await handler(request)

    async def _version(self, _: web.Request) -> web.Response:
        return web.json_response({"version": "4", "ray_version": "2.60.0", "ray_commit": "x"})

    async def _package(self, _: web.Request) -> web.Response:
        return web.Response()

    async def _submit(self, request: web.Request) -> web.Response:
        asked = await request.json()
        name = asked["submission_id"]
        if name in self.jobs:
            text = f"ValueError: Job with submission_id {name} already exists. Please use"
            return web.Response(status=500, text=text)
        self.requests.append(asked)
        self.jobs[name] = self.plays.pop(0)
        return web.json_response({"job_id": name, "submission_id": name})

    def _details(self, name: str) -> dict[str, Any]:
        play = self.jobs[name]
        state = "RUNNING" if play.cuts else play.state
        return {
            "type": "SUBMISSION", "submission_id": name, "status": state,
            "entrypoint": "python -m jobs.cli fit --run x", "message": play.message,
            "driver_exit_code": play.code, "start_time": 1000, "end_time": 61000,
        }  # fmt: skip

    async def _list(self, _: web.Request) -> web.Response:
        return web.json_response([self._details(name) for name in self.jobs])

    async def _job(self, request: web.Request) -> web.Response:
        name = request.match_info["id"]
        if name not in self.jobs or (name == self.forgets and not self.jobs[name].cuts):
            return web.Response(status=404, text=f"Job {name} does not exist")
        return web.json_response(self._details(name))

    async def _stop(self, request: web.Request) -> web.Response:
        return web.json_response({"stopped": self.jobs[request.match_info["id"]].code is None})

    async def _log(self, request: web.Request) -> web.Response:
        return web.json_response({"logs": self.jobs[request.match_info["id"]].log})

    async def _tail(self, request: web.Request) -> web.StreamResponse:
        play = self.jobs[request.match_info["id"]]
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        if not play.cuts:
            await socket.send_str(play.log)
            return socket
        end = play.cuts.pop(0)
        for start in range(0, end, 7):
            await socket.send_str(play.log[start : min(end, start + 7)])
        await asyncio.sleep(0.05)
        assert request.transport is not None
        request.transport.abort()
        return socket


@contextmanager
def jobs_server(*plays: Play) -> Iterator[JobsServer]:
    """A server on loopback for a while, in a thread."""
    server, loop, ready = JobsServer(list(plays)), asyncio.new_event_loop(), threading.Event()

    async def serve() -> web.AppRunner:
        runner = web.AppRunner(server.app(), shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        assert site._server is not None
        port = site._server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
        server.url = f"http://127.0.0.1:{port}"
        ready.set()
        return runner

    def run() -> None:
        runner = loop.run_until_complete(serve())
        loop.run_forever()
        loop.run_until_complete(runner.cleanup())

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    ready.wait(10)
    yield server
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
