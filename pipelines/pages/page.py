"""What all pages share: one self-contained HTML file, no network, no inline styles, data escaped.

A page forbids itself everything by a content security policy; its one style sheet and script are
allowed by their hashes.
"""

import base64
import hashlib
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from pipelines.pages import numbers

FILTERS = ("signed", "fixed", "probability", "percent", "thousands", "raw")


def page(template: str, **values: Any) -> str:
    """A template of this folder, filled in, with the style sheet and the script of all pages."""
    environment = Environment(
        loader=PackageLoader("pipelines", "pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {name: getattr(numbers, name) for name in FILTERS}
    style, script = (_packaged(name) for name in ("page.css", "page.js"))
    hashes = {"style": _hash(style), "script": _hash(script)}
    return environment.get_template(template).render(
        style=style, script=script, hashes=hashes, **values
    )


def _packaged(name: str) -> str:
    return files("pipelines").joinpath("pages", name).read_text()


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
