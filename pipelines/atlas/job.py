"""`nhd atlas`: units are chosen, their exemplars read again once, and the site written."""

import json
import re
import time
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from tqdm import tqdm

from pipelines.atlas import tiles
from pipelines.atlas.facts import facts_of
from pipelines.atlas.model import About
from pipelines.atlas.pages import Source, missing, neuron_pages, pair_pages
from pipelines.atlas.plan import AtlasPlan
from pipelines.atlas.rows import Item, items_of, rows_of
from pipelines.atlas.site import write_site
from pipelines.atlas.tiler import QUALITY, SIDE, Finished, Settings, Tiler
from pipelines.atlas.units import Units, units_of
from pipelines.errors import Incomplete, ShardError, UsageError
from pipelines.explain.fitted import Fitted, open_fitted
from pipelines.extract.batch_size import ON_CPU, ON_GPU
from pipelines.extract.job import code_version
from pipelines.io.files import PARTIAL, write_json
from pipelines.io.listing import absolute
from pipelines.io.store import Run
from pipelines.io.urls import redact, without_secrets
from pipelines.model_spec import ModelSpec
from pipelines.run import lock
from pipelines.run.cluster import ray_session
from pipelines.run.identity import job_in
from pipelines.run.pool import device_of, pool_of
from pipelines.run.progress import LINE_EVERY
from pipelines.run.watched import run_watched

CONTENTS = "atlas.json"
OWN = {
    "images": r"[0-9a-f]{64}\.jpg",
    "work": r".+-[0-9a-f]{16}\.parquet",
    "pairs": r"\d+-\d+\.html",
    "neurons": r"\d+\.html",
    "lists": r"(pairs-|neurons-|head-)[a-z0-9-]+\.html",
    "topics": r"[a-z0-9-]+\.html",
}
"""Folders that an atlas writes into, and what its files there are called: nothing else may go."""


@dataclass(frozen=True)
class Atlas:
    """What was written, and what to say of it."""

    index: str
    pages: int
    pairs: int
    neurons: int
    missing: int
    """Tiles without an image."""
    gone: tuple[str, ...]
    """What kept whole shards from being read, one sentence each."""


def atlas(plan: AtlasPlan) -> Atlas:
    """Make or renew the atlas of a run.

    Raises UsageError for a run without a fit or with images added since, for other weights than
    its own or the folder's atlas's, and for a folder that is a run itself; Locked if another build
    works in the folder; Incomplete if a worker failed for any reason but an unreadable shard.
    """
    out = Run(absolute(plan.out))
    _check(plan, out)
    session = nullcontext() if plan.in_process else ray_session()  # once for all that asks for it
    with session, lock.held(out, _say) as held:
        return _atlas(plan, out, held)


def _check(plan: AtlasPlan, out: Run) -> None:
    """Raise UsageError for a folder in which an atlas would mix with other things."""
    above = out.url.rstrip("/").rpartition("/")[0]  # of a bucket, nothing that has a name
    folders = [out, *([] if above.endswith("/") else [Run(above)])]
    if any(folder.exists("run.json") for folder in folders):
        raise UsageError(
            f"{redact(plan.out)} is or is in a run folder; give the atlas a folder of its own"
        )
    if out.exists("index.html") and not out.exists("assets", "atlas.css"):
        raise UsageError(
            f"{redact(plan.out)} has an index.html that is not an atlas's; choose another --out"
        )


def _atlas(plan: AtlasPlan, out: Run, held: lock.Held) -> Atlas:
    fitted = open_fitted(plan.run)
    earlier = json.loads(out.read(CONTENTS)) if out.exists(CONTENTS) else None
    units = units_of(fitted, plan, earlier)
    facts = facts_of(fitted, units, plan.beside)
    rows = rows_of(fitted, units, plan.tiles)
    items = items_of(fitted, rows, _how(fitted))
    gone = _read_again(plan, fitted, out, items, held)
    source = Source(fitted, units, facts, rows, tiles.read(out, items))
    about = _about(plan, source)
    with tqdm(unit="file", leave=False, disable=None) as bar:
        pages = write_site(out.url, about, pair_pages(source), neuron_pages(source), _shown(bar))
    held.beat()
    held.check()  # or what is swept may be another's
    images = {f"images/{seen.image}" for seen in source.found.values()}
    _sweep(out, {*pages, *images})
    write_json(out.at(CONTENTS), _contents(plan, units, about))
    made = sum(page.endswith(".html") for page in pages)
    counts = made, len(units.pairs), len(units.neurons)
    return Atlas(out.at("index.html"), *counts, about.missing, tuple(gone))


def _read_again(
    plan: AtlasPlan, fitted: Fitted, out: Run, items: list[Item], held: lock.Held
) -> list[str]:
    """Make the tiles of every shard that has none yet; say why of those that cannot be read."""
    there = set(out.names(tiles.FOLDER))
    waiting = [item for item in items if tiles.name_of(item) not in there]
    if already := len(items) - len(waiting):
        _say(f"{already} of {len(items)} shards already read")
    if not waiting:
        return []

    def keep(finished: Finished) -> None:
        tiles.keep(out, finished)

    settings = _settings(plan, fitted, out)
    job = job_in(out, "atlas")
    build = job.worker(partial(Tiler, settings))
    with pool_of(build, settings.device, plan.resources, plan.in_process, plan.lease) as pool:
        failed = run_watched(pool, waiting, held, job, keep)
    for item, error in failed:
        if not isinstance(error, ShardError):
            raise Incomplete(
                f"the exemplars of {without_secrets(item.url)} could not be made into tiles "
                f"({redact(str(error))}); those of other shards are kept: mend the cause and run "
                "the same command again"
            )
    return [redact(str(error)) for _, error in failed]


def _how(fitted: Fitted) -> dict[str, Any]:
    """What decides what a tile is, beside its image and its unit."""
    info = fitted.info
    return {name: info[name] for name in ("weights_sha256", "preprocess_id")} | {
        "side": SIDE,
        "quality": QUALITY,
    }


def _settings(plan: AtlasPlan, fitted: Fitted, out: Run) -> Settings:
    info = fitted.info
    device = device_of(plan.device, plan.in_process)
    return Settings(
        out=out.url,
        model=ModelSpec(info["model"], info["pretrained"], info["checkpoint"]),
        preprocess=fitted.loaded.pixels.how,
        batch_size=ON_GPU if device.startswith("cuda") else ON_CPU,
        device=device,
    )


def _about(plan: AtlasPlan, source: Source) -> About:
    fitted, sides = source.fitted, source.facts.sides
    info = fitted.info
    positions = len(fitted.pool.positional_embedding) - 1
    made_by = json.loads(fitted.run.read("fit", "fit.json"))  # the last that a fit writes
    names = ("model", "pretrained", "weights_sha256", "preprocess_id")
    return About(
        runs=tuple(side.name for side in sides),
        images=tuple(side.moments.count for side in sides),
        heads=fitted.directions.heads,
        neurons=fitted.directions.neurons,
        grid=round(positions**0.5),
        labels=tuple(info["labels"]),
        concepts=tuple(concept["text"] for concept in info["concepts"]),
        missing=missing(source),
        provenance={
            "run": without_secrets(plan.run),
            **({} if plan.beside is None else {"beside": without_secrets(plan.beside)}),
            **{name: info[name] for name in names},
            **{name: made_by[name] for name in ("words", "atoms")},
            "code_version": code_version(),
        },
    )


def _contents(plan: AtlasPlan, units: Units, about: About) -> dict[str, Any]:
    return {
        "plan": plan.record(),
        "weights_sha256": about.provenance["weights_sha256"],
        "about": asdict(about),
        "units": {"pairs": units.pairs, "neurons": units.neurons},
    }


def _shown(bar: "tqdm[Any]") -> Callable[[int, int], None]:
    """Moves the bar; where there is no terminal for one, a line now and then."""
    said = time.monotonic()

    def progress(done: int, total: int) -> None:
        nonlocal said
        bar.total = total
        bar.update(done - bar.n)
        if bar.disable and time.monotonic() - said > LINE_EVERY:
            said = time.monotonic()
            _say(f"{done:,} of {total:,} files written")

    return progress


def _sweep(out: Run, kept: Iterable[str]) -> None:
    """Delete what earlier builds left that this one lacks, halves of files, and all work."""
    there = {
        f"{folder}/{name}"
        for folder, own in OWN.items()
        for name in out.names(folder)
        if re.fullmatch(own, name.partition(PARTIAL)[0])
    }
    for path in sorted(there - set(kept)):
        out.delete(path)
    out.delete_folder(tiles.FOLDER)


def _say(text: str) -> None:
    print(text, flush=True)
