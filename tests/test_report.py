"""The page says what the findings say, runs nothing foreign, and shows data as text only."""

import base64
import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from pipelines.analyse.compare import ComparePlan, Comparison, compare
from pipelines.pages.numbers import probability, signed
from pipelines.pages.pictures import RANKS
from tests.synthetic_run import make_run

N = 400
EVIL = '<script>alert("x")</script>'


class Page(HTMLParser):
    """Collects tags, attributes, and the text of each table row."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.numbers: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.tags.append((tag, dict(attrs)))
        if "data-v" in dict(attrs):
            self.numbers.add(dict(attrs)["data-v"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("report")


@pytest.fixture(scope="module")
def found(folder: Path) -> Comparison:
    evil = {"yellow": f"yellow {EVIL}"}
    keys = [f"{EVIL}-{i}" for i in range(N)]
    one = make_run(folder / "a", N, seed=1, texts=evil, keys=keys, fit=True)
    other = make_run(folder / "b", N, 2, {"yellow": 5}, texts=evil, rejected=3, fit=True)
    return compare(ComparePlan(str(folder / "out"), one, other))


@pytest.fixture(scope="module")
def text(found: Comparison) -> str:
    return (Path(found.plan.out) / "index.html").read_text()


def test_nothing_from_the_data_becomes_markup(text: str, found: Comparison) -> None:
    assert f"yellow {EVIL}" in found.summary["verdict"]
    assert EVIL not in text and "<b>bold</b>" not in text
    assert "&lt;script&gt;alert(&#34;x&#34;)&lt;/script&gt;" in text
    assert "&lt;b&gt;bold&lt;/b&gt;" in text
    tags = [tag for tag, _ in Page(text).tags]
    assert tags.count("script") == 1 and tags.count("style") == 1


def test_the_page_allows_itself_only_its_own_style_and_script(text: str) -> None:
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', text)
    assert policy is not None
    assert "default-src 'none'" in policy[1]
    for tag in ("style", "script"):
        inside = re.search(f"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        assert inside is not None
        digest = base64.b64encode(hashlib.sha256(inside[1].encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy[1]


def test_the_page_needs_no_network_and_no_inline_styles(text: str) -> None:
    for tag, attributes in Page(text).tags:
        assert tag not in ("link", "iframe", "object", "base")
        assert "style" not in attributes
        assert not [name for name in attributes if name.startswith("on")]
        if "src" in attributes:
            assert attributes["src"].startswith("data:image/jpeg;base64,")
    assert "url(" not in text and "@import" not in text


def test_the_numbers_on_the_page_are_those_of_the_findings(text: str, found: Comparison) -> None:
    numbers = Page(text).numbers
    for finding in found.of("concept") + found.of("label") + found.of("pair")[:40]:
        assert repr(float(finding["effect"])) in numbers
        assert repr(float(finding["q"])) in numbers
    assert f'data-v="{found.of("overall")[0]["effect"]!r}" id="auc"' in text
    assert signed(found.shifted()[0]["effect"]) in text


def test_examples_of_both_sides_are_on_the_page(text: str, found: Comparison) -> None:
    images = [a for tag, a in Page(text).tags if tag == "img"]
    assert len(images) == 2 * len(RANKS) * len(found.shifted())
    assert all(len(base64.b64decode(a["src"].partition(",")[2])) < 20_000 for a in images)


def test_a_page_without_the_shards_says_which_images_are_gone(folder: Path) -> None:
    one = make_run(folder / "c", N, seed=3)
    other = make_run(folder / "d", N, seed=4, boost={"yellow": 5})
    for shard in folder.glob("[cd]/*.tar"):
        shard.unlink()
    found = compare(ComparePlan(str(folder / "gone"), one, other))
    text = (folder / "gone" / "index.html").read_text()
    assert found.shifted() and "<img" not in text
    assert text.count('class="gone"') == 2 * len(RANKS) * len(found.shifted())
    assert "nhd fit --run" in text  # no words without a fit, and the page says how to get them


def test_a_page_with_no_change_says_so(folder: Path) -> None:
    one, other = make_run(folder / "e", N, seed=5), make_run(folder / "f", N, seed=6)
    compare(ComparePlan(str(folder / "null"), one, other))
    text = (folder / "null" / "index.html").read_text()
    assert "<h1>None of 10 concepts changed.</h1>" in text
    assert 'id="changed"' not in text and 'id="follows"' not in text


def test_no_file_of_the_report_holds_a_secret_of_a_url(folder: Path) -> None:
    urls = [f"file://{make_run(folder / f'{n}?sig=geheim-{n}', N, n)}" for n in (7, 8)]
    found = compare(ComparePlan(str(folder / "secret"), *urls))
    assert found.sides.baseline.run.url == urls[0]
    for file in (folder / "secret").iterdir():
        assert b"geheim" not in file.read_bytes(), file.name
    assert f"{folder}/7" in (folder / "secret" / "index.html").read_text()


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.2, "0.2"),
        (1.0, "1"),
        (0.0004, "4·10⁻⁴"),
        (0.0001, "10⁻⁴"),
        (9.6e-7, "10⁻⁶"),
        (3e-20, "3·10⁻²⁰"),
        (0.0, "< 10⁻⁹⁹"),
        (None, "–"),
    ],
)
def test_probabilities_read_well(value: float | None, shown: str) -> None:
    assert probability(value) == shown


def test_no_line_ends_before_a_percent_sign(text: str) -> None:
    assert "95\N{NO-BREAK SPACE}% interval" in text and not re.search(r"\d %", text)


def test_numbers_have_a_true_minus_and_zero_has_no_sign() -> None:
    assert [signed(x) for x in (-0.154, 0.2, -0.001, float("nan"))] == [
        "−0.15",
        "+0.20",
        "0.00",
        "–",
    ]
