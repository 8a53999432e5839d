"""What the cards of the speaker networks say about their errors, in the form that figures take."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Row = tuple[float, float, float, float]


def share_curves(cards: Mapping[str, Mapping[str, Any]]) -> dict[str, list[Row]]:
    """Per method (raw, energy, silero, svvad) rows of (share of other speakers, EER, low, high), shares ascending; empty
    where the gate's card has none.
    """
    from core.speaker.networks import GATE

    curves: dict[str, list[Row]] = {}
    given = cards.get(GATE, {}).get("curves", {})
    for share, methods in sorted(given.items(), key=lambda item: float(item[0])):
        for name, values in methods.items():
            curves.setdefault(name, []).append((float(share), *(float(x) for x in values)))
    return curves
