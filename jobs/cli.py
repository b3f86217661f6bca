"""The `nhd` command: parse, call the pipeline, print, exit with the right code.

0 done; 1 done, but a threshold was crossed; 2 wrong usage; 3 incomplete; 4 the folder is locked.
"""

import json
import os
import signal
import sys
import traceback
from collections.abc import Callable
from typing import Any, NoReturn

import tyro

from jobs.config import Bench, Command, Compare, Demo, Extract, Fit, Scenes, Status, Train
from pipelines.errors import Incomplete, JobError
from pipelines.io.urls import redact

DESCRIPTION = """Neuron-head decomposition of CLIP at dataset scale.

Errors are one sentence; add --debug anywhere for the traceback.
"""


def main(arguments: list[str] | None = None) -> None:
    """Entry point of the console script."""
    arguments = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in arguments
    arguments = [a for a in arguments if a != "--debug"]
    command: Any = tyro.cli(
        Command,  # type: ignore[arg-type]
        prog="nhd",
        description=DESCRIPTION,
        args=arguments or ["--help"],
        config=(tyro.conf.OmitArgPrefixes,),
    )
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what schedulers send first
    try:
        ACTIONS[type(command)](command)
    except KeyboardInterrupt:
        _end("stopped; what is committed stays, run the same command to go on", 3)
    except JobError as error:
        _end(str(error), error.exit_code, debug)
    except Exception as error:
        _end(f"unexpected {type(error).__name__}: {error} (--debug shows where)", 3, debug)


def _end(text: str, code: int, debug: bool = False) -> NoReturn:
    """Say why it ended, without secrets, and exit."""
    if debug:
        print(redact(traceback.format_exc(), _secrets()), file=sys.stderr)
    print(redact(f"nhd: {text}", _secrets()), file=sys.stderr)
    sys.exit(code)


def _secrets() -> list[str]:
    """Values of the environment that must never be printed."""
    names = ("SECRET", "TOKEN", "PASSWORD")
    return [v for k, v in os.environ.items() if len(v) >= 8 and any(n in k.upper() for n in names)]


def extract(command: Extract) -> None:
    """`nhd extract`."""
    from pipelines.extract.job import extract as run
    from pipelines.extract.plan import Plan
    from pipelines.model_spec import ModelSpec

    plan = Plan(
        data=command.data,
        out=command.out,
        model=ModelSpec(command.model, command.pretrained, command.checkpoint),
        concepts=texts(command.concepts),
        pairs_per_concept=command.pairs_per_concept,
        columns=names(command.columns),
        labels=names(command.labels),
        bucket=command.buckets,
        top_pairs=command.top_pairs,
        keep=command.keep,
        dtype=command.dtype,
        batch_size=command.batch_size,
        device=command.device,
        preprocess=command.preprocess,
        workers=command.workers,
        decode_threads=command.decode_threads,
        in_process=command.in_process,
        lease=command.lease_timeout,
        redo_changed=command.redo_changed,
    )
    totals = run(plan)
    print(
        f"{totals['written']} images written, {totals['rejected']} rejected, "
        f"of {totals['read']} read: {redact(command.out)}"
    )


def fit(command: Fit) -> None:
    """`nhd fit`."""
    from pipelines.analyse.fit import FitPlan
    from pipelines.analyse.fit import fit as run

    plan = FitPlan(
        run=command.run,
        words=command.words,
        atoms=command.atoms,
        templates=command.templates,
        fit_on=command.fit_on,
        in_process=command.in_process,
    )
    summary = run(plan)
    print(
        f"{summary['pairs']} pairs fitted on {summary['images']} images, in "
        f"{summary['dictionary']} words: {command.run.rstrip('/')}/fit"
    )


def compare(command: Compare) -> None:
    """`nhd compare`."""
    from pipelines.analyse.compare import ComparePlan
    from pipelines.analyse.compare import compare as run
    from pipelines.errors import UsageError

    values = names(command.values)
    if len(values) not in (0, 2):
        raise UsageError("--values takes two values of the column, such as 2019,2024")
    plan = ComparePlan(
        baseline=command.baseline,
        current=command.current,
        run=command.run,
        by=command.by,
        values=(values[0], values[1]) if values else None,
        out=command.out,
        alpha=command.alpha,
        floor=command.floor,
        seed=command.seed,
    )
    print(run(plan).summary["verdict"])
    print(f"report: {command.out.rstrip('/')}/index.html")


def status(command: Status) -> None:
    """`nhd status`."""
    from pipelines.run.status import lines
    from pipelines.run.status import status as look

    found = look(command.run, command.check)
    print(json.dumps(found, indent=2) if command.json else "\n".join(lines(found)))
    if found.get("problems"):
        raise Incomplete(f"{len(found['problems'])} files are not what their records say")


def scenes(command: Scenes) -> None:
    """`nhd scenes`."""
    from pipelines.tiny.dataset import write_scenes
    from pipelines.tiny.scenes import parse_boost

    boost = usage(parse_boost, command.boost)
    urls = write_scenes(
        command.out,
        command.count,
        command.seed,
        boost,
        command.per_shard,
        command.size,
        command.objects,
    )
    print(f"{command.count} scenes in {len(urls)} shards: {command.out}")


def train(command: Train) -> None:
    """`nhd train`."""
    from pipelines.tiny.train import Training, train_to

    plan = Training(
        seed=command.seed,
        scenes=command.scenes,
        steps=command.steps,
        batch_size=command.batch_size,
        device=command.device,
    )
    record = train_to(plan, command.out)
    print(json.dumps(record, indent=2))


def demo(command: Demo) -> None:
    """`nhd demo`."""
    from pipelines.demo import demo as run

    run(command.out, command.images, command.in_process)


def bench(command: Bench) -> None:
    """`nhd bench`."""
    from pipelines.bench import bench as run

    results = run(command.what, command.out, command.json, command.seed)
    if broken := sum(not result.kept for result in results):
        _end(f"{broken} promises were not kept", 1)


ACTIONS: dict[type, Callable[[Any], None]] = {
    Extract: extract,
    Fit: fit,
    Compare: compare,
    Status: status,
    Scenes: scenes,
    Train: train,
    Bench: bench,
    Demo: demo,
}


def names(text: str) -> tuple[str, ...]:
    """`"a, b"` → ("a", "b")."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def texts(text: str) -> tuple[str, ...]:
    """Concepts: a comma-separated list, or the lines of a file of that name."""
    if not os.path.isfile(text):
        return names(text)
    with open(text, encoding="utf-8") as file:
        return tuple(line.strip() for line in file if line.strip())


def usage(parse: Callable[[str], Any], text: str) -> Any:
    """Turn a ValueError of parsing into a UsageError."""
    from pipelines.errors import UsageError

    try:
        return parse(text)
    except ValueError as error:
        raise UsageError(str(error)) from error


if __name__ == "__main__":
    main()
