"""The panel's frame score: fitted on hybrids with exact labels and on whole clips, fold by fold.

Hybrids are made within a fold of the declared partition, so those of a held-out fold are never fitted on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from core.frames import plan_windows
from core.training.corpus import FOLDS, Clip, load_views, split
from core.training.data import FRAME, splice
from core.training.hybrids import Hybrid, make_hybrids
from core.training.panel import PanelRecipe, fit_linear
from models import views
from models.encoder import FrameEncoder
from models.panel import Panel, panel_for

STEP, FIRST = 20, 5  # frames of 10 ms: where statistics are kept
MARGIN_S = 0.1  # places nearer to a splice than this are left out
HYBRIDS = 400  # per fold, for fitting; those of the evaluation have other seeds
COPY_HYBRIDS = 0  # per fold, besides: stretches replaced by their own copy. With 200, held-out systems lose 4 points
SEED = 1_000
WHOLE_SHARE = 0.2  # of the weight goes to whole clips


@dataclass(frozen=True, eq=False)
class Places:
    """Local statistics at places in sound. K places."""

    x: np.ndarray  # (K, LOCAL) float16
    bonafide: np.ndarray  # (K,) bool
    fold: np.ndarray  # (K,) index into FOLDS
    item: np.ndarray  # (K,) which clip or hybrid
    whole: np.ndarray  # (K,) bool: of a whole clip


@torch.inference_mode()
def local_statistics(panel: Panel, samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sound float32 (n,) -> statistics (K, LOCAL) float16 and their times (K,) in seconds, window by window."""
    found, times = [], []
    for window in plan_windows(len(samples)):
        piece = samples[window.start : window.stop]
        x = views.prepare(torch.from_numpy(np.ascontiguousarray(piece, np.float32)).unsqueeze(0))
        local = panel.local_statistics(views.local_tracks(views.frame_tracks(x)[0]))[0]  # (LOCAL, S)
        places = np.arange(FIRST, max(FIRST + 1, len(piece) // 160), STEP)
        found.append(local[:, places].half().numpy().T)
        times.append(window.start / 16_000 + 0.01 * places)
    return np.concatenate(found), np.concatenate(times)


def build_places(folder: Path, clips: Sequence[Clip], encoder: FrameEncoder) -> Places:
    """Places of all whole clips and of fresh hybrids, fold by fold; kept on disk beside the bank."""
    path = folder / "panel" / f"places-{len(clips)}-{HYBRIDS}-{COPY_HYBRIDS}.npz"
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        parts = [part for i in range(len(FOLDS)) for part in _of_fold(folder, clips, i, panel_for(encoder))]
        arrays = {"x": np.concatenate([p[0] for p in parts]), "bonafide": np.concatenate([p[1] for p in parts]),
                  "fold": np.concatenate([np.full(len(p[0]), p[2]) for p in parts]),
                  "item": np.concatenate([np.full(len(p[0]), n) for n, p in enumerate(parts)]),
                  "whole": np.concatenate([np.full(len(p[0]), p[3]) for p in parts])}
        partial = path.with_suffix(".part")
        with partial.open("wb") as file:
            np.savez(file, **arrays)
        partial.replace(path)
    with np.load(path, allow_pickle=False) as data:
        return Places(*(data[k] for k in ("x", "bonafide", "fold", "item", "whole")))


def _of_fold(folder: Path, clips: Sequence[Clip], fold: int, panel: Panel) -> list[tuple]:
    """(statistics, labels, fold, whole) of each clip and hybrid of a fold's sources."""
    _, mine = split(clips, FOLDS[fold])
    parts = []
    for clip in mine:
        if not clip.partial:
            x, _ = local_statistics(panel, load_views(folder, clip)[0].astype(np.float32) / 32768.0)
            parts.append((x, np.full(len(x), clip.bonafide), fold, True))
    copies = [c for c in clips if c.copier and c.source in FOLDS[fold]]
    for hybrid in (*make_hybrids(folder, mine, HYBRIDS, seed=SEED + fold),
                   *copy_hybrids(folder, mine, copies, COPY_HYBRIDS, seed=SEED + fold)):
        x, times = local_statistics(panel, hybrid.samples)
        start, stop = hybrid.spoof_span_s
        clear = np.minimum(np.abs(times - start), np.abs(times - stop)) > MARGIN_S
        inside = (times >= start) & (times < stop)
        parts.append((x[clear], ~inside[clear], fold, False))
    return parts


def copy_hybrids(folder: Path, originals: Sequence[Clip], copies: Sequence[Clip], count: int, seed: int
                 ) -> list[Hybrid]:
    """Real clips of which one stretch of 0.4-2 s is replaced by the same stretch of their own copy."""
    rng = np.random.default_rng(seed)
    hosts = {c.clip: c for c in originals if c.bonafide and load_views(folder, c).shape[1] >= 32_000}
    usable = [c for c in copies if c.parent in hosts]
    made: list[Hybrid] = []
    while usable and len(made) < count:
        copy = usable[rng.integers(len(usable))]
        host = hosts[copy.parent]
        x, y = (load_views(folder, c)[0].astype(np.float32) / 32768.0 for c in (host, copy))
        n = min(len(x), len(y)) // FRAME * FRAME
        length = int(min(rng.uniform(0.4, 2.0) * 16_000, 0.5 * n)) // FRAME * FRAME
        start = int(rng.integers(0, (n - length) // FRAME + 1)) * FRAME
        part = slice(start, start + length)
        gain = np.sqrt(np.mean(x[part] ** 2) + 1e-9) / np.sqrt(np.mean(y[part] ** 2) + 1e-9)
        mixed = splice(x[:n], y[:n] * min(float(gain), 8.0), start, start + length)
        made.append(Hybrid(mixed, start, start + length, host, copy))
    return made


def fit_frames(panel: Panel, places: Places, folds: Sequence[int], recipe: PanelRecipe) -> None:
    """Fit ``panel.local`` on the places of these folds: each class one half, an item by the root of its places."""
    kept = np.isin(places.fold, list(folds))
    x, label, item, whole = places.x[kept], places.bonafide[kept], places.item[kept], places.whole[kept]
    count = np.bincount(item)
    weight = 1.0 / np.sqrt(count[item])
    for value in (True, False):
        for kind, share in ((True, WHOLE_SHARE), (False, 1.0 - WHOLE_SHARE)):
            chosen = (label == value) & (whole == kind)
            weight[chosen] *= 0.5 * share / max(weight[chosen].sum(), 1e-12)
    panel.local = fit_linear(x, np.where(label, 1.0, -1.0), weight, recipe.local_penalty).requires_grad_(False).eval()
