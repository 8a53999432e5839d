"""The panel's part of the evaluation: fit what is shipped, measure it on sources it never heard, write its files.

Reports what the card needs and nothing else; the protocol is in ``core.training.panel_runs``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from core.calibrate import Calibration
from core.checks import window_conflict
from core.training.corpus import FOLDS, Clip, load_prepared
from core.training.measure import (
    HeldOut,
    calibrate,
    calibration_figures,
    hybrid_figures,
    summary,
    whole_figures,
)
from core.training.panel import Bank, PanelRecipe, beyond, fit_panel, join, variants
from core.training.panel_frames import Places, build_places, fit_frames, join_places
from core.training.panel_runs import brief, hybrids_of, leave_family_out, leave_out, load_bank, partitions
from core.training.panel_traces import build_altered, fit_and_measure, fit_traces
from models.panel import Panel, save_panel

Say = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class PanelEvaluation:
    """What the declared partition gave: held-out scores, the members' too, the panels of its folds, the card's part."""

    clips: Sequence[Clip]  # all that the shipped panel is fitted on
    scores: dict[str, float]
    members: dict[str, dict[str, float]]
    panels: list[Panel]
    frame_threshold: float
    card: dict
    places: Places
    blank: Panel
    altered: Bank
    trace_limits: np.ndarray  # (3,)

    def calibration(self) -> Calibration:
        """Of the held-out scores, never of the shipped fit's own."""
        return calibrate(HeldOut([c for c in self.clips if not c.copier], self.scores))

    @property
    def zero(self) -> float:
        """The score of a finding that says nothing."""
        line = self.calibration()
        return -line.intercept / line.slope


def evaluate_panel(clips: Sequence[Clip], work: Path, more: Path | None, blank: Panel, recipe: PanelRecipe, say: Say,
                   workers: int = 1) -> tuple[PanelEvaluation, Bank]:
    """All figures of the panel, leave-source-out. ``more``: a built folder of clips from beyond the declared folds, which
    are always trained on.
    """
    clips = [c for c in clips if not c.copier]  # the corpus' own copies are f-InfoED's
    banks, found_places = [load_bank(work, clips, blank, recipe, say, workers)], [build_places(work, clips, blank)]
    altered = [build_altered(work, clips, blank)]
    if more is not None:
        further = [c for c in load_prepared(more) if beyond(c)]
        banks.append(load_bank(more, further, blank, recipe, say, workers))
        found_places.append(build_places(more, further, blank))
        altered.append(build_altered(more, further, blank))
        clips = [*clips, *further]
    bank, places = join(banks), join_places(found_places)
    split_by = partitions(clips)
    scores, members, panels = leave_out(bank, clips, split_by["declared"], recipe, blank)
    held = HeldOut([c for c in clips if not c.copier], scores)
    trace_limits, traces = fit_and_measure(panels, bank, join(altered), clips)
    say("hybrids")
    for i, panel in enumerate(panels):
        fit_frames(panel, places, [j for j in range(len(FOLDS)) if j != i], recipe)
    scored = hybrids_of(work, clips, panels)
    hybrids, threshold = hybrid_figures(scored)
    hybrids |= whole_figures(scored)
    say("comparisons on four partitions")
    compared = {}
    for name, other in variants(recipe).items():
        compared[name] = _on_partitions(bank, clips, split_by, other, blank)
    full = summary(held)
    alone = {name: held_eer(clips, values) for name, values in members.items()}
    shares = dict(zip(panels[0].names, panels[0].share.tolist(), strict=True))
    card = {
        "metrics": {"leave_source_out": {k: full[k] for k in ("eer_pooled", "eer_macro")} | calibration_figures(held),
                    "by_family": full["eer_by_family"], "hybrids": hybrids,
                    "leave_family_out": {f: held_eer(clips, s)
                                         for f, s in leave_family_out(bank, clips, recipe, blank).items()}},
        "by_system": full["eer_by_system"], "within_source": full["eer_within_source"],
        "panel": {"members": [{"name": n, "weight": round(shares[n], 3), "eer": alone[n]} for n in recipe.members]},
        "panel_recipe": asdict(recipe), "traces": traces,
        "beyond_the_corpus": counts([c for c in clips if beyond(c)]),
        "panel_comparisons": compared,
    }
    return PanelEvaluation(clips, scores, members, panels, threshold, card, places, blank, join(altered),
                           trace_limits), bank


def counts(clips: Sequence[Clip]) -> dict:
    """How many clips of which source and system, with their licences."""
    return {"clips": len(clips), "bona_fide": sum(c.bonafide for c in clips),
            "by_source": dict(Counter(c.source for c in clips).most_common()),
            "by_system": dict(Counter(c.system for c in clips if not c.bonafide).most_common()),
            "licences": dict(Counter(c.licence for c in clips).most_common())}


def held_eer(clips: Sequence[Clip], scores: Mapping[str, float]) -> dict:
    """Pooled EER with its interval of scores that someone else made."""
    return HeldOut([c for c in clips if not c.copier], scores).eer(n=200)


def _on_partitions(bank: Bank, clips: Sequence[Clip], split_by: Mapping[str, Sequence[Sequence[str]]],
                   recipe: PanelRecipe, blank: Panel) -> dict:
    """One recipe on every partition of the sources: the declared one's figures, and the rates of all."""
    found = {name: brief(clips, leave_out(bank, clips, folds, recipe, blank)[0], 200 if name == "declared" else 2)
             for name, folds in split_by.items()}
    return {"eer_pooled": found["declared"]["eer_pooled"], "by_family": found["declared"]["by_family"],
            "eer_pooled_by_partition": {n: f["eer_pooled"]["value"] for n, f in found.items()},
            "eer_macro_by_partition": {n: f["eer_macro"] for n, f in found.items()}}


def ship_panel(into: Path, bank: Bank, recipe: PanelRecipe, found: PanelEvaluation) -> Calibration:
    """Fit on all clips and write ``panel``, ``panel_calibration`` and ``panel_reference`` as safetensors.

    Calibration and limits come from the held-out scores of the folds, never from the shipped fit's own.
    """
    from safetensors.numpy import save_file

    panel = fit_panel(bank, found.clips, recipe, found.blank)
    fit_frames(panel, found.places, range(len(FOLDS)), recipe)
    fit_traces(panel, bank, found.altered, found.clips)
    save_panel(panel, into / "panel.safetensors")
    calibration = found.calibration()
    calibration.save(into / "panel_calibration.safetensors")
    both = found.card["metrics"]["hybrids"]["whole_by_both"]
    limits = {"window_conflict_limit": conflict_limit(found, calibration), "frame_threshold": found.frame_threshold,
              "part_limit": both["limit"], "part_share": both["share"]}
    arrays = {name: np.array([value], np.float32) for name, value in limits.items()}
    save_file(arrays | {"trace_limits": found.trace_limits.astype(np.float32)}, str(into / "panel_reference.safetensors"))
    return calibration


def conflict_limit(found: PanelEvaluation, calibration: Calibration) -> float:
    """99th percentile of the disagreement between windows of one voice, where held-out clips of one speaker, or of one
    system of a source, stand in a row for the windows of a recording; each clip by the panel that never heard it.
    """
    voices: dict[tuple[str, ...], list[float]] = {}
    for clip in found.clips:
        if clip.clip in found.scores and not clip.copier:
            voice = (clip.source, clip.speaker if clip.bonafide else clip.system)
            voices.setdefault(voice, []).append(found.scores[clip.clip])
    conflicts = []
    for scores in voices.values():
        llrs = calibration.apply_many(np.array(scores))[0]
        conflicts += [window_conflict(llrs[i : i + 4]) for i in range(0, len(llrs) - 3, 4)]
    return max(0.3, float(np.quantile(conflicts, 0.99)))
