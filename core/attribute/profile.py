"""A map in a few numbers: its profile over time and over frequency, its strongest stretches and cells, in words."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.attribute.run import Map
from core.timeline import smooth, stretches

BANDS_HZ = ((0.0, 1_000.0), (1_000.0, 4_000.0), (4_000.0, 8_000.0))
STRETCH_SHARE = 0.2  # of the time counts as strongest
SPREAD_BELOW = 0.4  # an even map has 20 % in any fifth of the time, speech alone about 30 %
SHORTEST_S, BRIDGE_S, SMOOTHING_S = 0.06, 0.05, 0.05


@dataclass(frozen=True)
class Stretch:
    """A strong stretch of a map: seconds, its share of the map's size, and which way its sum points."""

    start_s: float
    stop_s: float
    share: float
    total: float


def over_time(given: Map) -> np.ndarray:
    """Signed sum of every column, [C]."""
    return given.values.sum(0)


def over_frequency(given: Map) -> np.ndarray:
    """Signed sum of every row, [R]."""
    return given.values.sum(1)


def band_shares(given: Map) -> list[tuple[str, float, float]]:
    """(band, share of the map's size, signed sum) for 0-1, 1-4 and 4-8 kHz. A row counts where its middle lies."""
    total = float(np.abs(given.values).sum()) or 1.0
    out = []
    for low, high in BANDS_HZ:
        rows = (given.bands_hz >= low) & (given.bands_hz < high)
        out.append((f"{low / 1000:.0f}–{high / 1000:.0f} kHz", float(np.abs(given.values[rows]).sum()) / total,
                    float(given.values[rows].sum())))
    return out


def strongest(given: Map, most: int = 8) -> list[Stretch]:
    """The stretches with most of the map's size, strongest first: the top fifth of the smoothed time profile."""
    size = np.abs(given.values).sum(0)
    total = float(size.sum())
    if total <= 0:
        return []
    line = smooth(size, max(1, round(SMOOTHING_S / given.hop_s)))
    found = stretches(line > np.quantile(line, 1 - STRETCH_SHARE), bridge=round(BRIDGE_S / given.hop_s),
                      shortest=max(1, round(SHORTEST_S / given.hop_s)))
    signed = over_time(given)
    made = [Stretch(given.start_s + a * given.hop_s, given.start_s + b * given.hop_s, float(size[a:b].sum()) / total,
                    float(signed[a:b].sum())) for a, b in found]
    return sorted(made, key=lambda s: -s.share)[:most]


def top_cells(given: Map, share: float, sign: int = 0) -> np.ndarray:
    """The strongest ``share`` of a map's cells as a mask over its values, (R, C) bool.

    sign : 1 or -1 for the strongest towards bona fide or spoof, 0 for either. Cells are those of ``core.audit.cells``.
    """
    from core.audit.cells import grid_of

    grid = grid_of(given.values.shape)
    cells = grid.pool(given.values)
    worth = np.abs(cells) if sign == 0 else sign * cells
    k = max(1, round(share * cells.size))
    chosen = np.zeros(cells.size, bool)
    chosen[np.argsort(-worth, axis=None, kind="stable")[:k]] = True
    return grid.spread(chosen.reshape(cells.shape) & (worth > 0))


def sentence(given: Map) -> str:
    """Where most of the map lies, in one sentence. No claim that it can be believed."""
    stretch = strongest(given, 1)
    if not stretch:
        return "The map is empty: nothing in this input moves the score."
    bands = band_shares(given)
    band = max(bands, key=lambda b: b[1])
    first = stretch[0]
    size = np.sort(np.abs(given.values).sum(0))[::-1]
    fifth = float(size[: max(1, round(STRETCH_SHARE * len(size)))].sum() / size.sum())
    where = f"between {first.start_s:.2f} and {first.stop_s:.2f} s"
    words = (f"The map is spread over time: its strongest fifth of the time holds {fifth:.0%} of it, most of that {where}"
             if fifth < SPREAD_BELOW else
             f"The map is gathered: a fifth of the time holds {fifth:.0%} of it, most of that {where}")
    return words + ("." if given.values.shape[0] == 1 else f"; {band[1]:.0%} of it lies at {band[0]}.")
