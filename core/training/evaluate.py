"""The evaluation that writes the model card: leave-source-out runs, baselines, ablations, calibration, references."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from core.training.baselines import channel_features, clean_view, frozen_moments, leave_out_scores
from core.training.corpus import FOLDS, Clip
from core.training.loop import Recipe
from core.training.measure import HeldOut, calibrate, calibration_figures, hybrid_figures, summary
from core.training.reference import build_reference, write_folder
from core.training.runs import KEEP_LAYERS, RunResult, fresh_encoder, pooled, read_run, run_path
from models.finfoed import guard, load_finfoed

PROTOCOL = ("Leave-source-out: four folds hold out whole source repositories (core.training.corpus.FOLDS); named speakers "
            "of the test are taken out of training; every clip is scored once per seed by a model that saw neither its "
            "source nor its speaker. Clips are trimmed of outer silence and set to random levels; copies are never "
            "tested. Intervals: 95 % bootstrap over speakers (bona fide) and systems (spoof).")


def variant_figures(clips: Sequence[Clip], work: Path, variant: str, seeds: Sequence[int]) -> dict:
    """Figures of one variant from whatever runs of it are complete: each seed pooled over folds, then averaged."""
    found, walls, hybrid_rates = [], [], []
    for seed in seeds:
        results = complete_runs(work, variant, seed)
        if not results:
            continue
        scores, hybrids = pooled(results)
        held = HeldOut(clips, scores)
        found.append((held.eer(n=200), held.macro(n=2)[0]["value"]))
        hybrid_rates.append(hybrid_figures(hybrids)[0]["range_eer_frame_head"]["value"])
        walls.append(sum(r.wall_s for r in results))
    if not found:
        return {}
    return {"eer_pooled": found[0][0], "eer_pooled_by_seed": [f[0]["value"] for f in found],
            "eer_macro_by_seed": [f[1] for f in found], "range_eer_by_seed": hybrid_rates,
            "training_s_all_folds": [round(w) for w in walls]}


def complete_runs(work: Path, variant: str, seed: int) -> list[RunResult]:
    """The runs of all folds, or none when one is missing."""
    paths = [run_path(work, variant, seed, fold) for fold in range(len(FOLDS))]
    return [read_run(p) for p in paths] if all(p.exists() for p in paths) else []


def baseline_figures(clips: Sequence[Clip], work: Path, encoder_path: Path, guard_bands: int) -> dict:
    """The regression floor on frozen states (guarded as the detector is, and not), and the channel-only baseline."""
    encoder = fresh_encoder(encoder_path, positions=400)  # whole clips, up to 8 s

    def floor(layer: int, bands: int) -> dict:
        original = encoder.features
        encoder.features = lambda wav: guard(original(wav), bands)
        try:
            scores = leave_out_scores(clips, FOLDS, lambda c: frozen_moments(encoder, clean_view(work, c), layer))
        finally:
            del encoder.features
        return short(HeldOut(clips, scores))

    channel = leave_out_scores(clips, FOLDS, lambda c: channel_features(clean_view(work, c)))
    return {
        "channel_only": short(HeldOut(clips, channel)),
        **{f"floor_layer_{layer}": floor(layer, guard_bands) for layer in range(KEEP_LAYERS + 1)},
        "floor_layer_0_unguarded": floor(0, 0),
    }


def short(held: HeldOut) -> dict:
    """Pooled, macro and within-source rates only."""
    full = summary(held)
    return {key: full[key] for key in ("eer_pooled", "eer_macro", "eer_within_source")}


def make_card(clips: Sequence[Clip], work: Path, encoder_path: Path, recipe: Recipe, variants: Sequence[str],
              seeds: Sequence[int], say: Callable[[str], None]) -> tuple[dict, HeldOut, float]:
    """All figures; also the held-out scores of the first seed and the frame threshold, for calibration."""
    originals = [c for c in clips if not c.copier]
    results = complete_runs(work, "finfoed", seeds[0])
    scores, hybrids = pooled(results)
    held = HeldOut(originals, scores)
    hybrid_rates, threshold = hybrid_figures(hybrids)
    say("baselines")
    baselines = baseline_figures(originals, work, encoder_path, recipe.guard_bands)
    say("detector and ablations")
    full = summary(held)
    metrics = {"leave_source_out": {k: full[k] for k in ("eer_pooled", "eer_macro")} | calibration_figures(held),
               "by_family": full["eer_by_family"], "hybrids": hybrid_rates,
               "baselines": {"channel_only": baselines["channel_only"]["eer_pooled"],
                             "regression_floor": baselines["floor_layer_0"]["eer_pooled"]}}
    card = {
        "metrics": metrics, "by_system": full["eer_by_system"], "within_source": full["eer_within_source"],
        "baselines": baselines,
        "seeds_and_ablations": {v: variant_figures(originals, work, v, seeds) for v in variants},
        "protocol": PROTOCOL, "folds": [list(f) for f in FOLDS],
        "training_data": training_data(clips), "recipe": asdict(recipe),
        "machine": f"{platform.system()} {platform.machine()}, CPU only",
    }
    return card, held, threshold


def training_data(clips: Sequence[Clip]) -> dict:
    """Counts per source and system, copies included."""
    return {"clips": len(clips), "by_source": dict(Counter(c.source for c in clips).most_common()),
            "by_system": dict(Counter(c.system for c in clips).most_common())}


def finish(into: Path, work: Path, clips: Sequence[Clip], card: dict, held: HeldOut, threshold: float) -> None:
    """Calibrate, build the references of the trained model in ``into``, write everything beside it."""
    model = load_finfoed(into / "model.safetensors")
    calibration = calibrate(held)
    reference = build_reference(model, work, [c for c in clips if not c.copier], calibration, threshold)
    card = identity(into.name) | card
    card["calibration"] = {"slope": round(calibration.slope, 4), "intercept": round(calibration.intercept, 4),
                           "bounds_log10": [round(float(b), 3) for b in calibration.bounds],
                           "fitted_on": "held-out scores of the first seed's folds, not of the shipped weights"}
    card["layer_weights"] = [round(float(w), 4) for w in model.mix.weights().detach()]
    card["parameters"] = {"encoder": _count(model.encoder.parameters()), "trained": _count(model.head_parameters())}
    write_folder(into, calibration, reference, card)


def identity(name: str) -> dict:
    """What the model is, in the card's first lines."""
    return {
        "name": name, "system": "f-InfoED with AdaLAM", "paper": "arXiv 2504.10819",
        "encoder": "OpenAI Whisper tiny.en, convolutions and first two layers (MIT)",
        "licence": "Apache-2.0 for the trained parts; MIT for the encoder", "sample_rate_hz": 16000,
        "window_s": 4.0, "crop_policy": "consecutive 4 s windows over the whole recording, mean of window scores",
        "sign": "scores and LLRs are higher for bona fide speech",
        "hears": "mel bands up to 7.2 kHz; the three bands above are overwritten, because they mostly tell the rate a "
                 "file was converted from",
        "command": "python -m core train && python -m core evaluate (see README)",
    }


def _count(parameters) -> int:
    return int(np.sum([p.numel() for p in parameters]))
