"""Train RAD on frozen features, fold by fold, with its ablations at equal capacity.

A query never retrieves itself or what it was copied from; beyond that a recipe says what else is out of bounds while
training. The default is the query's whole source: that is what a questioned recording meets, since its source is in no
library, and a network that trains with neighbours from its own source learns to compare channels instead.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch.nn import functional as F

from core.library.geometry import Geometry
from core.training.baselines import balanced_weights
from core.training.corpus import Clip, split
from core.training.rad_features import Windows
from core.training.rad_shelf import Facts, Shelf, Shifts, fit_to, gather, nearest, shelve
from models.rad import RAD, RADConfig

LIBRARIES = ("bonafide", "both")
COPY_SHARE = 0.1  # of the spoof draws


@dataclass(frozen=True)
class RadRecipe:
    """How a network is trained. Every ablation is one changed field."""

    k: int = 10  # K, neighbours per layer
    tau: int = 20  # frames per block
    library: str = "bonafide"  # what is retrieved: bona fide clips only, as in the paper, or both
    exclude: str = "source"  # in training: the query's clip, also its speaker, also its source
    retrieve: str = "nearest"  # or "random": neighbours drawn blindly (control)
    sees: str = "both"  # see models.rad.INPUTS
    steps: int = 600
    batch: int = 48
    rate: float = 1e-3
    decay: float = 1e-2
    views: int = 3  # clean and degraded views of a query


def rad_variants(recipe: RadRecipe) -> dict[str, RadRecipe]:
    """The shipped recipe and its ablations."""
    return {
        "rad": recipe,
        "without-retrieval": replace(recipe, sees="query"),
        "difference-only": replace(recipe, sees="difference"),
        "random-neighbours": replace(recipe, retrieve="random"),
        "exclude-clip": replace(recipe, exclude="clip"),
        "exclude-speaker": replace(recipe, exclude="speaker"),
        "library-both": replace(recipe, library="both"),
        "k-1": replace(recipe, k=1),
        "k-5": replace(recipe, k=5),
        "tau-10": replace(recipe, tau=10),
        "tau-40": replace(recipe, tau=40),
    }


@dataclass(frozen=True, eq=False)
class Trained:
    """A trained network with the geometry and the library that it was trained with."""

    model: RAD
    geometry: Geometry
    library: Shelf
    losses: list[float]


@dataclass(frozen=True, eq=False)
class Ground:
    """What recipes of one tau share: the map, all views on it (clean first), and which clips are for training."""

    geometry: Geometry
    shelves: list[Shelf]
    inside: np.ndarray


def ground(
    clips: Sequence[Clip],
    views: Sequence[Windows],
    shifts: Shifts,
    training: Sequence[Clip],
    tau: int,
    geometry: Geometry | None = None,
) -> Ground:
    """Views of all ``clips`` (view 0 clean) on a map of the training clips alone, or on one that is given."""
    chosen = {c.clip for c in training}
    inside = np.array([c.clip in chosen for c in clips])
    if geometry is None:
        geometry = fit_to(views[0], shifts, Facts(clips), inside, tau=tau)
    return Ground(geometry, [shelve(view, geometry) for view in views], inside)


def train_rad(
    clips: Sequence[Clip],
    ground: Ground,
    recipe: RadRecipe,
    *,
    seed: int = 0,
    on_step: Callable[[int, int, float], None] | None = None,
) -> Trained:
    """Train one network on the part of ``clips`` that the ground says."""
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    facts, inside, geometry = Facts(clips), ground.inside, ground.geometry
    shelves = ground.shelves[: recipe.views]
    library = library_of(shelves[0], facts, inside, recipe)
    queries = [s.take(np.flatnonzero(inside[s.clip])) for s in shelves]
    found = [neighbours_of(q, library, facts, recipe, rng) for q in queries]
    model = RAD(RADConfig(geometry.n_layers, geometry.short, sees=recipe.sees))
    _standardise(model, library)
    draws = _Draws(clips, queries[0], rng)
    losses = _descend(model, recipe, queries, found, library, draws, facts, on_step)
    return Trained(model.requires_grad_(False).eval(), geometry, library, losses)


def library_of(shelf: Shelf, facts: Facts, inside: np.ndarray, recipe: RadRecipe) -> Shelf:
    """The reference library of a recipe: original clips of the training part, clean."""
    wanted = inside & facts.original & (facts.bonafide if recipe.library == "bonafide" else True)
    return shelf.take(np.flatnonzero(wanted[shelf.clip]))


def neighbours_of(
    queries: Shelf, library: Shelf, facts: Facts, recipe: RadRecipe, rng: np.random.Generator, exclude: str | None = None
) -> np.ndarray:
    """Rows (n, K, L) of ``library`` for every query window, by the recipe's rules."""
    blind = rng if recipe.retrieve == "random" else None
    return np.concatenate(
        [
            nearest(
                part.vectors,
                library.vectors,
                facts.barred(part.clip, library.clip, exclude or recipe.exclude),
                recipe.k,
                blind,
            )
            for part in (
                queries.take(np.arange(i, min(i + 1000, len(queries.clip)))) for i in range(0, len(queries.clip), 1000)
            )
        ]
    )


class _Draws:
    """Query windows drawn with balanced sources and systems within each class; copies are a fixed share of the spoofs."""

    def __init__(self, clips: Sequence[Clip], queries: Shelf, rng: np.random.Generator) -> None:
        names = [clips[i] for i in queries.clip]
        weights = balanced_weights(names)
        copy, spoof = np.array([bool(c.copier) for c in names]), np.array([not c.bonafide for c in names])
        for part, share in ((copy, COPY_SHARE), (spoof & ~copy, 1 - COPY_SHARE)):
            if part.any():
                weights[part] *= 0.5 * share / weights[part].sum()
        self.weights, self.rng = weights / weights.sum(), rng
        self.bonafide_share = float(self.weights[~spoof].sum())

    def rows(self, n: int) -> np.ndarray:
        return self.rng.choice(len(self.weights), n, p=self.weights)


def _standardise(model: RAD, library: Shelf) -> None:
    """Fix the input's mean and deviation to those of the library's filled blocks."""
    filled = np.arange(library.short.shape[2]) < library.blocks[:, None]
    for layer in range(library.short.shape[1]):
        x = library.short[:, layer][filled].astype(np.float32)
        model.mean[layer, 0] = torch.from_numpy(x.mean(0))
        model.deviation[layer, 0] = torch.from_numpy(x.std(0).clip(1e-3))


def _descend(
    model: RAD,
    recipe: RadRecipe,
    queries: Sequence[Shelf],
    found: Sequence[np.ndarray],
    library: Shelf,
    draws: _Draws,
    facts: Facts,
    on_step: Callable[[int, int, float], None] | None,
) -> list[float]:
    optimiser = torch.optim.AdamW(model.parameters(), lr=recipe.rate, weight_decay=recipe.decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, recipe.rate, total_steps=recipe.steps, pct_start=0.1)
    share = min(max(draws.bonafide_share, 1e-3), 1 - 1e-3)
    class_weights = torch.tensor([0.5 / (1 - share), 0.5 / share])  # spoof, bona fide
    losses = []
    model.train()
    for step in range(1, recipe.steps + 1):
        view = int(draws.rng.integers(len(queries)))
        rows = draws.rows(recipe.batch)
        rows = rows[rows < len(queries[view].clip)]
        shelf = queries[view].take(rows)
        output = _forward(model, shelf, library, found[view][rows])
        target = torch.from_numpy(facts.bonafide[shelf.clip].astype(np.int64))
        loss = F.cross_entropy(output.logits, target, weight=class_weights)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        losses.append(float(loss.detach()))
        if on_step:
            on_step(step, recipe.steps, losses[-1])
    model.eval()
    return losses


def _forward(model: RAD, queries: Shelf, library: Shelf, rows: np.ndarray):
    x, blocks, valid = gather(library, rows)
    layers = queries.short.shape[1]
    own = torch.from_numpy(queries.blocks)[:, None].expand(-1, layers)
    return model(torch.from_numpy(queries.short).float(), own, x, blocks, valid)


@torch.inference_mode()
def window_scores(
    trained: Trained,
    queries: Shelf,
    facts: Facts,
    recipe: RadRecipe,
    *,
    library: Shelf | None = None,
    exclude: str = "clip",
    seed: int = 0,
) -> np.ndarray:
    """Score of every query window (n,), higher for bona fide, against the trained or another library."""
    library = trained.library if library is None else library
    rows = neighbours_of(queries, library, facts, recipe, np.random.default_rng(seed), exclude)
    parts = [
        _forward(trained.model, queries.take(np.arange(i, min(i + 256, len(rows)))), library, rows[i : i + 256]).score
        for i in range(0, len(rows), 256)
    ]
    return torch.cat(parts).numpy()


def clip_scores(scores: np.ndarray, clip: np.ndarray, clips: Sequence[Clip]) -> dict[str, float]:
    """Mean over the windows of each clip, by clip name."""
    return {clips[i].clip: float(scores[clip == i].mean()) for i in np.unique(clip)}


def fold_parts(clips: Sequence[Clip], held_out: Sequence[str]) -> tuple[list[Clip], np.ndarray]:
    """(training clips, mask over clips of the test's originals) of one leave-source-out fold."""
    training, test = split(clips, held_out)
    names = {c.clip for c in test}
    return training, np.array([c.clip in names for c in clips])
