"""Values of a model card in words: measurements with intervals, shares, names. A card is a file that may hold anything.

Nothing here trusts a type: what is not a finite number is no measurement, what is not text is shown as text, and long
text is cut.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

LONGEST = 600  # characters of one value
FAMILIES = {"tts": "text to speech", "vc": "voice conversion", "vocoder": "vocoded real speech",
            "codec": "speech through a neural codec", "copy": "copies of real speech",
            "hybrid": "partly synthetic speech"}


@dataclass(frozen=True)
class Measure:
    """A measured figure with its interval, where it has one."""

    value: float
    low: float | None = None
    high: float | None = None
    bona_fide: int | None = None
    spoof: int | None = None

    def percent(self) -> str:
        """``36.2 % [29.9, 40.5]``"""
        ends = "" if self.low is None else f" [{100 * self.low:.1f}, {100 * self.high:.1f}]"
        return f"{100 * self.value:.1f} %{ends}".replace("-", "−")

    def plain(self) -> str:
        """``0.922 [0.849, 1.008]``"""
        ends = "" if self.low is None else f" [{self.low:.3f}, {self.high:.3f}]"
        return f"{self.value:.3f}{ends}".replace("-", "−")


@dataclass(frozen=True)
class Table:
    """Rows of text under headers; ``numeric``: the columns to set right."""

    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: tuple[int, ...] = ()
    title: str = ""
    note: str = ""


@dataclass(frozen=True)
class Section:
    """One part of the card. ``missing``: what is not stated, in one sentence; then the rest is empty."""

    key: str
    title: str
    words: tuple[str, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()
    tables: tuple[Table, ...] = ()
    missing: str = ""


def finite(value: Any) -> float | None:
    """A finite number, or None for anything else (truth values and numbers written as text among it)."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None


def whole(value: Any) -> int | None:
    number = finite(value)
    return None if number is None or number < 0 or number > 1e12 else int(number)


def numbers(node: Any) -> list[float]:
    """The finite numbers of a list; none of anything else."""
    return [n for v in node if (n := finite(v)) is not None] if isinstance(node, list) else []


def measure(node: Any) -> Measure | None:
    """A number, or a mapping with ``value`` and, where it has one, an interval as low and high or as ``interval``."""
    if not isinstance(node, Mapping):
        value = finite(node)
        return None if value is None else Measure(value)
    value = finite(node.get("value"))
    if value is None:
        return None
    ends = node.get("interval")
    if not (isinstance(ends, Sequence) and not isinstance(ends, str) and len(ends) == 2):
        ends = (node.get("low"), node.get("high"))
    low, high = finite(ends[0]), finite(ends[1])
    if low is None or high is None:
        low = high = None
    return Measure(value, low, high, whole(node.get("bona_fide")), whole(node.get("spoof")))


def at(node: Any, *path: str) -> Any:
    """What lies at a path of a nested mapping; None where there is nothing."""
    for name in path:
        node = node.get(name) if isinstance(node, Mapping) else None
    return node


def items(node: Any) -> list[tuple[str, Any]]:
    """Entries of a mapping with their names as text; none of anything else."""
    return [(text(k), v) for k, v in node.items()] if isinstance(node, Mapping) else []


def entries(node: Any, *inside: str) -> list[Mapping]:
    """The mappings of a list, or of the list that a mapping holds under one of the names ``inside``."""
    if isinstance(node, Mapping):
        node = next((node[name] for name in inside if isinstance(node.get(name), list)), None)
    return [e for e in node if isinstance(e, Mapping)] if isinstance(node, list) else []


def text(value: Any) -> str:
    """Any value as one line of text; lists by commas, mappings as name: value."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        words = ", ".join(f"{text(k)}: {text(v)}" for k, v in list(value.items())[:40])
    elif isinstance(value, list | tuple):
        words = ", ".join(text(v) for v in value[:40])
    elif isinstance(value, float):
        words = f"{value:.6g}".replace("-", "−")
    else:
        words = str(value)
    words = " ".join("".join(c if c.isprintable() else " " for c in words[: 2 * LONGEST]).split())
    return words if len(words) <= LONGEST else words[: LONGEST - 1] + "…"


def family_words(name: str) -> str:
    return FAMILIES.get(name.lower(), name)


def times_in_hundred(rate: float) -> str:
    """``36 times in 100``; finer where it is rare."""
    hundred = 100 * rate
    if hundred >= 0.95:
        return f"{hundred:.0f} time{'' if round(hundred) == 1 else 's'} in 100"
    return f"{10 * hundred:.0f} times in 1,000" if hundred >= 0.095 else "fewer than 1 time in 1,000"


def flat(node: Any, path: tuple[str, ...] = (), depth: int = 6) -> Iterator[tuple[str, str]]:
    """(dotted name, value as text) of everything in a nested mapping."""
    if isinstance(node, Mapping) and depth:
        for name, inner in node.items():
            yield from flat(inner, (*path, text(name)), depth - 1)
    else:
        yield ".".join(path), text(node)
