"""An atlas says what the run says, comes to the same bytes however it is made, and grows."""

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import fsspec
import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import pointbiserialr

from nhd_ops import histogram
from nhd_ops.attention_pool import feature_map
from pipelines.analyse.fit import FitPlan, fit
from pipelines.atlas import job
from pipelines.atlas.job import Atlas, atlas
from pipelines.atlas.model import About, NeuronPage, PairPage, Tile
from pipelines.atlas.plan import AtlasPlan
from pipelines.atlas.rows import LARGEST, SMALLEST, Row, items_of, rows_of
from pipelines.atlas.tiler import SIDE, Settings, Tiler
from pipelines.atlas.units import units_of
from pipelines.errors import Incomplete, Locked, UsageError
from pipelines.explain.fitted import Fitted, open_fitted
from pipelines.extract.job import extract
from pipelines.io.images import Decoded, decode
from pipelines.io.preprocess import stacked
from pipelines.io.shards import Sample, fetch
from pipelines.io.store import Run
from pipelines.model_spec import ModelSpec
from pipelines.run import lock
from pipelines.run.resources import Resources
from pipelines.tiny.dataset import write_scenes
from pipelines.tiny.scenes import ATTRIBUTES
from tests import reference
from tests.conftest import plan

PAIRS, NEURONS, TILES = 6, 2, 3
TINY: dict[str, Any] = {"model": ModelSpec("tiny"), "labels": ATTRIBUTES, "keep": "dense"}


class Built(NamedTuple):
    """A finished atlas, and the values that its pages were written from."""

    out: Path
    found: Atlas
    about: About
    pairs: dict[int, PairPage]
    neurons: dict[int, NeuronPage]


def build(run: str, out: Path, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> Built:
    kept: list[Any] = []

    def write(url: str, about: About, pairs: Any, neurons: Any, progress: Any) -> tuple[str, ...]:
        kept.extend((about, list(pairs), list(neurons)))
        return write_site(url, *kept, progress)

    write_site = job.write_site
    with monkeypatch.context() as patched:
        patched.setattr(job, "write_site", write)
        found = atlas(asked(run, out, **changes))
    about, pairs, neurons = kept
    by_pair, by_neuron = {p.pair: p for p in pairs}, {n.neuron: n for n in neurons}
    return Built(out, found, about, by_pair, by_neuron)


def asked(run: str, out: Path, **changes: Any) -> AtlasPlan:
    given = {"pairs": PAIRS, "neurons": NEURONS, "tiles": TILES, "in_process": True}
    return AtlasPlan(run, str(out), **{**given, **changes})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three shards, and a fitted run of the trained model on them, with every coefficient."""
    folder = tmp_path_factory.mktemp("atlas")
    write_scenes(f"{folder}/scenes", 90, seed=3, per_shard=30)
    extract(plan(f"{folder}/scenes/*.tar", folder / "run", **TINY))
    fit(FitPlan(f"{folder}/run", atoms=4, in_process=True))
    return folder


@pytest.fixture(scope="module")
def run(folder: Path) -> str:
    return f"{folder}/run"


@pytest.fixture(scope="module")
def fitted(run: str) -> Fitted:
    return open_fitted(run)


@pytest.fixture(scope="module")
def built(run: str, folder: Path) -> Built:
    with pytest.MonkeyPatch.context() as monkeypatch:
        return build(run, folder / "site", monkeypatch, beside=run)


def files(out: Path) -> dict[str, str]:
    """Path → SHA-256 of all files."""
    return {
        str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(out.rglob("*"))
        if path.is_file()
    }


def features_of(fitted: Fitted, tiles: tuple[Tile, ...]) -> torch.Tensor:
    """[n,C,g,g] of the tiles' images, by the model's own convolutions."""
    places = [(tile.shard, tile.key) for tile in tiles]
    data = fetch(fitted.run.shard_urls, places)
    images = [decode(Sample(k, data[s, k], None, {}), fitted.loaded.pixels) for s, k in places]
    pixels = stacked([image.pixels for image in images if isinstance(image, Decoded)])
    with torch.inference_mode():
        return feature_map(fitted.loaded.model.visual, fitted.loaded.pixels.normalise(pixels))


def assert_heat(tiles: tuple[Tile, ...], grid: torch.Tensor, mean: torch.Tensor) -> None:
    """Tiles on one scale against literal maps [n,g,g] and [n]: within a level, and adding up."""
    total = grid.sum((1, 2)) + mean
    np.testing.assert_allclose([t.value for t in tiles], total.numpy(), rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose([t.mean_token for t in tiles], mean.numpy(), rtol=1e-3, atol=1e-5)
    with_it = (grid * total.sign()[:, None, None]).clamp_min(0)
    expected = (255 * with_it / with_it.max()).flatten(1).numpy()
    found = np.stack([np.frombuffer(tile.heat or b"", np.uint8) for tile in tiles])
    assert found.max() == 255 and np.abs(found - expected).max() < 1


def test_a_pairs_tiles_are_the_literal_maps_of_its_extremes(fitted: Fitted, built: Built) -> None:
    for page in list(built.pairs.values())[:4]:
        column = dense(fitted.run, page.pair)
        up, down = np.sort(column)[::-1][:TILES], np.sort(column)[:TILES]
        sides = (up, down) if page.sign > 0 else (down, up)
        for tiles, extreme in zip((page.largest, page.smallest), sides, strict=True):
            values = [tile.value for tile in tiles]
            np.testing.assert_allclose(values, extreme, rtol=2e-3, atol=1e-4)
        tiles = page.largest + page.smallest
        assert_heat(tiles, *pair_map(fitted, page, tiles))


def pair_map(
    fitted: Fitted, page: PairPage, tiles: tuple[Tile, ...]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Maps [n,g,g] and [n] of the tiles' images, in units of s·‖u‖."""
    features = features_of(fitted, tiles)
    grid, mean = reference.spatial_map(fitted.pool, features, page.head, page.neuron)
    return grid * page.direction_norm, mean * page.direction_norm


def test_no_image_is_on_both_sides_of_a_pair(fitted: Fitted, tmp_path: Path) -> None:
    rows = rows_of(fitted, units_of(fitted, asked("", tmp_path), None), 50)
    pairs = [unit for kind, unit in rows if kind == LARGEST]
    for pair in pairs:
        up, down = ({one.key for one in rows[Row(kind, pair)]} for kind in (LARGEST, SMALLEST))
        assert len(up) == len(down) == 45 and not up & down


def test_a_neurons_tiles_are_its_literal_maps(fitted: Fitted, built: Built) -> None:
    for page in built.neurons.values():
        terms = reference.neuron_map(fitted.pool, features_of(fitted, page.tiles), page.neuron)
        assert_heat(page.tiles, terms[:, 1:].unflatten(1, (4, 4)), terms[:, 0])
        maps, tiles = [], ()
        for part in page.heads[:4]:
            own = built.pairs[part.pair]
            assert [tile.key for tile in part.tiles] == [tile.key for tile in own.largest]
            maps.append(pair_map(fitted, own, part.tiles))
            tiles += part.tiles
        assert_heat(tiles, *map(torch.cat, zip(*maps, strict=True)))
        assert [part.share for part in page.heads] == sorted(
            (part.share for part in page.heads), reverse=True
        )
        assert sum(part.share for part in page.heads) == pytest.approx(1)
        assert sum(bool(part.tiles) for part in page.heads) == 4


def test_all_maps_add_up_to_what_the_images_were_chosen_by(fitted: Fitted, tmp_path: Path) -> None:
    settings = Settings(str(tmp_path), ModelSpec("tiny"), "fast", 7, "cpu", 2)
    units = units_of(fitted, asked("", tmp_path, pairs=40, neurons=9), None)
    tiler = Tiler(settings)
    for item in items_of(fitted, rows_of(fitted, units, 5), {}):
        shown = tiler.work(item).value.shown
        assert sorted(one.showing for one in shown) == sorted(item.showings)
        for one in shown:
            total = float(one.grid.sum()) + one.mean
            assert abs(total - one.showing.value) < 1e-4 * one.showing.scale + 1e-6, one.showing


def dense(run: Run, pair: int) -> np.ndarray:
    """[n], the stored s·‖u‖ of a pair, as fp16 rounds it."""
    column = run.images([f"head_{pair // 512:03d}"]).columns[0].to_pylist()
    return np.array([values[pair % 512] for values in column])


def test_histograms_labels_and_concepts_are_those_of_the_rows(fitted: Fitted, built: Built) -> None:
    rows = fitted.run.images().to_pandas()
    concepts = {c["text"]: rows[f"similarity_{c['slug']}"] for c in fitted.info["concepts"]}
    for page in built.pairs.values():
        values = dense(fitted.run, page.pair)
        own, beside = page.histograms
        assert own.counts == beside.counts and own.edges == beside.edges
        assert sum(own.counts) == len(rows) == 90
        expected = histogram.histogram_of(torch.tensor(values)[:, None])[0].numpy()
        assert np.abs(np.array(own.counts) - expected).sum() <= 4  # rounded over an edge
        assert own.mean == pytest.approx(values.mean(), rel=2e-3, abs=1e-4)
        assert own.std == pytest.approx(values.std(), rel=2e-3, abs=1e-4)
        for label in page.labels:
            r = pointbiserialr(rows[label.name].astype(bool), values).statistic
            assert label.r == pytest.approx(r, abs=2e-3)
        each = {name: np.corrcoef(sim, values)[0, 1] for name, sim in concepts.items()}
        assert page.follows is not None
        name = max(each, key=lambda text: abs(each[text]))
        assert page.follows[1] == pytest.approx(each[name], abs=2e-3)
        assert abs(each[page.follows[0]]) == pytest.approx(abs(each[name]), abs=2e-3)


def test_a_neurons_labels_and_neighbours_are_those_of_its_main_direction(
    fitted: Fitted, built: Built
) -> None:
    rows = fitted.run.images().to_pandas()
    table = fitted.run.table("fit/neurons.parquet").to_pandas()
    main = np.stack(table[table["rank"] == 0]["direction"])
    for page in built.neurons.values():
        pairs = torch.arange(8) * 512 + page.neuron
        units = fitted.directions.vectors(pairs).double()
        units /= units.norm(dim=1, keepdim=True)
        contribution = sum(
            np.outer(dense(fitted.run, int(pair)), unit)
            for pair, unit in zip(pairs, units, strict=True)
        )  # [images,D], as the rows have it
        along = contribution @ main[page.neuron]
        assert len(page.labels) == rows[list(ATTRIBUTES)].astype(bool).nunique().eq(2).sum()
        for label in page.labels:
            r = pointbiserialr(rows[label.name].astype(bool), along).statistic
            assert label.r == pytest.approx(r, abs=2e-3)
        cosines = np.delete(main @ main[page.neuron], page.neuron)
        assert [near.cosine for near in page.neighbours] == pytest.approx(
            np.sort(cosines)[::-1][:8], abs=1e-5
        )
        for part in page.heads:
            own = built.pairs.get(part.pair)
            assert own is None or part.labels == own.labels[: len(part.labels)] != ()


def test_the_units_are_the_most_important(fitted: Fitted, built: Built) -> None:
    importance = fitted.pairs["importance"].to_numpy()
    order = np.argsort(-importance)
    assert {int(pair) for pair in order[:PAIRS]} <= built.pairs.keys()
    assert [built.pairs[int(pair)].rank for pair in order[:PAIRS]] == list(range(1, PAIRS + 1))
    by_neuron = importance.reshape(8, 512).sum(0)
    assert built.neurons.keys() == set(np.argsort(-by_neuron)[:NEURONS].tolist())
    codes = fitted.run.table("fit/codes.parquet").to_pandas()
    for page in built.pairs.values():
        code = codes[codes["pair"] == page.pair].sort_values("rank")
        assert page.code == tuple(zip(code["word"], code["coefficient"], strict=True))
        assert len(page.neighbours) == 8 and page.pair not in {n.pair for n in page.neighbours}


def test_every_image_is_there_once_by_the_hash_of_its_bytes(built: Built) -> None:
    pages = [*built.pairs.values(), *built.neurons.values()]
    rows = [page.tiles if isinstance(page, NeuronPage) else page.largest + page.smallest
            for page in pages]  # fmt: skip
    shown = {(tile.shard, tile.key): tile.image for row in rows for tile in row}
    there = {path.name: path.read_bytes() for path in (built.out / "images").iterdir()}
    assert set(shown.values()) == there.keys() and len(there) == len(shown)
    assert all(hashlib.sha256(data).hexdigest() == name[:-4] for name, data in there.items())
    with Image.open(built.out / "images" / min(there)) as image:
        assert image.format == "JPEG" and image.size == (min(SIDE, 128),) * 2
    assert built.found.missing == built.about.missing == 0


def test_the_same_bytes_in_whatever_order_and_by_however_many_threads(
    run: str, built: Built, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(3)
    monkeypatch.setattr(job, "items_of", lambda *given: items_of(*given)[::-1])
    try:
        again = build(run, tmp_path / "again", monkeypatch, beside=run)
    finally:
        torch.set_num_threads(threads)
    assert files(again.out) == files(built.out)


def test_the_same_bytes_on_an_object_store(run: str, built: Built) -> None:
    fs = fsspec.filesystem("memory")
    url = "memory://atlas-of-a-test"
    atlas(replace(asked(run, built.out, beside=run), out=url))
    found = {path.removeprefix("/atlas-of-a-test/"): fs.cat(path) for path in fs.find(url)}
    digests = {path: hashlib.sha256(data).hexdigest() for path, data in found.items()}
    assert digests == files(built.out)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_the_same_bytes_by_however_many_workers(
    run: str, built: Built, tmp_path: Path, workers: int, ray: object
) -> None:
    atlas(asked(run, tmp_path, beside=run, in_process=False, resources=Resources(workers)))
    assert files(tmp_path) == files(built.out)


def test_a_build_that_was_stopped_goes_on(
    run: str, built: Built, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep, worked = job.tiles.keep, []

    def stopping(*given: Any) -> None:
        keep(*given)
        raise KeyboardInterrupt

    def counting(self: Tiler, item: Any) -> Any:
        worked.append(item.shard)
        return work(self, item)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(job.tiles, "keep", stopping)
        atlas(asked(run, tmp_path, beside=run))
    (kept,) = (tmp_path / "work").iterdir()
    assert not (tmp_path / "atlas.json").exists() and not (tmp_path / "lock.json").exists()
    (tmp_path / "images" / "mine.jpg").write_bytes(b"no build's")
    (tmp_path / "images" / f"{'0' * 64}.jpg.partial-7-ab").write_bytes(b"a killed build's")
    work = Tiler.work
    monkeypatch.setattr(Tiler, "work", counting)
    atlas(asked(run, tmp_path, beside=run))
    (tmp_path / "images" / "mine.jpg").unlink()  # what is not an atlas's is left alone
    assert len(worked) == 2 and not any(kept.name.startswith(shard) for shard in worked)
    assert files(tmp_path) == files(built.out)


def test_what_a_worker_cannot_do_ends_the_build_and_leaves_no_site(
    run: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(self: Tiler, item: Any) -> Any:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(Tiler, "work", failing)
    monkeypatch.setattr("pipelines.run.runner.ATTEMPTS", 1)
    with pytest.raises(Incomplete, match=r"out of memory.*run the same command again"):
        atlas(asked(run, tmp_path))
    assert not (tmp_path / "index.html").exists()


@pytest.fixture(scope="module")
def grown(folder: Path, built: Built) -> tuple[Built, Built]:
    """The atlas before and after its run has got another shard and another fit."""
    shutil.copytree(built.out, folder / "grown")
    shutil.copytree(folder / "run", folder / "larger")
    write_scenes(f"{folder}/more", 30, seed=4, per_shard=30)
    data = f"{folder}/scenes/*.tar,{folder}/more/*.tar"
    extract(plan(data, folder / "larger", **TINY))
    with pytest.raises(UsageError, match="fitted on 90 images and now holds 120"):
        atlas(asked(f"{folder}/larger", folder / "grown"))
    fit(FitPlan(f"{folder}/larger", atoms=4, in_process=True))
    with pytest.MonkeyPatch.context() as monkeypatch:
        after = build(f"{folder}/larger", folder / "grown", monkeypatch, pairs=1, neurons=1)
    return built, after


def test_permalinks_survive_when_a_run_grows(grown: tuple[Built, Built]) -> None:
    before, after = grown
    assert before.pairs.keys() <= after.pairs.keys()
    assert before.neurons.keys() <= after.neurons.keys()
    assert all(sum(page.histograms[0].counts) == 120 for page in after.pairs.values())
    there = files(after.out)
    for page in before.pairs.values():
        assert f"pairs/{page.head}-{page.neuron}.html" in there
    contents = json.loads((after.out / "atlas.json").read_text())
    assert contents["units"]["pairs"] == sorted(after.pairs)


def test_what_no_page_shows_any_more_is_removed(grown: tuple[Built, Built]) -> None:
    _, after = grown
    tiles = [t for p in after.pairs.values() for t in (*p.largest, *p.smallest)]
    tiles += [t for n in after.neurons.values() for t in n.tiles]
    there = {path.name for path in (after.out / "images").iterdir()}
    assert there == {tile.image for tile in tiles} and not (after.out / "work").exists()


def test_without_the_shards_pages_are_made_all_the_same(
    run: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One shard is gone and one holds other images, which would give other coefficients."""
    shutil.copytree(run, tmp_path / "run")
    write_scenes(f"{tmp_path}/other", 90, seed=8, per_shard=30)
    one, other, whole = sorted((tmp_path / "run" / "shards").glob("*.json"))
    for path, url in ((one, "/gone/scenes.tar"), (other, f"{tmp_path}/other/scenes-000001.tar")):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"url": url}))
    monkeypatch.setattr("pipelines.run.runner.PAUSE", 0.0)
    made = build(f"{tmp_path}/run", tmp_path / "site", monkeypatch)
    tiles = [t for p in made.pairs.values() for t in (*p.largest, *p.smallest)]
    tiles += [t for n in made.neurons.values() for t in n.tiles]
    lacking = [tile for tile in tiles if tile.image is None]
    assert made.found.missing == made.about.missing == len(lacking) > 0
    shown = [tile.shard for tile in tiles if tile.image]
    there = [tile for tile in tiles if tile.shard == whole.stem]
    changed = [tile for tile in tiles if tile.shard == other.stem]
    assert shown.count(one.stem) == 0 and shown.count(whole.stem) == len(there) > 0
    # Near the floor of a coefficient one image may stand where another stood.
    assert shown.count(other.stem) <= 0.2 * len(changed) and len(changed) > 4
    assert all(tile.heat is None and tile.mean_token is None for tile in lacking)
    assert len(made.found.gone) == 1 and "/gone/scenes.tar" in made.found.gone[0]
    assert (made.out / "index.html").exists()


def test_what_cannot_be_an_atlas_is_refused_before_anything_is_written(
    run: str, built: Built, tmp_path: Path
) -> None:
    def refused(says: str, of: str = run, out: Path = tmp_path / "out", **what: Any) -> None:
        with pytest.raises(UsageError, match=says):
            atlas(asked(of, out, **what))
        assert not (tmp_path / "out" / "index.html").exists()

    shutil.copytree(run, tmp_path / "bare", ignore=shutil.ignore_patterns("fit"))
    info = json.loads((tmp_path / "bare" / "run.json").read_text())
    refused("run nhd fit --run", of=f"{tmp_path}/bare")
    (tmp_path / "bare" / "run.json").write_text(json.dumps(info | {"weights_sha256": "0" * 64}))
    refused("different model weights", beside=f"{tmp_path}/bare")
    for inside in ("bare", "bare/images", "bare/atlas"):
        refused("in a run folder", out=tmp_path / inside)
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "index.html").write_text("somebody's")
    refused("an index.html that is not an atlas's", out=tmp_path / "home")
    assert (tmp_path / "home" / "index.html").read_text() == "somebody's"
    refused("is not a run folder", of=f"{tmp_path}/nowhere")
    shutil.copytree(built.out, tmp_path / "other")
    contents = json.loads((tmp_path / "other" / "atlas.json").read_text())
    changed = json.dumps(contents | {"weights_sha256": "0" * 64})
    (tmp_path / "other" / "atlas.json").write_text(changed)
    refused("other weights, whose pages would be lost", out=tmp_path / "other")
    refused("needs pairs or neurons", pairs=0, neurons=0)
    refused("--tiles must be 1 to 50", tiles=0)


def test_one_build_at_a_time(run: str, tmp_path: Path) -> None:
    with (
        lock.held(Run(str(tmp_path)), print),
        pytest.raises(Locked, match="is being written by") as said,
    ):
        atlas(asked(run, tmp_path))
    assert said.value.exit_code == 4
