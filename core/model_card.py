"""Reading a model card for people: which error rates were measured, as rows of words.

A card's ``metrics`` may be nested; a measurement is a number, or a mapping with ``value`` and, where it has
one, an interval as ``low`` and ``high`` or ``interval``. What isn't there isn't made up: a silent card gives
no rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

WORDS = {
    "eer": "EER",
    "cllr": "Cllr",
    "mindcf": "minDCF",
    "min": "min",
    "dcf": "DCF",
    "actdcf": "actDCF",
    "lr": "LR",
}
MEASURES = ("eer", "cllr", "dcf")
ROWS = 12


def error_rates(card: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """(what was measured, value, 95 % interval) for every error rate in the card, at most ``ROWS``."""
    rows = []
    for path, value, low, high in _measurements(card.get("metrics") or {}, ()):
        if any(measure in path[-1].lower() or measure in " ".join(path).lower() for measure in MEASURES):
            share = "eer" in " ".join(path).lower()
            interval = "" if low is None or high is None else f"{_shown(low, share)} – {_shown(high, share)}"
            rows.append((_named(path), _shown(value, share), interval))
    return rows[:ROWS]


def _measurements(node: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], float, Any, Any]]:
    """Walk a nested mapping and yield (names, value, low, high) of each measurement."""
    if isinstance(node, bool) or node is None:
        return
    if isinstance(node, int | float):
        yield path, float(node), None, None
    elif isinstance(node, Mapping) and isinstance(node.get("value"), int | float):
        low, high = node.get("interval") or (node.get("low"), node.get("high"))
        yield path, float(node["value"]), low, high
    elif isinstance(node, Mapping):
        for name, inner in node.items():
            yield from _measurements(inner, (*path, str(name)))


def _shown(value: float, share: bool) -> str:
    return f"{100 * value:.1f} %" if share and value <= 1 else f"{value:.3g}{' %' if share else ''}"


def _named(path: tuple[str, ...]) -> str:
    words = " ".join(path).replace("_", " ").replace("-", " ").split()
    return " ".join(WORDS.get(word.lower(), word) for word in words)
