"""`nhd submit`: its arguments, and what it calls."""

import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from jobs.arguments import Flag
from pipelines.errors import Incomplete, UsageError
from pipelines.terminal.aligned import plain

if TYPE_CHECKING:
    from pipelines.submit.client import Server
    from pipelines.submit.job import Request

LOCAL = "http://127.0.0.1:8265"  # where `ray start --head` puts it


@dataclass(frozen=True)
class Submit:
    """Any other command of nhd, run as a job of a Ray cluster; its output, its exit code.

    nhd submit --address http://head:8265 extract --data s3://... --out s3://...

    Small files that it names go along: concepts, words, classes, a configuration, a list of shards.
    All else must be where the nodes see it. Ctrl-C leaves the job alone.
    """

    command: Annotated[
        tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="COMMAND ...")
    ] = ()
    """The command with its flags. Behind a `--`, all flags are the command's."""
    address: str = ""
    """The cluster's dashboard, which takes jobs: http://head:8265. By default
    RAY_API_SERVER_ADDRESS, RAY_ADDRESS if it is an http address, or http://127.0.0.1:8265."""
    id: str = ""
    """The job's name; by default the command, the time and something random."""
    no_wait: Flag = False
    """Print the job's name and end; --attach follows it later."""
    retries: int = 0
    """Submit again, which resumes, up to so many times if it ends incomplete (3) or dies."""
    attach: str | None = None
    """Follow a job that was submitted before, from its first line on, to its exit code."""
    cancel: str | None = None
    """End a job: what it committed stays, and the same command resumes it."""
    env: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """Environment of the command and its workers: NAME=VALUE, or NAME as it is here."""
    driver: str = ""
    """What is kept free for the command itself, besides its workers: `cpus=4,gpus=1,memory=8000`
    (megabytes), and by other names Ray's custom resources: `big=1`. Otherwise it runs on the
    head."""
    ship: Literal["wheel", "nothing"] = "wheel"
    """`wheel` sends nhd as it is installed here; `nothing` is for nodes that have it. The nodes'
    `python` (on the PATH of `ray start`) has torch, Ray and the like."""

    def __call__(self) -> None:
        self._check()
        try:
            self._do()
        except KeyboardInterrupt:
            more = ", and nothing is submitted again" if self.retries else ""
            raise Incomplete(
                f"stopped here{more}; the cluster goes on with what it was asked for, which nhd "
                "status --jobs lists"
            ) from None

    def _do(self) -> None:
        if self.attach is not None:
            _follow(server_at(self.address), self.attach)
        elif self.cancel is not None:
            _cancel(server_at(self.address), self.cancel)
        else:
            self._submit()

    def _check(self) -> None:
        asked = [bool(self.command), self.attach is not None, self.cancel is not None]
        if sum(asked) != 1:
            raise UsageError(
                "give one of a command to submit, --attach and --cancel; nhd submit --help explains"
            )
        if self.retries < 0:
            raise UsageError("--retries must not be negative")
        if self.no_wait and self.retries:
            raise UsageError(
                "--retries needs somebody who waits for the end of the job: leave out --no-wait"
            )

    def _submit(self) -> None:
        from jobs.submission import request

        asked, with_it = request(self)
        server = server_at(self.address)
        for name, origin in with_it.origins.items():
            say(f"sends {origin} ({_size(len(with_it.files[name]))})")
        if with_it.shared:
            say(f"local paths, which all nodes must share: {_some(with_it.shared)}")
        for line in _differences(server):
            say(line)
        if self.no_wait:
            _send(server, asked)
        else:
            _run(server, asked, self.retries)


def server_at(given: str) -> "Server":
    """The Jobs server at a flag's address, the environment's, or Ray's own default."""
    from pipelines.submit.client import Away, Server

    address = given or _of_environment()
    if not address:
        try:
            return Server(LOCAL)
        except Away as error:
            raise Away(f"no --address was given, and {error}") from error
    if "://" not in address:
        address = f"http://{address}"
    if not address.startswith(("http://", "https://")):
        raise UsageError(
            f"jobs are taken at http addresses, such as http://head:8265, not at {address}"
        )
    return Server(address.rstrip("/"))


def _of_environment() -> str:
    """Ray's two variables; RAY_ADDRESS may as well be the cluster's own address, host:6379."""
    other = os.environ.get("RAY_ADDRESS", "")
    return os.environ.get("RAY_API_SERVER_ADDRESS") or (other if other.startswith("http") else "")


def say(text: str) -> None:
    """What submit itself says, apart from what the job says."""
    print(plain(f"submit: {text}"), file=sys.stderr, flush=True)


def _run(server: "Server", asked: "Request", retries: int) -> None:
    from pipelines.submit.attempts import attempts

    sys.exit(attempts(server, asked, retries, sys.stdout, say).exit_code)


def _send(server: "Server", asked: "Request") -> None:
    from pipelines.submit.sentence import how_to_go_on

    server.submit(asked)
    say(f"sent to {server.address}; {how_to_go_on(server, asked.id)}")
    print(asked.id)


def _follow(server: "Server", job: str) -> None:
    from pipelines.submit.follow import follow
    from pipelines.submit.sentence import ending

    ended = follow(server, job, sys.stdout, say)
    say(ending(ended))
    sys.exit(ended.exit_code)


def _cancel(server: "Server", job: str) -> None:
    from pipelines.submit.sentence import ending
    from pipelines.submit.stop import stop

    say(ending(stop(server, job, say)))


def _differences(server: "Server") -> list[str]:
    """Versions that are not the same here and there, where that may matter."""
    from pipelines.submit.client import ray_version

    here, there = f"{sys.version_info[0]}.{sys.version_info[1]}", server.python()
    found = []
    if server.version != ray_version():
        found.append(f"Ray is {ray_version()} here and {server.version} there")
    if there and not there.startswith(f"{here}."):
        found.append(f"Python is {here} here and {there} there; nhd needs 3.11 or later")
    return found


def _size(count: int) -> str:
    return f"{count} bytes" if count < 1000 else f"{count / 1000:.1f} kB"


def _some(paths: list[str]) -> str:
    """A few of them, and how many more."""
    more = f" and {len(paths) - 3} more" if len(paths) > 3 else ""
    return ", ".join(paths[:3]) + more
