"""Does the library find what it should? Recall of speakers and of degraded copies by layer; attribution of systems."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from core.library import Library
from core.library.attribute import LEAST_CLIPS, Discriminant, fit_curve, probability_known, system_clips
from core.library.geometry import fit_geometry
from core.training.corpus import Clip
from core.training.rad import Facts, shelve
from core.training.rad_features import Windows


def recall_figures(clips: Sequence[Clip], views: Sequence[Windows]) -> dict[str, Any]:
    """By layer: share of windows of known speakers whose nearest other clip (or one of ten) is of the same speaker, with
    chance beside it; and share of degraded windows whose nearest segment is of their own clean original.
    """
    facts = Facts(clips)
    rows = facts.original[views[0].clip]
    geometry = fit_geometry(views[0].means[rows], "")
    clean = shelve(views[0], geometry).take(np.flatnonzero(rows))
    noisy = shelve(views[1], geometry)
    noisy = noisy.take(np.flatnonzero(facts.original[noisy.clip]))
    named = np.array([bool(c.speaker) and c.bonafide for c in clips])
    tally = Counter(facts.speaker[i] for i, c in enumerate(clips) if named[i] and not c.copier)
    known = named & np.array([tally[s] >= 2 for s in facts.speaker])
    queries = clean.take(np.flatnonzero(known[clean.clip]))
    library = clean.take(np.flatnonzero(facts.bonafide[clean.clip]))
    found = []
    for layer in range(geometry.n_layers):
        scores = queries.vectors[:, layer] @ library.vectors[:, layer].T
        other = queries.clip[:, None] != library.clip
        same = (facts.speaker[queries.clip][:, None] == facts.speaker[library.clip]) & other
        best = np.argsort(-np.where(other, scores, -np.inf), axis=1)[:, :10]
        hit = np.take_along_axis(same, best, 1)
        share = same.sum(1) / other.sum(1)
        copies = noisy.vectors[:, layer] @ clean.vectors[:, layer].T
        origin = clean.clip[copies.argmax(1)] == noisy.clip
        found.append(
            {
                "layer": layer,
                "speaker_at_1": _r(hit[:, 0].mean()),
                "speaker_at_10": _r(hit.any(1).mean()),
                "chance_at_1": _r(share.mean()),
                "chance_at_10": _r((1 - (1 - share) ** 10).mean()),
                "degraded_copy_finds_original_first": _r(origin.mean()),
            }
        )
    return {
        "by_layer": found,
        "windows": len(queries.clip),
        "speakers": len(set(facts.speaker[queries.clip])),
        "note": "a clip of the same speaker mostly shares its recording session and channel, too",
    }


def attribution_figures(library: Library, folds: int = 5, seed: int = 0) -> tuple[dict[str, Any], dict[str, Any]]:
    """(figures, the "none of these" curve) on the library's own spoofed clips.

    Seen: clips in five random parts, each judged by a discriminant fitted without it. Unseen: systems in five parts, each
    system's clips judged by a discriminant that never had that system. The curve is judged on systems that it wasn't
    fitted on.
    """
    known = system_clips(library.segments, least=LEAST_CLIPS + 1)
    rng = np.random.default_rng(seed)
    part, truth = rng.integers(0, folds, len(known.code)), known.code
    group = rng.permutation(np.arange(len(known.names)) % folds)[truth]  # of the clip's system
    seen, unseen = (np.zeros((len(truth), len(known.names))) for _ in range(2))
    for fold in range(folds):
        seen[part == fold] = Discriminant(known.part(part != fold)).scores(known.x[part == fold])
        unseen[group == fold] = Discriminant(known.part(group != fold)).scores(known.x[group == fold])
    p_seen, p_unseen = np.zeros(len(truth)), np.zeros(len(truth))
    for fold in range(folds):
        curve = fit_curve(seen[group != fold], unseen[group != fold])
        p_seen[group == fold] = probability_known(seen[group == fold], curve)
        p_unseen[group == fold] = probability_known(unseen[group == fold], curve)
    guess = seen.argmax(1)
    source = np.array([library.clips[i].source for i in known.clip])
    return {
        "method": "linear discriminant analysis over the library's vectors",
        "systems": len(known.names),
        "clips": len(truth),
        "accuracy": _r(np.mean(guess == truth)),
        "macro_f1": _r(macro_f1(truth, guess)),
        "chance_macro_f1": _r(1 / len(known.names)),
        "within_source": _within(seen, truth, source),
        "unseen_system_auc": _r(auc(p_seen, p_unseen)),
        "unseen_called_none": _r(np.mean(p_unseen < 0.5)),
        "seen_called_none": _r(np.mean(p_seen < 0.5)),
        "named_of_seen": _r(np.mean(p_seen >= 0.5)),
        "right_of_named_seen": _r(np.mean((guess == truth)[p_seen >= 0.5])),
    }, fit_curve(seen, unseen)


def _within(scores: np.ndarray, truth: np.ndarray, source: np.ndarray) -> dict[str, dict[str, float]]:
    """Macro F1 where only the systems of the clip's own source are candidates: the channel tells nothing there."""
    found = {}
    for name in np.unique(source):
        here = source == name
        candidates = np.unique(truth[here])
        if len(candidates) >= 3:
            guess = candidates[scores[here][:, candidates].argmax(1)]
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
