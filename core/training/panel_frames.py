"""The panel's frame score: its two parts fitted on hybrids with exact labels and on whole clips, fold by fold.

Hybrids are made within a fold of the declared partition, so those of a held-out fold are never fitted on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from core.panel import WINDOW, panel_windows
from core.training.corpus import FOLDS, Clip, load_views, split
from core.training.hybrids import make_hybrids
from core.training.panel import PanelRecipe, apply, beyond, fit_linear
from models import views
from models.panel import Panel

STEP, FIRST = 20, 5  # frames of 10 ms: where statistics are kept
MARGIN_S = 0.1  # places nearer to a splice than this are left out
HYBRIDS = 400  # per fold, for fitting; those of the evaluation have other seeds
SEED = 1_000
BEYOND = -1
WHOLE_EVERY = 3  # of the whole clips one in so many is heard
WHOLE_SHARE = 0.2  # of the weight goes to whole clips


@dataclass(frozen=True, eq=False)
class Places:
    """Local statistics at places in sound. K places."""

    x: np.ndarray  # (K, LOCAL) float16, of the views' tracks
    near: np.ndarray  # (K, W) float16, of the network's bands
    bonafide: np.ndarray  # (K,) bool
    fold: np.ndarray  # (K,) index into FOLDS, or BEYOND
    item: np.ndarray  # (K,) which clip or hybrid
    whole: np.ndarray  # (K,) bool: of a whole clip


@torch.inference_mode()
def local_statistics(panel: Panel, samples: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sound float32 (n,) -> statistics (K, LOCAL) and (K, W) float16, their times (K,) in seconds, window by window."""
    found, near, times = [], [], []
    for window in panel_windows(len(samples)):
        wav = torch.from_numpy(np.ascontiguousarray(samples[window.start : window.stop], np.float32)).unsqueeze(0)
        tracks = views.local_tracks(views.frame_tracks(views.prepare(wav))[0])
        local = panel.local_statistics(tracks)[0]  # (LOCAL, S)
        heard = panel.near_statistics(panel.hear(wav)[1], wav.shape[1], local.shape[1])[0]  # (W, S)
        places = np.arange(FIRST, max(FIRST + 1, wav.shape[1] // 160), STEP)
        found.append(local[:, places].half().numpy().T)
        near.append(heard[:, places].half().numpy().T)
        times.append(window.start / 16_000 + 0.01 * places)
    return np.concatenate(found), np.concatenate(near), np.concatenate(times)


def build_places(folder: Path, clips: Sequence[Clip], blank: Panel) -> Places:
    """Places of every third whole clip and of fresh hybrids, fold by fold; kept on disk beside the bank. Clips from
    beyond the declared folds are of fold -1.
    """
    path = folder / "panel" / f"heard-places-{len(clips)}-{HYBRIDS}-{WINDOW}.npz"
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        folds = {i: split(clips, fold)[1] for i, fold in enumerate(FOLDS)}
        folds[BEYOND] = [c for c in clips if beyond(c)]
        parts = [part for i, mine in folds.items() for part in _of_fold(folder, mine, i, blank)]
        arrays = {"x": np.concatenate([p[0] for p in parts]), "near": np.concatenate([p[1] for p in parts]),
                  "bonafide": np.concatenate([p[2] for p in parts]),
                  "fold": np.concatenate([np.full(len(p[0]), p[3]) for p in parts]),
                  "item": np.concatenate([np.full(len(p[0]), n) for n, p in enumerate(parts)]),
                  "whole": np.concatenate([np.full(len(p[0]), p[4]) for p in parts])}
        partial = path.with_suffix(".part")
        with partial.open("wb") as file:
            np.savez(file, **arrays)
        partial.replace(path)
    with np.load(path, allow_pickle=False) as data:
        return Places(*(data[k] for k in ("x", "near", "bonafide", "fold", "item", "whole")))


def _of_fold(folder: Path, clips: Sequence[Clip], fold: int, panel: Panel) -> list[tuple]:
    """(both statistics, labels, fold, whole) of hybrids of a fold's clips and of every third whole clip."""
    parts = []
    for clip in [c for c in clips if not c.partial][::WHOLE_EVERY]:
        x, near, _ = local_statistics(panel, load_views(folder, clip)[0].astype(np.float32) / 32768.0)
        parts.append((x, near, np.full(len(x), clip.bonafide), fold, True))
    for hybrid in make_hybrids(folder, clips, HYBRIDS, seed=SEED + fold) if clips else ():
        x, near, times = local_statistics(panel, hybrid.samples)
        start, stop = hybrid.spoof_span_s
        clear = np.minimum(np.abs(times - start), np.abs(times - stop)) > MARGIN_S
        inside = (times >= start) & (times < stop)
        parts.append((x[clear], near[clear], ~inside[clear], fold, False))
    return parts


def join_places(parts: Sequence[Places]) -> Places:
    """Several folders' places as one."""
    first = np.cumsum([0, *(p.item.max() + 1 for p in parts)])
    return Places(*(np.concatenate([getattr(p, k) for p in parts]) for k in ("x", "near", "bonafide", "fold")),
                  np.concatenate([p.item + n for p, n in zip(parts, first, strict=False)]),
                  np.concatenate([p.whole for p in parts]))


def fit_frames(panel: Panel, places: Places, folds: Sequence[int], recipe: PanelRecipe) -> None:
    """Fit ``panel.local`` and ``panel.near`` on the places of these folds and of those beyond: each class one half, an
    item by the root of its places; each part to the same deviation, the views' counting ``recipe.local_share`` times.
    """
    kept = np.isin(places.fold, [BEYOND, *folds])
    label, item, whole = places.bonafide[kept], places.item[kept], places.whole[kept]
    weight = 1.0 / np.sqrt(np.bincount(item)[item])
    for value in (True, False):
        for kind, share in ((True, WHOLE_SHARE), (False, 1.0 - WHOLE_SHARE)):
            chosen = (label == value) & (whole == kind)
            weight[chosen] *= 0.5 * share / max(weight[chosen].sum(), 1e-12)
    for name, x, share in (("local", places.x[kept], recipe.local_share), ("near", places.near[kept], 1.0)):
        part = fit_linear(x, np.where(label, 1.0, -1.0), weight, recipe.local_penalty).requires_grad_(False).eval()
        factor = share / (1.0 + recipe.local_share) / max(float(np.sqrt(np.cov(apply(part, x), aweights=weight))), 1e-6)
        part.weight.mul_(factor)
        part.bias.mul_(factor)
        setattr(panel, name, part)
