"""The panel's part of the evaluation: fit what is shipped, measure it on sources it never heard, write its files.

Reports what the card needs and nothing else; the protocol is in ``core.training.panel_runs``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from core.calibrate import Calibration
from core.checks import window_conflict
from core.training.corpus import FOLDS, Clip
from core.training.measure import HeldOut, calibrate, calibration_figures, hybrid_figures, summary
from core.training.panel import Bank, PanelRecipe, apply, fit_panel, variants
from core.training.panel_frames import Places, build_places, fit_frames
from core.training.panel_runs import brief, hybrids_of, leave_family_out, leave_out, load_bank, partitions
from models.encoder import FrameEncoder
from models.panel import Panel, save_panel

Say = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class PanelEvaluation:
    """What the declared partition gave: held-out scores, the members' too, the panels of its folds, the card's part."""

    scores: dict[str, float]
    members: dict[str, dict[str, float]]
    panels: list[Panel]
    frame_threshold: float
    card: dict
    places: Places


def evaluate_panel(clips: Sequence[Clip], work: Path, encoder: FrameEncoder, guard_bands: int, recipe: PanelRecipe,
                   say: Say) -> tuple[PanelEvaluation, Bank]:
    """All figures of the panel, leave-source-out."""
    bank = load_bank(work, clips, encoder, guard_bands, recipe, say)
    places = build_places(work, clips, encoder)
    split_by = partitions(clips)
    scores, members, panels = leave_out(bank, clips, split_by["declared"], recipe, encoder)
    held = HeldOut([c for c in clips if not c.copier], scores)
    say("hybrids")
    for i, panel in enumerate(panels):
        fit_frames(panel, places, [j for j in range(len(FOLDS)) if j != i], recipe)
    hybrids, threshold = hybrid_figures(hybrids_of(work, clips, panels, encoder, guard_bands))
    say("comparisons on four partitions")
    compared = {}
    for name, other in variants(recipe).items():
        compared[name] = _on_partitions(bank, clips, split_by, other, encoder)
    full = summary(held)
    alone = {name: held_eer(clips, values) for name, values in members.items()}
    shares = dict(zip(panels[0].names, panels[0].share.tolist(), strict=True))
    card = {
        "metrics": {"leave_source_out": {k: full[k] for k in ("eer_pooled", "eer_macro")} | calibration_figures(held),
                    "by_family": full["eer_by_family"], "hybrids": hybrids,
                    "leave_family_out": {f: held_eer(clips, s)
                                         for f, s in leave_family_out(bank, clips, recipe, encoder).items()}},
        "by_system": full["eer_by_system"], "within_source": full["eer_within_source"],
        "panel": {"members": [{"name": n, "weight": round(shares[n], 3), "eer": alone[n]} for n in recipe.members]},
        "panel_recipe": asdict(recipe),
        "panel_comparisons": compared,
    }
    return PanelEvaluation(scores, members, panels, threshold, card, places), bank


def held_eer(clips: Sequence[Clip], scores: Mapping[str, float]) -> dict:
    """Pooled EER with its interval of scores that someone else made."""
    return HeldOut([c for c in clips if not c.copier], scores).eer(n=200)


def _on_partitions(bank: Bank, clips: Sequence[Clip], split_by: Mapping[str, Sequence[Sequence[str]]],
                   recipe: PanelRecipe, encoder: FrameEncoder) -> dict:
    """One recipe on every partition of the sources: the declared one's figures, and the rates of all."""
    found = {name: brief(clips, leave_out(bank, clips, folds, recipe, encoder)[0], 200 if name == "declared" else 2)
             for name, folds in split_by.items()}
    return {"eer_pooled": found["declared"]["eer_pooled"], "by_family": found["declared"]["by_family"],
            "eer_pooled_by_partition": {n: f["eer_pooled"]["value"] for n, f in found.items()},
            "eer_macro_by_partition": {n: f["eer_macro"] for n, f in found.items()}}


def ship_panel(into: Path, bank: Bank, clips: Sequence[Clip], recipe: PanelRecipe, found: PanelEvaluation,
               encoder: FrameEncoder) -> Calibration:
    """Fit on all clips and write ``panel``, ``panel_calibration`` and ``panel_reference`` as safetensors.

    Calibration and limits come from the held-out scores of the folds, never from the shipped fit's own.
    """
    from safetensors.numpy import save_file

    panel = fit_panel(bank, clips, recipe, encoder)
    fit_frames(panel, found.places, range(len(FOLDS)), recipe)
    save_panel(panel, into / "panel.safetensors")
    calibration = calibrate(HeldOut([c for c in clips if not c.copier], found.scores))
    calibration.save(into / "panel_calibration.safetensors")
    reference = {"window_conflict_limit": np.array([conflict_limit(bank, clips, found, calibration)], np.float32),
                 "frame_threshold": np.array([found.frame_threshold], np.float32)}
    save_file(reference, str(into / "panel_reference.safetensors"))
    return calibration


def conflict_limit(bank: Bank, clips: Sequence[Clip], found: PanelEvaluation, calibration: Calibration) -> float:
    """99th percentile of the disagreement between the windows of held-out clips, each by its fold's panel."""
    source = {c.clip: c.source for c in clips}
    conflicts = []
    for fold, panel in zip(FOLDS, found.panels, strict=True):
        rows = [r for r in np.flatnonzero(bank.view == 0) if source.get(bank.clip[r]) in fold
                and bank.clip[r] in found.scores]
        members = np.stack([apply(panel.members[n], bank.vectors[n][rows]) for n in panel.names], 1)
        llr = calibration.apply_many(members @ panel.share.numpy())[0]
        windows: dict[str, list[float]] = {}
        for r, value in zip(rows, llr, strict=True):
            windows.setdefault(str(bank.clip[r]), []).append(value)
        conflicts += [window_conflict(np.array(v)) for v in windows.values() if len(v) >= 2]
    return max(0.3, float(np.quantile(conflicts, 0.99)))
