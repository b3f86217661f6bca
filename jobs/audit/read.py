"""An audit's configuration file to `Settings`: names filled in, paths made absolute, checked."""

import dataclasses
import os
import re
from datetime import UTC, datetime

from jobs.audit.checks import problems
from jobs.yaml.dataclass import filled
from jobs.yaml.nodes import Node, parse
from pipelines.audit.settings import DEFAULT_LIMIT, Calibrated, Settings
from pipelines.errors import UsageError
from pipelines.io.reading import read_bytes
from pipelines.io.urls import redact

PLACEHOLDERS = ("name", "date", "week")
SCRIPT = re.compile(r"\S+\.(?:py|sh|bash|pl|rb|js|R)")
"""What can be nothing but a script, where a command names it."""


def read_settings(file: str, name: str | None = None, now: datetime | None = None) -> Settings:
    """The settings that a file at a path or URL holds.

    Args:
        name: of this audit, in place of what the file's `name` says.
        now: the time that `{date}` and `{week}` are of; by default this moment.

    Raises UsageError, with file, line and the nearest valid key, for what is wrong.
    """
    place = redact(file)
    try:
        text = read_bytes(file).decode("utf-8")
    except Exception as error:  # stores' own errors are no OSError
        why = redact(str(error)) or type(error).__name__
        raise UsageError(
            f"the configuration {place} cannot be read: {why}; nhd audit --init writes an example"
        ) from error
    root = parse(text, place)
    settings = filled(root, Settings, "the audit")
    settings = _named(root, settings, name, now or datetime.now(UTC))
    settings = _located(root, with_defaults(settings), _folder(file))
    for path, why in problems(settings):
        raise root.find(*path).refuse(why)
    return settings


def with_defaults(settings: Settings) -> Settings:
    """Naming some concepts or labels leaves the limit of the others as it is."""
    given, floor = settings.thresholds, settings.compare.floor
    common = {"default": max(DEFAULT_LIMIT, floor)}
    limits = {
        name: None if (found := getattr(given, name)) is None else common | found
        for name in ("concepts", "labels")
    }
    return dataclasses.replace(settings, thresholds=dataclasses.replace(given, **limits))


def _named(root: Node, settings: Settings, name: str | None, now: datetime) -> Settings:
    """With the placeholders of `name` and `input` filled in."""
    year, week, _ = now.isocalendar()
    values = {"date": f"{now:%Y-%m-%d}", "week": f"{year}-W{week:02d}"}
    chosen = settings.name if name is None else name
    if unknown := [found for found in re.findall(r"\{(.*?)\}", chosen) if found not in values]:
        raise root.find("name").refuse(
            f"'name' has no {{{unknown[0]}}}; there are {{date}} and {{week}}"
        )
    chosen = _replaced(chosen, values)
    if not re.fullmatch(r"[\w-][\w.-]{0,99}", chosen):
        which = "--name" if name is not None else "'name'"
        raise root.find("name").refuse(
            f"{which} is '{chosen}', but names a folder: up to 100 letters, "
            "digits, '_', '-' and '.'"
        )
    data = _replaced(settings.input, {**values, "name": chosen})
    return dataclasses.replace(settings, name=chosen, input=data)


def _replaced(text: str, values: dict[str, str]) -> str:
    for word, value in values.items():
        text = text.replace(f"{{{word}}}", value)
    return text


def _located(root: Node, settings: Settings, folder: str) -> Settings:
    """With local paths taken from the folder of the file, and concepts read from theirs."""
    model, baseline, notify = settings.model, settings.baseline, settings.notify
    concepts = settings.concepts
    node = root.find("concepts")
    if concepts and not node.is_sequence:
        concepts = _lines(node, _absolute(folder, concepts[0]))
    lens = settings.lens
    if settings.fixed_lens is not None:
        lens = _absolute(folder, settings.fixed_lens)
    if isinstance(lens, Calibrated) and _is_file(lens.calibrate.words):
        words = _absolute(folder, lens.calibrate.words or "")
        lens = Calibrated(dataclasses.replace(lens.calibrate, words=words))
    return dataclasses.replace(
        settings,
        out=_absolute(folder, settings.out).rstrip("/"),
        input=_pattern(folder, settings.input),
        model=dataclasses.replace(
            model, checkpoint=model.checkpoint and _absolute(folder, model.checkpoint)
        ),
        baseline=dataclasses.replace(
            baseline,
            reference=baseline.reference and _pattern(folder, baseline.reference),
            run=baseline.run and _absolute(folder, baseline.run),
        ),
        concepts=concepts,
        lens=lens,
        notify=dataclasses.replace(notify, command=_command(folder, notify.command)),
    )


def _command(folder: str, words: tuple[str, ...]) -> tuple[str, ...]:
    """With the paths of a program that has no plain name, and of scripts that lie beside the file,
    as in `[python, tell.py]`."""
    found = list(words)
    for index, word in enumerate(words):
        path = _absolute(folder, word)
        if ("/" in word) if index == 0 else (SCRIPT.fullmatch(word) and os.path.isfile(path)):
            found[index] = path
    return tuple(found)


def _folder(file: str) -> str:
    if "://" in file:
        return file.rpartition("/")[0]
    return os.path.dirname(os.path.abspath(os.path.expanduser(file)))


def _absolute(folder: str, path: str) -> str:
    if "://" in path or "::" in path or os.path.isabs(path) or path.startswith("~"):
        return os.path.expanduser(path)
    joined = f"{folder}/{path}"
    return joined if "://" in folder else os.path.normpath(joined)


def _pattern(folder: str, pattern: str) -> str:
    """Each part of a pattern; commas inside braces separate no parts."""
    if pattern.startswith("@"):
        return "@" + _absolute(folder, pattern[1:])
    parts = re.split(r",(?![^{]*\})", pattern)
    return ",".join(_absolute(folder, part.strip()) for part in parts if part.strip())


def _is_file(words: str | None) -> bool:
    return words is not None and words != "scenes" and not words.startswith("common:")


def _lines(node: Node, file: str) -> tuple[str, ...]:
    try:
        lines = [line.strip() for line in read_bytes(file).decode("utf-8").splitlines()]
    except Exception as error:
        raise node.refuse(
            f"the file of concepts {redact(file)} cannot be read ({redact(str(error))}); give a "
            "list, as in [yellow, car], or a file with one per line"
        ) from error
    return tuple(line for line in lines if line)
