"""Numbers as people read them on a page."""

import math
from typing import Any

import numpy as np


def signed(value: Any, digits: int = 2) -> str:
    """+0.40 or −0.15, with a true minus; an en dash where there is no number."""
    if missing(value):
        return "–"
    text = f"{value:+.{digits}f}"
    return text.replace("-", "−") if float(text) else text[1:]


def fixed(value: Any, digits: int = 2) -> str:
    """A plain number of so many digits, or an en dash."""
    return "–" if missing(value) else f"{value:.{digits}f}".replace("-", "−")


def probability(value: Any) -> str:
    """A p- or q-value as people read it: below 0.001 in one digit times a power of ten."""
    if missing(value):
        return "–"
    if value >= 0.001:
        return f"{value:.3f}".rstrip("0").rstrip(".") if value < 1 else "1"
    if value < 1e-99:
        return "< 10⁻⁹⁹"
    digit, _, exponent = f"{value:.0e}".partition("e")
    power = "10" + str(int(exponent)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return power if digit == "1" else f"{digit}·{power}"


def level(value: float) -> str:
    """A chosen level of significance, in two digits."""
    return f"{value:.2g}"


def percent(value: Any, digits: int = 1) -> str:
    """A share as a percentage."""
    return "–" if missing(value) else f"{100 * value:.{digits}f} %"


def thousands(value: Any) -> str:
    """1,234,567."""
    return "–" if missing(value) else f"{value:,.0f}"


def raw(value: Any) -> str:
    """The full number, for sorting and for machines."""
    return "" if missing(value) else repr(float(value))


def missing(value: Any) -> bool:
    """None or not a number."""
    return value is None or (isinstance(value, float | np.floating) and math.isnan(value))
