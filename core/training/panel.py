"""Fitting the panel: statistics of every window once, then ridge regressions in closed form, fold by fold in seconds.

Balance decides more than anything else here: a window counts by its share of the clip, a clip by the inverse square
root of its system's size, a source by the square root of its own, and each class for one half. And what tells one
source from another within a class is penalised beside the sum of squares: it is what a detector must not learn.

Reference
---------
Hatch, Kajarekar & Stolcke 2006, "Within-class covariance normalization for SVM-based speaker recognition", Interspeech
(the idea of the penalty on sources).
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from core.panel import panel_windows
from core.training.corpus import FOLDS, Clip, load_views
from core.training.processes import processes
from models import views
from models.panel import LIMIT, MAPS_VIEW, NETWORK_VIEW, NETWORK_VIEWS, Linear, Panel

SHORTEST = 3_200  # samples; shorter clips are repeated
PORTION = 100  # clips that a process listens to at a time


@dataclass(frozen=True)
class PanelRecipe:
    """What the panel is fitted on and how. ``penalty`` is the ridge relative to a total sample weight of one."""

    members: tuple[str, ...] = (*views.VIEWS, *NETWORK_VIEWS)
    penalty: float = 0.3
    network_penalty: float = 1.0
    maps_penalty: float = 2.0
    network_views: tuple[int, ...] = (0,)  # its vectors cost most, so what reads them is fitted on these alone
    local_penalty: float = 0.1
    local_share: float = 2.0  # of the views' part in the frame score, the network's being 1
    views: tuple[int, ...] = (0, 2)  # prepared views of each clip: 0 is undegraded
    more: bool = True
    copies: bool = True  # among these
    more_share: float = 0.75  # of each class's weight goes to clips from beyond the declared folds
    degraded_share: float = 0.1  # of a clip's weight
    emphasis: tuple[tuple[str, float], ...] = (("residual", 2.0), ("maps", 1.5))  # weights in the sum; others have 1
    source_penalty: float = 0.7  # on the scatter of the sources' means, relative to that of the clips


@dataclass(frozen=True, eq=False)
class Bank:
    """Statistics of R windows."""

    clip: np.ndarray  # (R,) clip names
    view: np.ndarray  # (R,)
    samples: np.ndarray  # (R,) length of the window
    vectors: dict[str, np.ndarray]  # view name -> (R, D) float16


@torch.inference_mode()
def window_vectors(panel: Panel, samples: np.ndarray) -> dict[str, np.ndarray]:
    """One window float32 (n,) -> vector per view."""
    samples = np.resize(samples, SHORTEST) if len(samples) < SHORTEST else samples
    wav = torch.from_numpy(np.ascontiguousarray(samples, np.float32)).unsqueeze(0)
    return {k: v[0].half().numpy() for k, v in panel.vectors(wav)[0].items()}


def build_bank(folder: Path, clips: Sequence[Clip], view: int, panel: Panel,
               on_progress: Callable[[int, int], None] | None = None, workers: int = 1) -> Bank:
    """Statistics of one prepared view of the clips, window by window as an examination cuts them; kept on disk.

    A second call with the same clips reads them back. ``folder`` is the prepared working folder. Where ``panel`` is muted
    to its network, the vectors of what reads it are zeros. workers : processes that listen, of one thread each.
    """
    heard = "heard" if panel.listens else "muted"
    key = zlib.crc32("|".join([heard, *panel.names, *(c.clip for c in clips)]).encode())
    path = folder / "panel" / f"sound{view}-{len(clips)}-{key:08x}.npz"
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        write_bank(path, _measure(folder, clips, view, panel, on_progress, workers))
    return read_bank(path)


def _measure(folder: Path, clips: Sequence[Clip], view: int, panel: Panel,
             on_progress: Callable[[int, int], None] | None, workers: int) -> Bank:
    jobs = [(folder, clips[i : i + PORTION], view, panel) for i in range(0, len(clips), PORTION)]
    found: list[Bank] = []

    def keep(bank: Bank) -> None:
        found.append(bank)
        if on_progress:
            on_progress(min(len(clips), PORTION * len(found)), len(clips))

    if workers < 2 or len(jobs) < 2:
        for job in jobs:
            keep(_portion(*job))
    else:
        with processes(workers) as pool:
            for bank in pool.map(_portion, *zip(*jobs, strict=True)):
                keep(bank)
    return join(found)


def _portion(folder: Path, clips: Sequence[Clip], view: int, panel: Panel) -> Bank:
    names, lengths, rows = [], [], []
    for clip in clips:
        available = load_views(folder, clip)
        samples = available[min(view, len(available) - 1)].astype(np.float32) / 32768.0
        for window in panel_windows(len(samples)):
            rows.append(window_vectors(panel, samples[window.start : window.stop]))
            names.append(clip.clip)
            lengths.append(window.n_samples)
    return Bank(np.array(names), np.full(len(names), view), np.array(lengths),
                {k: np.stack([r[k] for r in rows]) for k in rows[0]})


def write_bank(path: Path, bank: Bank) -> None:
    """Keep a bank on disk, whole or not at all."""
    partial = path.with_suffix(".part")
    with partial.open("wb") as file:
        np.savez(file, clip=bank.clip, view=bank.view, samples=bank.samples,
                 **{f"v_{k}": v for k, v in bank.vectors.items()})
    partial.replace(path)


def read_bank(path: Path) -> Bank:
    """What :func:`write_bank` kept. No pickled content is accepted."""
    with np.load(path, allow_pickle=False) as data:
        return Bank(data["clip"], data["view"], data["samples"],
                    {k[2:]: data[k] for k in data.files if k.startswith("v_")})


def join(banks: Sequence[Bank]) -> Bank:
    """Several banks as one."""
    return Bank(*(np.concatenate([getattr(b, name) for b in banks]) for name in ("clip", "view", "samples")),
                {k: np.concatenate([b.vectors[k] for b in banks]) for k in banks[0].vectors})


def beyond(clip: Clip) -> bool:
    """Whether a clip is from no source of the declared folds: trained on always, measured on never."""
    return not any(clip.source in fold for fold in FOLDS)


def clip_weights(clips: Sequence[Clip], more_share: float = 0.5) -> dict[str, float]:
    """Weight per clip: systems and sources by the square root of their size, each class one half, of which clips from
    beyond the declared folds have a fixed share.
    """
    weights: dict[str, float] = {}
    for bonafide in (True, False):
        mine = [c for c in clips if c.bonafide == bonafide]
        parts = [part for far in (False, True) if (part := [c for c in mine if beyond(c) == far])]
        shares = (1.0,) if len(parts) == 1 else (1.0 - more_share, more_share)
        for part, share in zip(parts, shares, strict=False):
            weights |= {name: 0.5 * share * value for name, value in _balanced(part).items()}
    return weights


def _balanced(clips: Sequence[Clip]) -> dict[str, float]:
    """Weights that sum to one: a clip by the inverse root of its system's size, a source by the root of its own."""
    sources = Counter(c.source for c in clips)
    systems = Counter((c.source, c.system) for c in clips)
    within: Counter = Counter()
    for c in clips:
        within[c.source] += systems[c.source, c.system] ** -0.5
    raw = {c.clip: systems[c.source, c.system] ** -0.5 / within[c.source] * sources[c.source] ** 0.5 for c in clips}
    total = sum(raw.values())
    return {name: value / total for name, value in raw.items()}


def fit_linear(x: np.ndarray, target: np.ndarray, weight: np.ndarray, penalty: float,
               source: np.ndarray | None = None, source_penalty: float = 1.0) -> Linear:
    """Weighted ridge regression on standardised, cut-off statistics. x (R, D), target (R,) in -1..1, weight (R,); with
    source (R,), directions in which the sources of a class lie apart are penalised too.
    """
    x = x.astype(np.float32)
    weight = weight / weight.sum()
    mean = np.median(x, axis=0)
    inverse = 1.0 / (x.std(axis=0) + 1e-4)
    z = np.clip((x - mean) * inverse, -LIMIT, LIMIT)
    centre, level = weight @ z, float(weight @ target)
    rows = (z - centre) * np.sqrt(weight)[:, None]
    goal = (target - level) * np.sqrt(weight)
    if source is not None:
        apart = np.sqrt(source_penalty) * _sources_apart(z - centre, target, weight, source)
        rows, goal = np.concatenate([rows, apart]), np.concatenate([goal, np.zeros(len(apart), goal.dtype)])
    scale = penalty * z.shape[1] / 1_000.0
    if len(rows) > z.shape[1]:
        solution = np.linalg.solve(rows.T @ rows + scale * np.eye(z.shape[1], dtype=np.float32), rows.T @ goal)
    else:
        solution = rows.T @ np.linalg.solve(rows @ rows.T + scale * np.eye(len(rows), dtype=np.float32), goal)
    linear = Linear(x.shape[1])
    values = {"mean": mean, "inverse": inverse, "weight": solution, "bias": np.array([level - centre @ solution])}
    linear.load_state_dict({k: torch.from_numpy(np.ascontiguousarray(v, np.float32)) for k, v in values.items()})
    return linear


def _sources_apart(z: np.ndarray, target: np.ndarray, weight: np.ndarray, source: np.ndarray) -> np.ndarray:
    """How far each source's mean is from its class's, as rows (G, D) whose squares sum to the scatter. z (R, D). A source
    counts by the square root of its weight, each class for one half.
    """
    found = []
    for side in np.unique(target):
        names, group = np.unique(source[target == side], return_inverse=True)
        share = np.zeros((len(names), len(group)), np.float32)
        share[group, np.arange(len(group))] = weight[target == side]
        size = share.sum(1)
        means = (share @ z[target == side]) / size[:, None]
        part = np.sqrt(size) / np.sqrt(size).sum()
        found.append(np.sqrt(0.5 * part)[:, None] * (means - part @ means))
    return np.concatenate(found).astype(np.float32)


def fit_panel(bank: Bank, clips: Sequence[Clip], recipe: PanelRecipe, blank: Panel) -> Panel:
    """Fit the members on the clips' mean vectors. ``blank`` brings the frozen network; the frame score is
    ``core.training.panel_frames``' business.
    """
    chosen = {c.clip: c for c in clips if (recipe.more or not beyond(c)) and (recipe.copies or not c.copier)}
    share = clip_weights(list(chosen.values()), recipe.more_share)
    rows = np.flatnonzero(np.isin(bank.clip, list(chosen)) & np.isin(bank.view, recipe.views))
    group, names, views_of = _by_clip(bank, rows)
    target = np.array([1.0 if chosen[name].bonafide else -1.0 for name in names])
    source = np.array([chosen[name].source for name in names]) if recipe.source_penalty else None
    weight = np.array([share[name] for name in names]) * _parts(names, views_of == 0, recipe.degraded_share)
    panel = blank.unfitted()
    shares, emphasis = [], dict(recipe.emphasis)
    for name in panel.names:
        vectors = _means(bank.vectors[name][rows], group, bank.samples[rows])
        used = np.isin(views_of, recipe.network_views if name in NETWORK_VIEWS else recipe.views)
        penalty = {NETWORK_VIEW: recipe.network_penalty, MAPS_VIEW: recipe.maps_penalty}.get(name, recipe.penalty)
        linear = fit_linear(vectors[used], target[used], weight[used], penalty,
                            None if source is None else source[used], recipe.source_penalty)
        panel.members[name] = linear
        spread = float(np.sqrt(np.cov(apply(linear, vectors[used]), aweights=weight[used])))
        shares.append(emphasis.get(name, 1.0) / max(spread, 1e-6) if name in recipe.members else 0.0)
    panel.share.copy_(torch.tensor(shares) / len(recipe.members))
    return panel.eval().requires_grad_(False)


def _by_clip(bank: Bank, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Windows of one clip and view together: group of each row (R,), clip and view of each group (G,)."""
    keys = np.char.add(np.char.add(bank.clip[rows], "|"), bank.view[rows].astype(str))
    _, first, group = np.unique(keys, return_index=True, return_inverse=True)
    return group, bank.clip[rows][first], bank.view[rows][first]


def _means(x: np.ndarray, group: np.ndarray, samples: np.ndarray) -> np.ndarray:
    """Mean vector of each group, windows by length: (R, D) -> (G, D) float32."""
    total = np.bincount(group, samples.astype(np.float64))
    sums = np.zeros((len(total), x.shape[1]))
    np.add.at(sums, group, x.astype(np.float64) * samples[:, None])
    return (sums / total[:, None]).astype(np.float32)


def _parts(names: np.ndarray, clean: np.ndarray, degraded_share: float) -> np.ndarray:
    """Which part of its clip's weight each view has (G,): the degraded ones share ``degraded_share`` where there is a
    clean one too.
    """
    count = Counter(zip(names, clean, strict=True))
    half = np.where(clean, 1.0 - degraded_share, degraded_share)
    alone = np.array([(n, not c) not in count for n, c in zip(names, clean, strict=True)])
    number = np.array([count[n, c] for n, c in zip(names, clean, strict=True)])
    return np.where(alone, 1.0, half) / number


def apply(linear: Linear, x: np.ndarray) -> np.ndarray:
    """Scores of rows (R, D) -> (R,)."""
    with torch.inference_mode():
        return linear(torch.from_numpy(x.astype(np.float32))).numpy()


def clip_scores(panel: Panel, bank: Bank, view: int = 0, only: set[str] | None = None
                ) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
    """Mean over windows by length: the panel's score per clip, and each member's."""
    rows = np.flatnonzero((bank.view == view) & (np.isin(bank.clip, list(only)) if only is not None else True))
    members = np.stack([apply(panel.members[n], bank.vectors[n][rows]) for n in panel.names], 1)  # (R, M)
    total = members @ panel.share.numpy()
    sums: dict[str, np.ndarray] = {}
    for i, r in enumerate(rows):
        value = np.concatenate([[1.0, total[i]], members[i]]) * bank.samples[r]
        sums[str(bank.clip[r])] = sums.get(str(bank.clip[r]), 0.0) + value
    means = {k: v[1:] / v[0] for k, v in sums.items()}
    return ({k: float(v[0]) for k, v in means.items()},
            {n: {k: float(v[1 + j]) for k, v in means.items()} for j, n in enumerate(panel.names)})


def variants(recipe: PanelRecipe) -> dict[str, PanelRecipe]:
    """The shipped panel, and others: without what lies beyond the corpus or the copies in it, without or with more
    degraded views, each member left out.
    """
    found = {"panel": recipe, "corpus-only": replace(recipe, more=False), "no-copies": replace(recipe, copies=False),
             "no-augmentation": replace(recipe, views=(0,)),
             "degraded-share-0.3": replace(recipe, degraded_share=0.3),
             "no-source-penalty": replace(recipe, source_penalty=0.0), "even-members": replace(recipe, emphasis=())}
    for name in recipe.members:
        found[f"without-{name}"] = replace(recipe, members=tuple(m for m in recipe.members if m != name))
    found["without-the-network"] = replace(recipe, members=tuple(m for m in recipe.members if m not in NETWORK_VIEWS))
    return found
