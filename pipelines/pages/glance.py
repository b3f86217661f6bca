"""The comparison at a glance: what changed, how sure that is, what follows; in plain sentences."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from pipelines.pages.numbers import fixed, level, percent, probability, signed

Finding = dict[str, Any]
Model = dict[str, Any]
MOST_NAMED = 5
SIZES = ((0.8, "large"), (0.5, "medium"), (0.2, "small"), (0.0, "slight"))
"""Cohen's words for an effect, and one for what lies below his smallest."""
MOVED = {"up": "More", "down": "Less", "none": "Changed:"}


class Point(NamedTuple):
    """One sentence or two of the list, and the section they sum up."""

    lead: str
    text: str
    href: str


class Part(NamedTuple):
    """A heading of the list with its points."""

    title: str
    points: list[Point]


def glance(model: Model) -> list[Part]:
    """The list, from the other values of a page's model."""
    parts = {
        "What changed": [*_changed(model), *_told_apart(model), *_labels(model)],
        "How sure": [*_certainty(model), *_control(model), *_power(model)],
        "What else": [*_follows(model), *_measures(model), *_pairs(model), *_health(model)],
    }
    return [Part(title, points) for title, points in parts.items()]


def size_word(effect: float) -> str:
    """Slight, small, medium or large, of an effect as it is shown; the same words for d and h."""
    return next(word for least, word in SIZES if round(abs(effect), 2) >= least)


def named(texts: list[str]) -> str:
    """Up to `MOST_NAMED` of them as a list in a sentence, and how many more there are."""
    shown, more = texts[:MOST_NAMED], len(texts) - MOST_NAMED
    if more > 0:
        return f"{', '.join(shown)} and {more} more"
    return " and ".join(filter(None, [", ".join(shown[:-1]), shown[-1]]))


def texts_of(model: Model, names: list[str]) -> list[str]:
    """Concepts as their own words, where columns name them."""
    texts = {f["name"]: f["text"] for f in model["findings"]["concept"]}
    return [texts.get(name, name) for name in names]


def _changed(model: Model) -> Iterator[Point]:
    for number, card in enumerate(model["cards"][:MOST_NAMED], 1):
        found = card["finding"]
        yield Point(
            f"{MOVED[found['direction']]} {found['text']}:",
            f"a {size_word(found['effect'])} difference of {_interval(found)} standard deviations"
            f"{_label(model, card['label'])}.",
            f"#changed-{number}",
        )
    more = len(model["summary"]["concepts"]["shifted"]) - min(len(model["cards"]), MOST_NAMED)
    if more > 0:
        yield Point(f"{more} more", "concepts changed, by less than these.", "#concepts")
    if not model["cards"]:
        floor, alpha = model["summary"]["floor"], level(model["summary"]["alpha"])
        agreed = ", with permutations agreeing" if model["summary"]["permutations"] else ""
        text = f"none by at least {floor} standard deviations and with q below {alpha}{agreed}."
        yield Point("No concept changed:", text, "#concepts")


def _told_apart(model: Model) -> Iterator[Point]:
    if model["findings"]["overall"]["shifted"] and not model["cards"]:
        yield Point(
            "Something differs all the same:",
            "a classifier tells the sides apart, though no listed concept says by what.",
            "#labels" if model["findings"]["label"] else "#pairs",
        )


def _label(model: Model, label: Finding | None) -> str:
    if label is None:
        return ""
    return (
        f"; the label “{label['name']}” went from {percent(label['baseline'])} "
        f"to {percent(label['current'])} of the images"
    )


def _labels(model: Model) -> Iterator[Point]:
    on_cards = {card["label"]["name"] for card in model["cards"] if card["label"]}
    others = [
        f["name"] for f in model["findings"]["label"] if f["shifted"] and f["name"] not in on_cards
    ]
    if others:
        lead = "One more label" if len(others) == 1 else f"{len(others)} more labels"
        yield Point(lead, f"changed on {_own(others)}: {named(others)}.", "#labels")


def _certainty(model: Model) -> Iterator[Point]:
    s, changed = model["summary"], [card["finding"] for card in model["cards"]]
    if changed:
        worst = probability(max(f["q"] for f in changed))
        alpha = level(s["alpha"])
        most = f"at most {worst}" if len(changed) > 1 else worst
        told = f"below {worst[2:]}" if worst.startswith("<") else most
        yield Point(
            "Hardly chance:",
            f"q, p corrected for {_concepts(s['concepts']['tested'])}, is {told}, where {alpha} is "
            f"allowed: of those below, at most {level(100 * s['alpha'])} % are expected to differ "
            "by chance alone.",
            "#concepts",
        )
    tested = [*model["findings"]["concept"], *model["findings"]["label"]]
    if s["permutations"] and any(f["q"] < s["alpha"] for f in tested):
        yield Point("Permutations:", s["permutations"], "#concepts")


def _control(model: Model) -> Iterator[Point]:
    control, one = model["summary"]["control"], model["sides"]["baseline"]
    alarms = control["kinds"]["concept"]
    yield Point(
        f"{alarms['splits_with_alarm']} false alarms"
        if alarms["splits_with_alarm"] != 1
        else "1 false alarm",
        f"when {one} was compared with itself in {control['splits']} random splits; "
        f"at most {level(alarms['expected_at_most'])} is expected.",
        "#control",
    )


def _power(model: Model) -> Iterator[Point]:
    s = model["summary"]
    least = max(s["detectable_effect"], s["floor"])
    text = "four times in five with this many images; smaller ones less often."
    yield Point(f"A single change of d = {fixed(least)} is found", text, "#concepts")


def _follows(model: Model) -> Iterator[Point]:
    found = [f for f in model["findings"]["concept"] if f["passes"] and not f["shifted"]]
    hidden = [f["text"] for f in model["findings"]["concept"] if f["hidden"]]
    if found:
        causes = dict.fromkeys(name for f in found for name in f["explained_by"])
        because = texts_of(model, list(causes))
        texts = [f"{f['text']} ({signed(f['effect'])})" for f in found]
        text = f": {named(texts)}" + (f", because of {named(because)}." if because else ".")
        lead = "1 concept only follows" if len(found) == 1 else f"{len(found)} concepts only follow"
        yield Point(lead + text[0], text[2:], "#follows")
    if hidden:
        text = f"hardly moved, but did beside the others, balanced: {named(hidden)}."
        yield Point(f"{len(hidden)} hidden", text, "#concepts")


def _measures(model: Model) -> Iterator[Point]:
    if not model["agreement"]:
        return
    rows, count = model["agreement"]["concepts"], len(model["measures"])
    split = [row["text"] for row in rows if 0 < len(row["counted"]) < count]
    lead = f"The measures agree on {len(rows) - len(split):,} of {_concepts(len(rows))}"
    text = f"only some of them count {named(split)}." if split else ""
    yield Point(lead + (":" if split else "."), text, "#measures")


def _pairs(model: Model) -> Iterator[Point]:
    pairs = model["summary"]["pairs"]
    if pairs:
        lead = f"{pairs['shifted']:,} of {pairs['tested']:,}"
        yield Point(lead, "neuron–head pairs fire differently.", "#pairs")


def _health(model: Model) -> Iterator[Point]:
    found = [f for kind in ("rejects", "missing") for f in model["findings"][kind] if f["shifted"]]
    if found:
        yield Point("Data health changed:", f"{named([_rates(f) for f in found])}.", "#health")
    elif model["findings"]["rejects"]:
        every = model["findings"]["rejects"][0]
        none = not every["baseline_count"] and not every["current_count"]
        text = "every sample could be used" if none else f"no sure change ({_rates(every)})"
        yield Point("Data health:", f"{text}.", "#health")


def _rates(found: Finding) -> str:
    """Of what is missing: what, and its rate on both sides."""
    reason = found["name"].replace("_", " ")
    what = f"empty values of {found['name']}"
    if found["kind"] == "rejects":
        what = "unusable samples" + ("" if reason == "all" else f", {reason}")
    return f"{what} {percent(found['baseline'])} to {percent(found['current'])}"


def _interval(found: Finding) -> str:
    return f"{signed(found['effect'])} ({signed(found['low'])} to {signed(found['high'])})"


def _concepts(count: int) -> str:
    return "1 concept" if count == 1 else f"{count:,} concepts"


def _own(items: list[str]) -> str:
    return "its own" if len(items) == 1 else "their own"
