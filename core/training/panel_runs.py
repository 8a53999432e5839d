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

from core.frames import plan_windows
from core.training.corpus import FOLDS, Clip, split
from core.training.hybrids import Hybrid, make_hybrids
from core.training.measure import HeldOut
from core.training.panel import Bank, PanelRecipe, build_bank, clip_scores, fit_panel, join
from core.training.runs import CLIP_HOP, CLIP_WINDOW, HYBRIDS_PER_FOLD
from models.encoder import FrameEncoder
from models.finfoed import guard
from models.panel import Panel

PARTITION_SEEDS = (1, 2, 3)


def load_bank(work: Path, clips: Sequence[Clip], encoder: FrameEncoder, guard_bands: int, recipe: PanelRecipe,
              say: Callable[[str], None] = lambda text: None) -> Bank:
    """Statistics of every view that the recipe uses of the originals, and of the undegraded copies (for comparison)."""
    originals, copies = [c for c in clips if not c.copier], [c for c in clips if c.copier]
    wanted = [(originals, view) for view in sorted({0, *recipe.views})]
    if copies:
        wanted.append((copies, 0))

    def progress(done: int, total: int) -> None:
        if done % 500 == 0 or done == total:
            say(f"statistics: {done} of {total}")

    return join([build_bank(work, chosen, view, encoder, guard_bands, progress) for chosen, view in wanted])


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
              encoder: FrameEncoder, view: int = 0
              ) -> tuple[dict[str, float], dict[str, dict[str, float]], list[Panel]]:
    """Held-out score per original clip, the same of each member, and the panel of each fold."""
    scores: dict[str, float] = {}
    members: dict[str, dict[str, float]] = {}
    panels = []
    for fold in folds:
        training, test = split(clips, fold)
        panel = fit_panel(bank, training, recipe, encoder)
        total, parts = clip_scores(panel, bank, view, {c.clip for c in test})
        scores |= total
        for name, values in parts.items():
            members.setdefault(name, {}).update(values)
        panels.append(panel)
    return scores, members, panels


def leave_family_out(bank: Bank, clips: Sequence[Clip], recipe: PanelRecipe, encoder: FrameEncoder
                     ) -> dict[str, dict[str, float]]:
    """family -> score of its clips and of a source-disjoint half of the bona fide, by a panel that saw neither.

    Copies are left out of training here: they are of the vocoder family.
    """
    found = {}
    for family in sorted({c.family for c in clips if not c.bonafide and not c.copier}):
        scores: dict[str, float] = {}
        for fold in FOLDS:
            training, test = split([c for c in clips if not c.copier], fold)
            panel = fit_panel(bank, [c for c in training if c.family != family], recipe, encoder)
            scores |= clip_scores(panel, bank, 0, {c.clip for c in test if c.bonafide or c.family == family})[0]
        found[family] = scores
    return found


@torch.inference_mode()
def score_samples(panel: Panel, encoder: FrameEncoder, samples: np.ndarray, guard_bands: int
                  ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Window scores (W,), their lengths (W,), frame scores (T,) of one clip float32 (n,), cut as an examination does."""
    clip, lengths, frames = [], [], []
    for window in plan_windows(len(samples)):
        wav = torch.from_numpy(np.ascontiguousarray(samples[window.start : window.stop], np.float32)).unsqueeze(0)
        states = encoder.forward_features(guard(encoder.features(wav), guard_bands))[:, 0].float()
        output = panel(wav, states)
        clip.append(float(output.clip))
        lengths.append(window.n_samples)
        frames.append(output.frames[0].numpy())
    return np.array(clip), np.array(lengths), np.concatenate(frames)


def score_hybrid(panel: Panel, encoder: FrameEncoder, hybrid: Hybrid, guard_bands: int) -> dict:
    """Frame scores of a hybrid, and the clip score slid along it in 0.8 s windows (the comparison)."""
    clip, lengths, frames = score_samples(panel, encoder, hybrid.samples, guard_bands)
    starts = range(0, max(1, len(hybrid.samples) - CLIP_WINDOW + 1), CLIP_HOP)
    windows = np.stack([hybrid.samples[s : s + CLIP_WINDOW] for s in starts])
    with torch.inference_mode():
        wav = torch.from_numpy(np.ascontiguousarray(windows, np.float32))
        slid = panel(wav, encoder.forward_features(guard(encoder.features(wav), guard_bands))[:, 0].float()).clip
    return {"frames": frames, "slid": slid.numpy(), "clip": float(np.average(clip, weights=lengths)),
            "span": np.array(hybrid.spoof_span_s), "duration_s": len(hybrid.samples) / 16_000,
            "host": hybrid.host.clip, "donor": hybrid.donor.clip}


def hybrids_of(work: Path, clips: Sequence[Clip], panels: Sequence[Panel], encoder: FrameEncoder, guard_bands: int,
               per_fold: int = HYBRIDS_PER_FOLD) -> list[dict]:
    """Scored hybrids of the declared folds, each by the panel that heard neither host nor donor."""
    found = []
    for i, (fold, panel) in enumerate(zip(FOLDS, panels, strict=True)):
        _, test = split(clips, fold)
        found += [score_hybrid(panel, encoder, h, guard_bands) for h in make_hybrids(work, test, per_fold, seed=i)]
    return found


def brief(clips: Sequence[Clip], scores: dict[str, float], n: int = 200) -> dict:
    """Pooled EER with interval, macro EER, and pooled EER by family."""
    held = HeldOut([c for c in clips if not c.copier], scores)
    families = {f: held.eer(held.family == f, n=2)["value"] for f in sorted(set(held.family[~held.bonafide]))}
    return {"eer_pooled": held.eer(n=n), "eer_macro": held.macro(n=2)[0]["value"], "by_family": families}
