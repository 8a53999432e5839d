"""The panel's protocol: leave sources out in several partitions, leave families out, hybrids; figures for the card.

A panel is fitted in seconds, so every comparison is made on four partitions of the sources rather than on seeds: the
folds of ``core.training.corpus`` and three more, drawn at random and balanced over the classes. Only the first was
looked at while the recipe was chosen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from core.panel import listen
from core.training.corpus import FOLDS, Clip, load_views, split
from core.training.hybrids import Hybrid, make_hybrids
from core.training.measure import HeldOut
from core.training.panel import Bank, PanelRecipe, build_bank, clip_scores, fit_panel, join
from core.training.runs import CLIP_WINDOW
from models.panel import Panel

PARTITION_SEEDS = (1, 2, 3)
HYBRIDS_PER_FOLD = 60
SLIDE = CLIP_WINDOW // 2  # samples between the clip score's windows along a hybrid


def load_bank(folder: Path, clips: Sequence[Clip], blank: Panel, recipe: PanelRecipe,
              say: Callable[[str], None] = lambda text: None, workers: int = 1) -> Bank:
    """Statistics of every view that the recipe uses. workers : processes that listen."""
    def progress(done: int, total: int) -> None:
        if done % 500 == 0 or done == total:
            say(f"statistics: {done} of {total}")

    muted = blank.without_network()
    return join([build_bank(folder, clips, view, blank if view in recipe.network_views else muted, progress, workers)
                 for view in sorted({0, *recipe.views})])


def partitions(clips: Sequence[Clip]) -> dict[str, list[tuple[str, ...]]]:
    """Name -> folds of sources: the corpus' own and the random ones. Sources of FOLDS only, each in one fold."""
    known = {s for fold in FOLDS for s in fold}
    present = sorted({c.source for c in clips} & known)
    found = {"declared": [tuple(s for s in fold if s in present) for fold in FOLDS]}
    return found | {f"random-{seed}": _random_folds(clips, present, seed) for seed in PARTITION_SEEDS}


def _random_folds(clips: Sequence[Clip], sources: Sequence[str], seed: int, n: int = 4) -> list[tuple[str, ...]]:
    """Sources dealt to the fold where they keep both classes most even, largest first, sizes shaken by the seed."""
    rng = np.random.default_rng(seed)
    size = {s: np.array([sum(c.source == s and c.bonafide == label for c in clips if not c.copier)
                         for label in (True, False)], float) for s in sources}
    total = sum(size.values())
    order = sorted(sources, key=lambda s: -size[s].sum() * np.exp(rng.standard_normal()))
    folds: list[list[str]] = [[] for _ in range(n)]
    load = np.zeros((n, 2))
    for source in order:
        share = size[source] / total
        best = min(range(n), key=lambda i: ((load[i] + share) ** 2).sum() - (load[i] ** 2).sum())
        folds[best].append(source)
        load[best] += share
    return [tuple(f) for f in folds]


def leave_out(bank: Bank, clips: Sequence[Clip], folds: Sequence[Sequence[str]], recipe: PanelRecipe,
              blank: Panel, view: int = 0
              ) -> tuple[dict[str, float], dict[str, dict[str, float]], list[Panel]]:
    """Held-out score per original clip, the same of each member, and the panel of each fold."""
    scores: dict[str, float] = {}
    members: dict[str, dict[str, float]] = {}
    panels = []
    for fold in folds:
        training, test = split(clips, fold)
        panel = fit_panel(bank, training, recipe, blank)
        total, parts = clip_scores(panel, bank, view, {c.clip for c in test})
        scores |= total
        for name, values in parts.items():
            members.setdefault(name, {}).update(values)
        panels.append(panel)
    return scores, members, panels


def leave_family_out(bank: Bank, clips: Sequence[Clip], recipe: PanelRecipe, blank: Panel
                     ) -> dict[str, dict[str, float]]:
    """family -> score of its clips and of a source-disjoint half of the bona fide, by a panel that saw neither.

    Copies are left out of training here: they are of the vocoder family.
    """
    found = {}
    for family in sorted({c.family for c in clips if not c.bonafide and not c.copier}):
        scores: dict[str, float] = {}
        for fold in FOLDS:
            training, test = split([c for c in clips if not c.copier], fold)
            panel = fit_panel(bank, [c for c in training if c.family != family], recipe, blank)
            scores |= clip_scores(panel, bank, 0, {c.clip for c in test if c.bonafide or c.family == family})[0]
        found[family] = scores
    return found


def score_samples(panel: Panel, samples: np.ndarray) -> tuple[float, np.ndarray]:
    """Clip score and frame scores (T,) of one clip float32 (n,), cut as an examination does."""
    reading = listen(samples, panel)
    lengths = [w.n_samples for w in reading.timeline.windows]
    return float(np.average(reading.scores, weights=lengths)), reading.frames


@torch.inference_mode()
def score_hybrid(panel: Panel, hybrid: Hybrid, host: np.ndarray) -> dict:
    """Frame scores of a hybrid and of its host as it was, float32 (n,), and the clip score slid along the hybrid in
    0.8 s windows every 0.4 s (the comparison).
    """
    clip, frames = score_samples(panel, hybrid.samples)
    host_clip, host_frames = score_samples(panel, host)
    starts = range(0, max(1, len(hybrid.samples) - CLIP_WINDOW + 1), SLIDE)
    windows = np.stack([hybrid.samples[s : s + CLIP_WINDOW] for s in starts])
    slid = panel(torch.from_numpy(np.ascontiguousarray(windows, np.float32))).clip
    return {"frames": frames, "slid": slid.numpy(), "slid_step_s": SLIDE / 16_000, "clip": clip,
            "host_clip": host_clip, "host_frames": host_frames,
            "span": np.array(hybrid.spoof_span_s), "duration_s": len(hybrid.samples) / 16_000,
            "host": hybrid.host.clip, "donor": hybrid.donor.clip}


def hybrids_of(work: Path, clips: Sequence[Clip], panels: Sequence[Panel]) -> list[dict]:
    """Scored hybrids of the declared folds, each by the panel that heard neither host nor donor."""
    found = []
    for i, (fold, panel) in enumerate(zip(FOLDS, panels, strict=True)):
        _, test = split(clips, fold)
        found += [score_hybrid(panel, h, load_views(work, h.host)[0].astype(np.float32) / 32768.0)
                  for h in make_hybrids(work, test, HYBRIDS_PER_FOLD, seed=i)]
    return found


def brief(clips: Sequence[Clip], scores: dict[str, float], n: int = 200) -> dict:
    """Pooled EER with interval, macro EER, and pooled EER by family."""
    held = HeldOut([c for c in clips if not c.copier], scores)
    families = {f: held.eer(held.family == f, n=2)["value"] for f in sorted(set(held.family[~held.bonafide]))}
    return {"eer_pooled": held.eer(n=n), "eer_macro": held.macro(n=2)[0]["value"], "by_family": families}
