"""What all pages share: one self-contained HTML file, no network, no inline styles, data escaped.

A page forbids itself everything by a content security policy; its one style sheet and script are
allowed by their hashes.
"""

import base64
import hashlib
import re
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from pipelines.pages import numbers

STYLES = ("page.css", "tables.css", "values.css", "paper.css")
SCRIPTS = ("tables.js", "filter.js", "values.js", "paper.js")
"""What all pages share, in their order."""
FILTERS = ("signed", "fixed", "probability", "level", "percent", "thousands", "raw")


def page(
    template: str,
    styles: Sequence[str] = STYLES,
    scripts: Sequence[str] = SCRIPTS,
    **values: Any,
) -> str:
    """A template of this folder, filled in, with style sheets and scripts of this folder.

    Several sheets become one, in their order, with one hash; so do several scripts.
    """
    environment = Environment(
        loader=PackageLoader("pipelines", "pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {name: getattr(numbers, name) for name in FILTERS}
    style, script = (unbroken("\n".join(map(_packaged, names))) for names in (styles, scripts))
    hashes = {"style": _hash(style), "script": _hash(script)}
    text = environment.get_template(template).render(
        style=style, script=script, hashes=hashes, **values
    )
    return unbroken(text)


def unbroken(text: str) -> str:
    """No line ends between a number and its percent sign."""
    return re.sub(r"(?<=\d) %", "\N{NO-BREAK SPACE}%", text)


def _packaged(name: str) -> str:
    return files("pipelines").joinpath("pages", name).read_text()


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
