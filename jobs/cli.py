"""The `nhd` command: parse, call the pipeline, print, exit with the right code.

0 done; 1 done, but a threshold was crossed; 2 wrong usage; 3 incomplete; 4 the folder is locked.
"""

import os
import signal
import sys
import traceback
from typing import Any, NoReturn

import tyro

from jobs.commands import Command
from jobs.commands.submit import Submit
from jobs.submission import arranged
from pipelines.environment import secrets
from pipelines.errors import JobError
from pipelines.io.urls import redact
from pipelines.run import log
from pipelines.terminal.aligned import plain

DESCRIPTION = """Neuron-head decomposition of CLIP at dataset scale.

Errors are one sentence; add --debug anywhere for the traceback.
"""


class Stopped(KeyboardInterrupt):
    """A stop by signal.

    Of a class of its own: after a plain KeyboardInterrupt has passed through `exec` of a text, as
    where dataclasses are imported, CPython ends a `python -m` by SIGINT, though it was caught.
    """


def main(arguments: list[str] | None = None) -> None:
    """Entry point of the console script."""
    arguments = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in arguments
    if arguments[:1] == ["submit"]:
        arguments = ["submit", *arranged(arguments[1:], Submit)]
    else:
        arguments = [a for a in arguments if a != "--debug"]
    command: Any = tyro.cli(
        Command,  # type: ignore[arg-type]
        prog="nhd",
        description=DESCRIPTION,
        args=arguments or ["--help"],
        config=(tyro.conf.OmitArgPrefixes,),
    )
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    signal.signal(signal.SIGTERM, _stop)  # what schedulers send first
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _stop)
    try:
        log.begin("driver", document=getattr(command, "json", isinstance(command, Submit)))
        command()
    except KeyboardInterrupt:
        _end("stopped; what is committed stays, run the same command to go on", 3)
    except JobError as error:
        _end(str(error), error.exit_code, debug)
    except Exception as error:
        _end(f"unexpected {type(error).__name__}: {error} (--debug shows where)", 3, debug)


def _stop(*_: object) -> NoReturn:
    raise Stopped


def _end(text: str, code: int, debug: bool = False) -> NoReturn:
    """Say why it ended, without secrets, and exit."""
    if debug:
        print(redact(traceback.format_exc(), secrets()), file=sys.stderr)
    lines = map(plain, redact(f"nhd: {text}", secrets()).split("\n"))
    print("\n".join(lines), file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    main()
