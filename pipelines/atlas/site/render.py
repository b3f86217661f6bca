"""Pages of an atlas as HTML: templates beside this file, filled in, all data escaped."""

from collections.abc import Sequence
from functools import lru_cache
from importlib.resources import files
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined

from pipelines.atlas.site.heat import data_uri
from pipelines.pages import numbers
from pipelines.pages.page import unbroken

FILTERS = ("signed", "fixed", "thousands", "raw")
# 'self' is what a server's pages need; file: is for browsers to which a file is no origin, and
# opens nothing on a server, whose pages may never read files.
POLICY = (
    "default-src 'none'; img-src 'self' file: data:; style-src 'self' file:; "
    "script-src 'self' file:; base-uri 'none'; form-action 'none'"
)


def render(template: str, root: str, **values: Any) -> bytes:
    """One page; `root` is the way from it to the site's top, "" or "../"."""
    page = _environment().get_template(template).render(root=root, policy=POLICY, **values)
    return unbroken(page).encode("utf-8", "replace")


def asset(shared: Sequence[str], own: str) -> bytes:
    """Style sheets or scripts that all pages share, and the atlas's own, as one file."""
    paths = [*(f"pages/{name}" for name in shared), f"atlas/site/{own}"]
    return b"\n".join(files("pipelines").joinpath(path).read_bytes() for path in paths)


def significant(value: float | None, digits: int = 3) -> str:
    """So many significant digits, without an exponent where there is a way."""
    if numbers.missing(value) or value is None:
        return "–"
    if not 1e-6 <= abs(value) < 1e7:
        return f"{value:.{digits}g}".replace("-", "−")
    decimals = max(0, digits - 1 - int(f"{value:e}".split("e")[1]))
    return f"{value:,.{decimals}f}".replace("-", "−")


def percent(value: float | None, digits: int = 1) -> str:
    """A share as a percentage, with a true minus, that no line breaks."""
    return numbers.percent(value, digits).replace("-", "−").replace(" ", "\N{NO-BREAK SPACE}")


@lru_cache(maxsize=1)
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("pipelines", "atlas/site"),
        autoescape=True,
        auto_reload=False,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {name: getattr(numbers, name) for name in FILTERS}
    environment.filters |= {"significant": significant, "percent": percent, "heat": data_uri}
    environment.filters["file"] = lambda name: quote(name, safe="")
    return environment
