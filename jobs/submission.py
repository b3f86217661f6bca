"""The arguments of `nhd submit`: its own, and those of the command that it sends."""

import math
import os
import re
import secrets as random
import shlex
import time
from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING

from jobs.arguments import Flag, names
from jobs.sent import Sent, sent
from pipelines.environment import secrets
from pipelines.errors import UsageError
from pipelines.io.options import SECRET
from pipelines.io.urls import redact

if TYPE_CHECKING:
    from jobs.commands.submit import Submit
    from pipelines.submit.job import Driver, Request

SLIPS = ("cpu", "gpu", "mem")
SEEN = "a job's command and environment are seen by all who reach Ray's dashboard"


def arranged(arguments: list[str], submit: type) -> list[str]:
    """The own flags of the dataclass `submit` first, then `--` and the command to be sent.

    They are known by their names, before or after the command; behind a `--` all is the command's.
    """
    valued = {_flag(f.name): f.type != Flag for f in fields(submit) if f.name != "command"}
    own: list[str] = []
    inner: list[str] = []
    waiting = [word for word in arguments if word != "--debug"]
    while waiting:
        word = waiting.pop(0)
        name = word.partition("=")[0].replace("_", "-")
        if word == "--":
            inner += waiting
            break
        if name in valued or (word in ("-h", "--help") and not inner):
            own.append(word)
            if valued.get(name) and "=" not in word and waiting:
                own.append(waiting.pop(0))
        else:
            inner.append(word)
    debug = ["--debug"] if inner and "--debug" in arguments else []
    return [*own, "--", *inner, *debug] if inner else own


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def request(submit: "Submit") -> tuple["Request", Sent]:
    """The job that is asked for, and what it takes along.

    Raises UsageError, before anything is sent, for what is wrong with it.
    """
    from pipelines.submit.job import Request
    from pipelines.submit.wheel import wheel

    _public(submit.command)
    found = sent(submit.command, parsed(submit.command))
    asked = Request(
        id=_name(submit.id, submit.command[0]),
        entrypoint=shlex.join(["python", "-m", "jobs.cli", *found.command]),
        driver=_driver(submit.driver),
        env=dict(_variable(text, os.environ) for text in submit.env),
        files=found.files,
        code=wheel() if submit.ship == "wheel" else None,
    )
    return asked, found


def parsed(command: tuple[str, ...]) -> object:
    """The command that is to be sent, as it is understood; ends with 2 if it is not."""
    import tyro

    from jobs.commands import Command

    if command[0] == "submit":
        raise UsageError("submit cannot submit itself; name the command that is to be run")
    arguments = [word for word in command if word != "--debug"]
    return tyro.cli(
        Command,  # type: ignore[arg-type]
        prog="nhd",
        args=arguments,
        config=(tyro.conf.OmitArgPrefixes,),
    )


def _public(command: tuple[str, ...]) -> None:
    """Refuse credentials in arguments."""
    for word in command:
        if redact(word, secrets()) != word:
            raise UsageError(
                f"{redact(word, secrets())} was given with a password or signature, and {SEEN}; "
                "a list of shards can be a file (@shards.txt), which is not shown"
            )


def _variable(text: str, environment: Mapping[str, str]) -> tuple[str, str]:
    """`NAME=VALUE`, or the NAME of a variable here. Raises UsageError for what may be a secret."""
    name, given, value = text.partition("=")
    if not re.fullmatch(r"[A-Za-z_]\w*", name):
        raise UsageError(f"--env takes NAME=VALUE or NAME, not '{redact(text, secrets())}'")
    if not given:
        if name not in environment:
            raise UsageError(f"--env {name}: there is no such variable here; give {name}=VALUE")
        value = environment[name]
    if SECRET.search(name) or redact(value, secrets()) != value:
        raise UsageError(
            f"--env {name} looks like a secret, and {SEEN}; give the nodes their own, by their "
            "environment, an instance role or a Kubernetes secret"
        )
    return name, value


def _driver(text: str) -> "Driver":
    """`cpus=4,memory=8000,big=1` → what the command itself needs."""
    from pipelines.submit.job import Driver

    try:
        pairs = [part.partition("=") for part in names(text)]
        amounts = {name.strip(): float(amount) for name, _, amount in pairs}
    except ValueError:
        raise UsageError(
            f"--driver takes amounts by name, such as cpus=4,gpus=1,memory=8000,big=1, not '{text}'"
        ) from None
    if any(not 0 <= amount < math.inf for amount in amounts.values()):
        raise UsageError(f"--driver takes amounts from 0 on, not '{text}'")
    if slips := [name for name in amounts if name.lower() in SLIPS]:
        raise UsageError(
            f"--driver takes cpus, gpus and memory; '{slips[0]}' would be a resource of the "
            "cluster's own, which no node has"
        )
    cpus, gpus, memory = (amounts.pop(name, 0.0) for name in ("cpus", "gpus", "memory"))
    return Driver(cpus, gpus, int(memory * 2**20), amounts)


def _name(given: str, command: str) -> str:
    if given and not re.fullmatch(r"[\w.-]{1,100}", given):
        raise UsageError(f"--id is '{given}', but takes up to 100 letters, digits, '_', '-', '.'")
    now = time.strftime("%m%d-%H%M%S")
    return given or f"{command}-{now}-{random.token_hex(2)}"
