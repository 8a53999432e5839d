"""Does the library find what it should? Recall of speakers and of degraded copies by layer; attribution of systems."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from core.library import Library
from core.library.attribute import LEAST_CLIPS, Discriminant, fit_curve, probability_known, system_clips
from core.library.geometry import Geometry
from core.training.corpus import Clip
from core.training.rad_features import Windows
from core.training.rad_shelf import Facts, Shelf, Shifts, fit_to, shelve

DEGRADED = "degraded"  # the working folder's first degraded view
NOISY = "white-20"  # the copy that stands for noise in the summary


def recall_figures(
    clips: Sequence[Clip], views: Sequence[Windows], shifts: Shifts, copies: Mapping[str, Windows]
) -> dict[str, Any]:
    """By layer: share of windows of known speakers whose nearest other clip (or one of ten) is of the same speaker, with
    chance beside it; and for every kind of copy (rad_copies) the share of its windows whose nearest segment is of the
    clean original.

    The sources are parted in two; each half is looked up on a map that was fitted on the other half alone.
    """
    facts = Facts(clips)
    half = np.random.default_rng(0).permutation(facts.source.max() + 1)[facts.source] % 2
    parts = [
        _recall_half(clips, views, copies, facts, half == h, fit_to(views[0], shifts, facts, half != h)) for h in (0, 1)
    ]
    joined = [
        {name: _r(np.concatenate([one[name], other[name]]).mean()) for name in one}
        for one, other in zip(*parts, strict=True)
    ]
    kinds = {DEGRADED: views[1], **copies}
    known = facts.original & _known(clips, facts)
    return {
        "by_layer": [
            {"layer": layer}
            | {k: v for k, v in row.items() if k not in kinds}
            | {"degraded_copy_finds_original_first": row[DEGRADED], "noisy_copy_finds_original_first": row[NOISY]}
            for layer, row in enumerate(joined)
        ],
        "copies": [
            {"copy": name, "windows": int(facts.original[windows.clip].sum())}
            | {f"layer {layer}": row[name] for layer, row in enumerate(joined)}
            for name, windows in kinds.items()
        ],
        "windows": int(known[views[0].clip].sum()),
        "speakers": len(set(facts.speaker[known])),
        "note": "a clip of the same speaker mostly shares its recording session and channel, too",
    }


def _known(clips: Sequence[Clip], facts: Facts) -> np.ndarray:
    """Which clips are bona fide of a named speaker who has another one, bool over clip numbers."""
    named = np.array([bool(c.speaker) and c.bonafide for c in clips])
    tally = Counter(facts.speaker[named & facts.original])
    return named & np.array([tally[s] >= 2 for s in facts.speaker])


def _recall_half(
    clips: Sequence[Clip],
    views: Sequence[Windows],
    copies: Mapping[str, Windows],
    facts: Facts,
    asked: np.ndarray,
    geometry: Geometry,
) -> list[dict[str, np.ndarray]]:
    """Hits (0 or 1, or chances) of the queries of the clips ``asked``, by layer and by name."""
    clean = shelve(views[0], geometry)
    clean = clean.take(np.flatnonzero(facts.original[clean.clip]))
    library = clean.take(np.flatnonzero(facts.bonafide[clean.clip]))
    queries = clean.take(np.flatnonzero((asked & _known(clips, facts))[clean.clip]))
    shelves = {name: shelve(windows, geometry) for name, windows in {DEGRADED: views[1], **copies}.items()}
    found = []
    for layer in range(geometry.n_layers):
        hits = _speakers(queries, library, layer, facts)
        for name, shelf in shelves.items():
            shelf = shelf.take(np.flatnonzero((asked & facts.original)[shelf.clip]))
            scores = shelf.vectors[:, layer] @ clean.vectors[:, layer].T
            hits[name] = (clean.clip[scores.argmax(1)] == shelf.clip).astype(float)
        found.append(hits)
    return found


def _speakers(queries: Shelf, library: Shelf, layer: int, facts: Facts) -> dict[str, np.ndarray]:
    """Whether the nearest other clip, or one of the nearest ten, is of the same speaker; and by chance. (q,) each."""
    scores = queries.vectors[:, layer] @ library.vectors[:, layer].T
    other = queries.clip[:, None] != library.clip
    same = (facts.speaker[queries.clip][:, None] == facts.speaker[library.clip]) & other
    best = np.argsort(-np.where(other, scores, -np.inf), axis=1)[:, :10]
    hit = np.take_along_axis(same, best, 1)
    share = same.sum(1) / other.sum(1)
    return {
        "speaker_at_1": hit[:, 0].astype(float),
        "speaker_at_10": hit.any(1).astype(float),
        "chance_at_1": share,
        "chance_at_10": 1 - (1 - share) ** 10,
    }


def attribution_figures(library: Library, folds: int = 5, seed: int = 0) -> tuple[dict[str, Any], dict[str, Any]]:
    """(figures, the "none of these" curve) on the library's own spoofed clips.

    Names: clips in five random parts, each judged by a discriminant fitted without it. Seen or unseen: every discriminant
    lacks one random part and one fifth of the systems; of the part's clips, those of the systems that it lacks are unseen
    and those of the next fifth seen, so that both are judged with equally much known (with fewer clips everything new
    looks farther away). The curve is judged on systems that it wasn't fitted on.
    """
    known = system_clips(library.segments, least=LEAST_CLIPS + 1)
    rng = np.random.default_rng(seed)
    part, truth = rng.integers(0, folds, len(known.code)), known.code
    group = rng.permutation(np.arange(len(known.names)) % folds)[truth]  # of the clip's system
    squares, seen, unseen = (np.zeros((len(truth), len(known.names))) for _ in range(3))
    for fold in range(folds):
        here = part == fold
        squares[here] = Discriminant(known.part(~here)).squares(known.x[here])
        for lacking in range(folds):
            model = Discriminant(known.part(~here & (group != lacking)))
            for found, rows in ((unseen, group == lacking), (seen, group == (lacking + 1) % folds)):
                found[here & rows] = model.squares(known.x[here & rows])
    p_seen, p_unseen = np.zeros(len(truth)), np.zeros(len(truth))
    for fold in range(folds):
        curve = fit_curve(seen[group != fold], unseen[group != fold])
        p_seen[group == fold] = probability_known(seen[group == fold], curve)
        p_unseen[group == fold] = probability_known(unseen[group == fold], curve)
    guess = squares.argmin(1)
    source = np.array([library.clips[i].source for i in known.clip])
    return {
        "method": "canonical variates (linear discriminant analysis) of the library's vectors",
        "systems": len(known.names),
        "clips": len(truth),
        "accuracy": _r(np.mean(guess == truth)),
        "macro_f1": _r(macro_f1(truth, guess)),
        "chance_macro_f1": _r(1 / len(known.names)),
        "within_source": _within(squares, truth, source),
        "unseen_system_auc": _r(auc(p_seen, p_unseen)),
        "unseen_called_none": _r(np.mean(p_unseen < 0.5)),
        "seen_called_none": _r(np.mean(p_seen < 0.5)),
        "named_of_seen": _r(np.mean(p_seen >= 0.5)),
        "right_of_named_seen": _r(np.mean((guess == truth)[p_seen >= 0.5])),
    }, fit_curve(seen, unseen)


def _within(squares: np.ndarray, truth: np.ndarray, source: np.ndarray) -> dict[str, dict[str, float]]:
    """Macro F1 where only the systems of the clip's own source are candidates: the channel tells nothing there."""
    found = {}
    for name in np.unique(source):
        here = source == name
        candidates = np.unique(truth[here])
        if len(candidates) >= 3:
            guess = candidates[squares[here][:, candidates].argmin(1)]
            found[str(name)] = {
                "systems": len(candidates),
                "clips": int(here.sum()),
                "macro_f1": _r(macro_f1(truth[here], guess)),
                "chance": _r(1 / len(candidates)),
            }
    return found


def macro_f1(truth: np.ndarray, guess: np.ndarray) -> float:
    """Mean over the true classes of F1."""
    parts = []
    for c in np.unique(truth):
        hit = np.sum((truth == c) & (guess == c))
        parts.append(2 * hit / max(1, np.sum(truth == c) + np.sum(guess == c)))
    return float(np.mean(parts))


def auc(positive: np.ndarray, negative: np.ndarray) -> float:
    """Share of pairs in which the positive is higher, ties counted half."""
    return float((positive[:, None] > negative).mean() + 0.5 * (positive[:, None] == negative).mean())


def _r(value: Any) -> float:
    return round(float(value), 4)
