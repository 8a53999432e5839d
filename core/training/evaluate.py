"""The evaluation that writes the model card: leave-source-out runs, baselines, ablations, calibration, references."""

from __future__ import annotations

import json
import platform
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from core.calibrate import Calibration
from core.training import worst
from core.training.baselines import channel_features, clean_view, frozen_moments, leave_out_scores
from core.training.corpus import FOLDS, Clip
from core.training.held_out_table import held_out_table, manifest_facts, write_table
from core.training.loop import Recipe
from core.training.measure import HeldOut, calibrate, calibration_figures, hybrid_figures, summary
from core.training.panel import Bank, PanelRecipe
from core.training.panel_card import PanelEvaluation, ship_panel
from core.training.reference import build_reference, write_folder
from core.training.runs import KEEP_LAYERS, RunResult, fresh_encoder, pooled, read_run, run_path
from models.finfoed import guard, load_finfoed
from models.panel import load_panel

PROTOCOL = ("Leave-source-out: four folds hold out whole source repositories (core.training.corpus.FOLDS); named speakers"
            " "
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


def make_card(clips: Sequence[Clip], work: Path, encoder_path: Path, recipe: Recipe, variants: Mapping[str, int],
              panel: PanelEvaluation, say: Callable[[str], None]) -> tuple[dict, HeldOut, float]:
    """All figures, of so many seeds of each variant; also f-InfoED's held-out scores of the first seed and its frame
    threshold, for its calibration.

    The panel decides, so its figures stand first; f-InfoED's are under ``f_infoed``.
    """
    originals = [c for c in clips if not c.copier]
    results = complete_runs(work, "finfoed", 0)
    scores, hybrids = pooled(results)
    held = HeldOut(originals, scores)
    hybrid_rates, threshold = hybrid_figures(hybrids)
    say("baselines")
    baselines = baseline_figures(originals, work, encoder_path, recipe.guard_bands)
    say("detector and ablations")
    full = summary(held)
    own = {"leave_source_out": {k: full[k] for k in ("eer_pooled", "eer_macro")} | calibration_figures(held),
           "by_family": full["eer_by_family"], "hybrids": hybrid_rates, "within_source": full["eer_within_source"]}
    compared = {_words(k): v for k, v in panel.card["panel_comparisons"].items()}
    card = {k: v for k, v in panel.card.items() if k != "panel_comparisons"} | {
        "f_infoed": own, "baselines": baselines,
        "seeds_and_ablations": compared | {f"f-InfoED: {'as shipped' if v == 'finfoed' else v}":
                                           variant_figures(originals, work, v, range(n)) for v, n in variants.items()},
        "partitions": "The panel's rows have one value per partition of the sources into four folds instead of one per "
                      "seed: the declared one, then three random ones.",
        "protocol": PROTOCOL, "folds": [list(f) for f in FOLDS],
        "training_data": training_data(clips), "recipe": asdict(recipe),
        "machine": f"{platform.system()} {platform.machine()}, CPU only",
    }
    return card, held, threshold


def _words(variant: str) -> str:
    return "panel: as shipped" if variant == "panel" else f"panel: {variant.replace('-', ' ')}"


def training_data(clips: Sequence[Clip]) -> dict:
    """Counts per source and system, copies included."""
    return {"clips": len(clips), "by_source": dict(Counter(c.source for c in clips).most_common()),
            "by_system": dict(Counter(c.system for c in clips).most_common())}


def finish(into: Path, work: Path, corpus: Path, clips: Sequence[Clip], card: dict, held: HeldOut, threshold: float,
           panel: PanelEvaluation, bank: Bank, recipe: PanelRecipe) -> None:
    """Calibrate, build the references, fit the shipped panel, write everything beside the network in ``into``."""
    from core.model_card import to_markdown

    model = load_finfoed(into / "model.safetensors")
    calibration = calibrate(held)
    reference = build_reference(model, work, [c for c in clips if not c.copier], calibration, threshold)
    card = identity(into.name) | card
    decides = ship_panel(into, bank, recipe, panel)
    card["calibration"] = _described(decides) | {"fitted_on": "the panel's held-out scores, not those of the shipped fit"}
    card["f_infoed"]["calibration"] = _described(calibration)
    others = {f"panel member: {name}": scores for name, scores in panel.members.items()}
    others["f-InfoED"] = dict(zip((c.clip for c in held.clips), held.score, strict=True))
    originals = [c for c in clips if not c.copier]
    table = held_out_table(originals, panel.scores, facts=manifest_facts(corpus), others=others)
    card["validation"] = write_table(table, into)
    card["worst"] = worst.to_card(table)
    card["layer_weights"] = [round(float(w), 4) for w in model.mix.weights().detach()]
    card["parameters"] = {"encoder": _count(model.encoder.parameters()), "trained": _count(model.head_parameters())}
    weights = load_panel(into / "panel.safetensors").members.values()
    card["parameters"]["panel"] = sum(m.weight.numel() + 1 for m in weights)
    write_folder(into, calibration, reference, card)
    (into / "CARD.md").write_text(to_markdown(json.loads((into / "card.json").read_text(encoding="utf-8"))),
                                  encoding="utf-8")


def _described(calibration: Calibration) -> dict:
    return {"slope": round(calibration.slope, 4), "intercept": round(calibration.intercept, 4),
            "bounds_log10": [round(float(b), 3) for b in calibration.bounds]}


def identity(name: str) -> dict:
    """What the model is, in the card's first lines."""
    return {
        "name": name,
        "system": "a panel of seven linear members gives the finding: five on views of the signal, two on what the "
                  "published AASIST (trained on ASVspoof 5, frozen) makes of it, at its end and in its middle; f-InfoED "
                  "with AdaLAM gives the frame entropy and a second answer",
        "paper": "arXiv 2504.10819 (f-InfoED), arXiv 2110.01200 (AASIST); the panel is ours",
        "encoder": "OpenAI Whisper tiny.en, convolutions and first two layers (MIT)",
        "licence": "Apache-2.0 for the trained parts; MIT for the encoder and for AASIST", "sample_rate_hz": 16000,
        "window_s": 8.0,
        "crop_policy": "the panel: consecutive windows of up to 8 s over the whole recording, mean of window scores by "
                       "seconds of speech; f-InfoED: the same with 4 s",
        "sign": "scores and LLRs are higher for bona fide speech",
        "hears": "nothing above 7.1 kHz: that band mostly tells the rate a file was converted from (the panel's views "
                 "hear the signal resampled to 14.4 kHz, its AASIST a low-passed one; f-InfoED's top three mel bands are "
                 "overwritten)",
        "command": "python -m core train && python -m core evaluate (see README)",
        "limits": [
            "The panel's views, their weights, and what it is trained on beyond the corpus were chosen while looking at "
            "these partitions of this corpus, so no figure here is from material that had no part in the choice.",
            "AASIST was trained by others on ASVspoof 5, whose systems may include relatives of the ones measured here.",
            "Fifty-two systems, mostly of 2020 to 2024, and mostly English read speech; a newer system, another language "
            "or a replayed recording can be harder.",
            "Speech that a neural codec resynthesised counts as spoof here.",
            "What a recording has been through moves scores, often before the ranking suffers. Low-rate speech coders, "
            "reverberant rooms and strong compression are recognised and refused, and so are bandwidths below 6 kHz and "
            "less than 20 dB of signal to noise; the tables say how often, and how many clips are refused that went "
            "through none of it. Behind what is left, findings are on the wrong side more often than on clean clips: two "
            "columns of the robustness table count them, and noise, G.722 and Opus stand out.",
            "The recognisers of what a recording has been through learned from simulated rooms and codecs. Voices of "
            "statistical parametric synthesis, which speak through a vocoder much like a speech coder, can be taken for "
            "coded speech and refused.",
        ],
    }


def _count(parameters) -> int:
    return int(np.sum([p.numel() for p in parameters]))
