"""The atlas's site by its files: links lead somewhere, numbers are the values', data stays data."""

import dataclasses
import html
import json
import math
import os
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import fsspec
import pytest

from pipelines.atlas.model import Histogram, Label, PairPage
from pipelines.atlas.site import write_site
from pipelines.atlas.site.heat import FOG, data_uri
from pipelines.atlas.site.histogram import drawing
from pipelines.errors import Unwritable
from tests.atlas.values import EDGES, Values

HOSTILE = "</script><script>window.hit=1</script>'\"&  "


class Page(HTMLParser):
    """The elements of a page, and its numbers: data-v by id and by class."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.values: dict[str, list[str]] = {}
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags.append((tag, found))
        for name in (found.get("id"), *(found.get("class") or "").split()):
            if name and "data-v" in found:
                self.values.setdefault(name, []).append(found["data-v"] or "")


@pytest.fixture(scope="module")
def values() -> Values:
    return Values(seed=3, pairs=130, neurons=6, runs=2)


@pytest.fixture(scope="module")
def site(values: Values, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("atlas")
    values.write_images(out)
    write_site(str(out), values.about(), values.pairs(), values.neurons())
    return out


def test_every_unit_has_its_page_under_its_own_name(site: Path, values: Values) -> None:
    pairs = {f"{pair // values.width}-{pair % values.width}.html" for pair in values.chosen}
    assert {path.name for path in (site / "pairs").iterdir()} == pairs
    neurons = {f"{neuron}.html" for neuron in values.top_neurons}
    assert {path.name for path in (site / "neurons").iterdir()} == neurons


def test_every_link_leads_to_a_file_of_the_site_and_every_page_is_linked(site: Path) -> None:
    files = {str(path.relative_to(site)) for path in site.rglob("*.*")}
    reached = {"index.html"}
    for path in files:
        text = (site / path).read_text() if path.endswith(".html") else ""
        for link in set(re.findall(r' (?:href|src)="([^"]*)"', text)):
            parts = urlsplit(html.unescape(link))
            if parts.scheme:
                assert parts.scheme == "data" or parts.netloc == "arxiv.org"
                continue
            to = os.path.normpath(os.path.join(os.path.dirname(path), unquote(parts.path)))
            reached.add(to if parts.path else path)
    assert reached - files == set()
    assert {path for path in files - reached if path.endswith(".html")} == set()


def test_a_pairs_numbers_are_its_values_oriented_by_its_sign(site: Path, values: Values) -> None:
    for page in list(values.pairs())[:20]:
        seen = Page(site / "pairs" / f"{page.head}-{page.neuron}.html").values
        for name in ("importance", "inertia", "clarity", "polysemanticity", "share"):
            assert float(seen[name][0]) == getattr(page, name)
        assert [float(x) for x in seen["weight"]] == [x for _, x in page.code]
        expected = [page.sign * label.r for label in page.labels]
        assert [float(r) for r in seen["r"]] == expected
        assert page.follows and float(seen["follows"][0]) == page.sign * page.follows[1]
        one, other = page.histograms
        spread = math.sqrt((one.std**2 + other.std**2) / 2)
        assert float(seen["difference"][0]) == pytest.approx((other.mean - one.mean) / spread)


def test_a_neurons_shares_are_all_there(site: Path, values: Values) -> None:
    for page in values.neurons():
        seen = Page(site / "neurons" / f"{page.neuron}.html").values
        assert [float(share) for share in seen["share"]] == [part.share for part in page.heads]
        assert float(seen["explained"][0]) == page.explained
        assert [float(r) for r in seen["r"]] == [label.r for label in page.labels]
        assert [float(r) for r in seen["near-r"]] == [near.cosine for near in page.neighbours]


def test_before_and_after_run_through_all_pairs_by_importance(site: Path, values: Values) -> None:
    order = sorted(values.pairs(), key=lambda page: page.rank)
    path, walked = f"pairs/{order[0].head}-{order[0].neuron}.html", 1
    while step := re.search('rel="next" href="../([^"]+)"', (site / path).read_text()):
        path, walked = step[1], walked + 1
    assert path == f"pairs/{order[-1].head}-{order[-1].neuron}.html"
    assert walked == len(order)


@pytest.mark.parametrize("order", ["importance", "clarity", "polysemanticity", "words"])
def test_lists_hold_every_pair_once_in_their_order(site: Path, values: Values, order: str) -> None:
    def rows() -> Iterator[str]:
        for name in (f"pairs-{order}.html", f"pairs-{order}-2.html"):
            found = Page(site / "lists" / name).tags
            yield from (str(a["href"])[3:] for _, a in found if a.get("class") == "unit")

    by = {f"pairs/{page.head}-{page.neuron}.html": page for page in values.pairs()}
    seen = [by[path] for path in rows()]
    assert len(seen) == len(set(map(id, seen))) == len(by)
    keys = {"importance": _rank, "clarity": _clarity, "polysemanticity": _meanings, "words": _words}
    assert seen == sorted(seen, key=keys[order])


def _rank(page: PairPage) -> int:
    return page.rank


def _meanings(page: PairPage) -> float:
    return page.polysemanticity or 0


def _clarity(page: PairPage) -> float:
    return -(page.clarity or 0)


def _words(page: PairPage) -> tuple[str, ...]:
    return page.words


def test_a_label_leads_to_the_pairs_that_know_it_best(site: Path, values: Values) -> None:
    best = sorted(
        (label.r * page.sign for page in values.pairs() for label in page.labels
         if label.name == "yellow"), reverse=True,
    )[:50]  # fmt: skip
    shown = Page(site / "topics" / "yellow.html").tags
    rows = [float(a["data-v"] or 0) for tag, a in shown if tag == "td" and a.get("class") == "n"]
    assert rows[:50] == best


def test_a_concept_leads_to_those_that_follow_it_not_to_those_against(
    site: Path, values: Values
) -> None:
    for name in ("yellow", "car", "brick"):
        text = (site / "topics" / f"{name}.html").read_text()
        listed = text.partition("follow the concept</h2>")[2]
        for page in values.pairs():
            assert page.follows
            follows = page.follows[0] == name and page.sign * page.follows[1] > 0
            assert (f"pairs/{page.head}-{page.neuron}.html" in listed) == follows


def test_the_same_values_give_the_same_bytes_in_any_order_of_coming(tmp_path: Path) -> None:
    values = Values(seed=4, pairs=20, neurons=3)
    forth = (values.pairs(), values.neurons())
    back = (reversed(list(values.pairs())), reversed(list(values.neurons())))
    for name, units in (("a", forth), ("b", back)):
        write_site(str(tmp_path / name), values.about(), *units)
    files = [path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*.*")]
    assert len(files) > 30
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_any_store_will_do_and_progress_comes_to_its_end() -> None:
    values, told = Values(seed=5, pairs=6, neurons=2), []
    out = "memory://atlas-of-test"
    written = write_site(
        out, values.about(), values.pairs(), values.neurons(), lambda *at: told.append(at)
    )
    fs = fsspec.filesystem("memory")
    assert {path.split("atlas-of-test/")[1] for path in fs.find(out)} == set(written)
    assert told == [(i + 1, len(written)) for i in range(len(written))]


def test_hostile_texts_stay_text(tmp_path: Path) -> None:
    values = Values(seed=6, pairs=8, neurons=2)
    pages = [_hostile(page) for page in values.pairs()]
    about = values.about(runs=(HOSTILE,), labels=(HOSTILE,), provenance={"run": HOSTILE})
    write_site(str(tmp_path), about, pages, values.neurons())
    for path in tmp_path.rglob("*.html"):
        scripts = [found for tag, found in Page(path).tags if tag == "script"]
        assert len(scripts) == 1 and "src" in scripts[0]
    index = (tmp_path / "assets" / "index.js").read_text()
    assert not re.search("[<>&\u2028\u2029]", index)
    assert HOSTILE in json.loads(index.removeprefix("window.atlasIndex=").rstrip(";\n"))["terms"]


def _hostile(page: PairPage) -> PairPage:
    labels = tuple(dataclasses.replace(label, name=HOSTILE) for label in page.labels[:1])
    largest = tuple(dataclasses.replace(t, key=HOSTILE, image=None) for t in page.largest)
    return dataclasses.replace(
        page,
        words=(HOSTILE,),
        code=((HOSTILE, 1.0),),
        labels=labels,
        follows=(HOSTILE, 0.5),
        largest=largest,
    )


def test_a_unit_of_which_little_is_known_has_a_page(tmp_path: Path) -> None:
    values = Values(seed=7, pairs=1, neurons=1)
    bare = dataclasses.replace(
        next(values.pairs()), words=(), code=(), inertia=None, clarity=None, polysemanticity=None,
        share=None, follows=None, labels=(), largest=(), smallest=(), neighbours=(), histograms=(),
    )  # fmt: skip
    about = values.about(labels=(), concepts=(), missing=3)
    write_site(str(tmp_path), about, [bare], [])
    text = (tmp_path / "pairs" / f"{bare.head}-{bare.neuron}.html").read_text()
    assert "No images are kept" in text and "None" not in text and "nan" not in text
    assert "3 images could not be read again" in (tmp_path / "about.html").read_text()
    write_site(str(tmp_path / "empty"), about, [], [])


def test_a_page_says_where_its_words_are_not_what_its_images_show(tmp_path: Path) -> None:
    values = Values(seed=10, pairs=6, neurons=1)
    labels = (Label("Purple", 0.7), Label("yellow", 0.36), Label("low", -0.5))
    given = dataclasses.replace(next(values.pairs()), sign=1, labels=labels)
    cases: dict[tuple[str, ...], bool] = {
        ("golden", "yellow star"): True,
        ("yellow", "dark purple"): False,  # the strongest label is named too
        ("yellowish", "lemon"): False,  # no label is named
    }
    pages = [
        dataclasses.replace(page, words=words, sign=given.sign, labels=given.labels)
        for page, words in zip(values.pairs(), cases, strict=False)
    ]
    turned = dataclasses.replace(list(values.pairs())[4], sign=-1, words=("yellow",), labels=labels)
    for images, some in ((2500, True), (100, False)):  # of 100 images r is uncertain by 0.1
        about = values.about(images=(images,))
        write_site(str(tmp_path), about, [*pages, turned], [])
        for page, clashing in zip(pages, cases.values(), strict=True):
            text = (tmp_path / "pairs" / f"{page.head}-{page.neuron}.html").read_text()
            assert ("Words and images disagree" in text) == (clashing and some)
        text = (tmp_path / "pairs" / f"{turned.head}-{turned.neuron}.html").read_text()
        assert "its words name “yellow” (r = −0.36)" in text
        assert "“low” goes with it most (r = +0.50)" in text


def test_fog_is_clear_where_the_heat_is() -> None:
    import base64
    import io

    import numpy as np
    from PIL import Image

    heat = bytes(range(0, 245, 5))
    png = base64.b64decode(data_uri(heat, 7).split(",")[1])
    pixels = np.asarray(Image.open(io.BytesIO(png)).convert("LA"))
    assert (pixels[..., 0] == FOG).all()
    assert (255 - pixels[..., 1]).tobytes() == heat
    with pytest.raises(ValueError, match="not 7²"):
        data_uri(heat[1:], 7)


def test_a_drawing_keeps_every_image_and_heights_are_shares() -> None:
    counts = tuple([0] * 15 + [1, 0, 2, 3] + [40, 100, 200, 50, 4] + [0] * 24)
    runs = [Histogram("a", counts, EDGES, 0.01, 0.1), Histogram("b", counts[::-1], EDGES, 0.0, 0.1)]
    found = drawing(tuple(runs))
    assert found is not None
    for run, one in enumerate((counts, counts[::-1])):
        assert sum(b.counts[run] for b in found.bins) == sum(one)
    assert max(b.height for b in found.bars) == pytest.approx(120)
    edges = [b.low for b in found.bins] + [found.bins[-1].high]
    assert edges == sorted(edges) and set(edges) <= set(EDGES)
    assert found.difference == pytest.approx(-0.1)
    assert drawing((Histogram("a", (0,) * 48, EDGES, 0.0, 0.0),)) is None


def test_a_site_that_could_not_be_finished_has_no_front_page(tmp_path: Path) -> None:
    values = Values(seed=9, pairs=4, neurons=1)
    (tmp_path / "topics").write_text("in the way")
    with pytest.raises(Unwritable, match="topics"):
        write_site(str(tmp_path), values.about(), values.pairs(), values.neurons())
    assert list((tmp_path / "pairs").iterdir()) and not (tmp_path / "index.html").exists()
