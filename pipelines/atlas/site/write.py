"""A whole site written: two passes over the units, so that pages know of each other.

The first pass keeps every unit in a temporary file and its row in memory; the second makes pages,
which threads write while the next are made. The front page is written last.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain

from pipelines.atlas.model import About, NeuronPage, PairPage
from pipelines.atlas.site import search
from pipelines.atlas.site.agreement import clash
from pipelines.atlas.site.contents import Contents
from pipelines.atlas.site.histogram import drawing
from pipelines.atlas.site.lists import heads, list_pages
from pipelines.atlas.site.render import asset, render
from pipelines.atlas.site.rows import neuron_row, pair_row
from pipelines.atlas.site.spool import Spool
from pipelines.atlas.site.topics import Topics
from pipelines.io.files import atomic_write
from pipelines.pages.page import SCRIPTS, STYLES

WRITERS = 8
WAITING = 64
"""Pages that may wait for a slow store."""
FIRST = {"pairs": 24, "neurons": 8}
"""Rows on the front page."""
File = tuple[str, bytes]


def write_site(
    out: str,
    about: About,
    pairs: Iterable[PairPage],
    neurons: Iterable[NeuronPage],
    progress: Callable[[int, int], None] | None = None,
) -> tuple[str, ...]:
    """Write the site of these units below `out` (a path or an fsspec URL), but for `images/`.

    Units may come in any order, each once, from generators. The same values give the same bytes.
    `progress` is told how many files are written and how many there will be. Returns the paths of
    all files, relative to `out`. Raises Unwritable where a file cannot be written.
    """
    with Spool[PairPage]() as kept_pairs, Spool[NeuronPage]() as kept_neurons:
        topics, pair_rows = Topics(about), {}
        for page in pairs:
            pair_rows[page.pair] = pair_row(kept_pairs.add(page))
            topics.add(page, pair_rows[page.pair])
        neuron_rows = [neuron_row(kept_neurons.add(neuron)) for neuron in neurons]
        contents = Contents(about, pair_rows, neuron_rows, topics.topics())
        lists = list(list_pages(contents))
        total = len(contents.pairs) + len(neuron_rows) + len(lists) + len(contents.topics) + 6
        files = chain(
            _assets(contents),
            (_pair(contents, page) for page in kept_pairs),
            (_neuron(contents, page) for page in kept_neurons),
            ((p.path, render("list.html", "../", c=contents, p=p)) for p in lists),
            ((t.path, render("topic.html", "../", c=contents, t=t)) for t in contents.topics),
            _front(contents),
        )
        return tuple(_write(out, files, lambda done: progress and progress(done, total)))


def _assets(contents: Contents) -> Iterator[File]:
    yield "assets/atlas.css", asset(STYLES, "atlas.css")
    yield "assets/atlas.js", asset(SCRIPTS, "atlas.js")
    yield "assets/index.js", search.index(contents).encode()
    yield "assets/pictures.js", search.pictures(contents).encode()


def _pair(contents: Contents, page: PairPage) -> File:
    row = contents.pair(page.pair)
    assert row is not None
    values = {"p": page, "row": row, "steps": contents.around(row.path)}
    values["clash"] = clash(page, contents.about.images[0])
    heads_of = contents.heads_of(page.neuron)
    shown = drawing(page.histograms)
    return row.path, render("pair.html", "../", c=contents, h=shown, heads=heads_of, **values)


def _neuron(contents: Contents, page: NeuronPage) -> File:
    row = contents.neuron(page.neuron)
    assert row is not None
    return row.path, render(
        "neuron.html", "../", c=contents, n=page, row=row, steps=contents.around(row.path)
    )


def _front(contents: Contents) -> Iterator[File]:
    yield "about.html", render("about.html", "", c=contents)
    yield "index.html", render("index.html", "", c=contents, heads=heads(contents), FIRST=FIRST)


def _write(out: str, files: Iterable[File], tell: Callable[[int], object]) -> Iterator[str]:
    """Few files wait at a time, so a slow store does not fill the memory."""
    waiting: deque[tuple[str, Future[None]]] = deque()
    done = 0
    with ThreadPoolExecutor(WRITERS) as pool:
        for path, data in files:
            most = 0 if path == "index.html" else WAITING  # it leads to pages that are there
            while len(waiting) > most:
                yield _finish(waiting)
                tell(done := done + 1)
            waiting.append((path, pool.submit(atomic_write, f"{out.rstrip('/')}/{path}", data)))
        while waiting:
            yield _finish(waiting)
            tell(done := done + 1)


def _finish(waiting: deque[tuple[str, Future[None]]]) -> str:
    path, written = waiting.popleft()
    written.result()
    return path
