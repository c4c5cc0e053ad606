"""How numbers are written for readers: a value and its interval to the same decimals, no negative zero."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

_USUAL, _MOST = 3, 6  # decimals of a number without an interval, and the most that are shown


def decimals(low: float, high: float, spread: float = math.nan, least: int = 0) -> int:
    """Return how many decimals show two digits of the width of an interval.

    Parameters
    ----------
    low, high : ends of the interval.
    spread : standard deviation, which decides where there is no interval.
    least : decimals that are shown in any case.
    """
    width = high - low if math.isfinite(high - low) else spread
    if width == 0 and float(low).is_integer():
        return least
    if not math.isfinite(width) or width <= 0:
        return max(least, _USUAL)
    return min(max(least, 1 - math.floor(math.log10(width))), _MOST)


def counted(found: Mapping[str, int]) -> str:
    """Return counts by name as words: "1 unit not selected, 3 trials too long".

    Parameters
    ----------
    found : number by name, whose words are joined by underscores; the first word is a plural.
    """
    return ", ".join(_count(number, name.replace("_", " ")) for name, number in found.items())


def _count(number: int, name: str) -> str:
    """Return a number and a name whose first word, a plural, becomes a singular for 1."""
    first, space, rest = name.partition(" ")
    return f"{number} {first.removesuffix('s') if number == 1 else first}{space}{rest}"


def written(value: Any, places: int = _USUAL, sign: bool = False) -> str:
    """Return a number with `places` decimals; "–" for none, "not finite" for infinity.

    `sign`: write "+" before positive numbers. A number that rounds to 0 has no sign.
    """
    if value is None or (isinstance(value, str) and not value) or math.isnan(value):
        return "–"
    if math.isinf(value):
        return "not finite"
    text = f"{value:{'+' if sign else ''}.{places}f}"
    return text.lstrip("+-") if float(text) == 0 else text


def interval(low: Any, high: Any, places: int = _USUAL, sign: bool = False) -> str:
    """Return "[low, high]" with `places` decimals, "-∞" or "∞" for no end; "" where an end is missing."""
    none = {-math.inf: "-∞", math.inf: "∞"}
    ends = [none.get(end) or written(end, places, sign) for end in (low, high)]
    return "" if "–" in ends else f"[{', '.join(ends)}]"


def estimate(value: float, low: float, high: float, least: int = _USUAL) -> str:
    """Return "value [low, high]", all with the decimals that the width of the interval asks for."""
    places = decimals(low, high, least=least)
    return f"{written(value, places)} {interval(low, high, places)}"
