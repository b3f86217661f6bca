"""An audit's settings as a configuration file again, for a cluster to read."""

import contextlib
import dataclasses
import os
from typing import Any

from jobs.audit.read import SCRIPT, read_settings
from jobs.sent import FOLDER, Sent
from jobs.yaml.dataclass import OFF
from pipelines.audit.settings import Calibrated, Settings
from pipelines.errors import UsageError


def sendable(found: Sent, command: Any, file: str) -> str:
    """Send a configuration, checked here and with all that it names; its name over there.

    The name of the audit is settled here, so that every attempt continues the same one.
    """
    if command.init:
        raise UsageError("--init writes a file here: run it without submit")
    settings = read_settings(file, command.name)
    model, baseline, lens = settings.model, settings.baseline, settings.lens
    if isinstance(lens, Calibrated) and (words := _file(lens.calibrate.words)):
        there = found.file(words).rpartition("/")[2]  # beside the configuration
        lens = Calibrated(dataclasses.replace(lens.calibrate, words=there))
    elif settings.fixed_lens is not None:
        lens = found.place(settings.fixed_lens)
    program, *more = settings.notify.command or ("",)
    command = (_program(found, program), *(_word(found, word, file) for word in more))
    settings = dataclasses.replace(
        settings,
        out=found.place(settings.out),
        input=_beside(found.pattern(settings.input)),
        model=dataclasses.replace(
            model, checkpoint=model.checkpoint and found.place(model.checkpoint)
        ),
        baseline=dataclasses.replace(
            baseline,
            reference=baseline.reference and _beside(found.pattern(baseline.reference)),
            run=baseline.run and found.place(baseline.run),
        ),
        lens=lens,
        notify=dataclasses.replace(settings.notify, command=command if program else ()),
    )
    return found.file(file, written(settings).encode())


def _program(found: Sent, path: str) -> str:
    """What is told the verdict: a script goes along, a program is there."""
    with contextlib.suppress(OSError), open(path, "rb") as file:
        if os.path.isabs(path) and file.read(2) == b"#!":
            return _beside_it(found, path)
    return found.place(path) if os.path.isabs(path) else path


def _word(found: Sent, word: str, file: str) -> str:
    """An argument of it, such as the script of `[python, tell.py]`."""
    if SCRIPT.fullmatch(word) and os.path.isfile(word):
        return _beside_it(found, word)
    if SCRIPT.fullmatch(word) and not os.path.isabs(word):
        raise UsageError(
            f"the notify command of {file} names {word}, which is not beside that file and so "
            "cannot be sent; put it there, or give the path that it has on the nodes"
        )
    return found.place(word) if os.path.isabs(word) else word


def _beside_it(found: Sent, path: str) -> str:
    """A script that was sent, as the configuration names it from where both lie."""
    return "./" + found.file(path).rpartition("/")[2]


def written(settings: Settings) -> str:
    """The text of a configuration file that holds these settings."""
    import yaml

    return yaml.safe_dump(_mapping(settings), sort_keys=False, allow_unicode=True)


def _file(words: str | None) -> str | None:
    """The dictionary, if it is a file here."""
    return words if words and words.startswith("/") else None


def _beside(pattern: str) -> str:
    """A list that was sent lies beside the configuration, which names it from there."""
    return "@" + pattern.rpartition("/")[2] if pattern.startswith(f"@{FOLDER}/") else pattern


def _mapping(value: Any) -> dict[str, Any]:
    """A dataclass's fields, without those that are as they would be anyway."""
    found = {}
    for field in dataclasses.fields(value):
        given = getattr(value, field.name)
        default = field.default
        if field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        if given != default:
            found[field.name] = _plain(given)
    return found


def _plain(value: Any) -> Any:
    if value is None:
        return OFF
    if dataclasses.is_dataclass(value):
        return _mapping(value)
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    return value
