"""An audit's settings as a configuration file again, for a cluster to read."""

import dataclasses
from typing import Any

from jobs.audit.read import read_settings
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
    if (hook := settings.notify.command) and "/" in hook[0]:
        found.place(hook[0])
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
    )
    return found.file(file, written(settings).encode())


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
