"""The folder that is shipped: networks trained on everything, calibrations and fusion from held-out scores, the card."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors.numpy import save_file

from core.complement.disagreement import bounded, by_size, limit_of, opposed, table
from core.complement.members import panel_lines
from core.complement.shipped import FUSION, HELD_OUT, NETWORKS, PANEL, file_names
from core.complement.tables import panel_table
from core.training.acorl import AcorlOptions
from core.training.acorl_bank import load_view_vectors
from core.training.acorl_evaluate import BASE, SEEDS, cka_table, evaluate
from core.training.acorl_fusion import spread_weights
from core.training.acorl_page import page
from core.training.acorl_runs import ALL, FROZEN, Material
from core.training.held_out_table import held_out_table, manifest_facts
from core.training.measure import HeldOut, calibrate
from models.acorl import VIEWS, load_alliance, save_alliance

if TYPE_CHECKING:
    from models.registry import Detector

LIMITS = [
    "Recipe and views were settled while looking at these folds, so the figures flatter them.",
    "All members and the panel were trained on the same clips: they can be wrong together.",
    "Trained on the undegraded view of the clips alone; noise and telephones make every member worse.",
    "The alliance looks at the same frame tracks as the members, so what it can find that they don't use is bounded.",
]


def ship_networks(material: Material, into: Path) -> None:
    """Train members and alliance (seed 0) on all clips and write them."""
    into.mkdir(parents=True, exist_ok=True)
    for name in NETWORKS:
        material.say(f"{name}, everything")
        save_alliance(material.train("acorl" if name == "alliance" else name, 0, ALL), into / f"{name}.safetensors")


def finish(material: Material, detector: Detector, into: Path, corpus: Path | None) -> dict[str, Any]:
    """Measure what isn't on disk yet; write calibrations, fusion, held-out scores and card. Returns the card."""
    theirs = panel_table(detector)
    panel = {} if theirs is None else dict(zip(theirs.clip.tolist(), theirs.score.tolist(), strict=True))
    figures, scores, fused = evaluate(material, panel)
    lines = {name: calibrate(HeldOut(material.clips, scores[name])) for name in NETWORKS}
    lines[FUSION] = calibrate(HeldOut(material.clips, fused))
    for name, line in lines.items():
        line.save(into / f"calibration-{name}.safetensors")
    order = (*FROZEN, "alliance")
    weights = spread_weights(material, [*BASE, ("acorl", 0)], ALL)
    save_file({"weight": weights.weight.astype(np.float64), "bias": np.array([weights.bias])},
              str(into / f"{FUSION}.safetensors"))
    facts = {} if corpus is None else manifest_facts(corpus)
    held_out_table(material.clips, fused, facts=facts, others=scores).write(into / HELD_OUT)
    card = identity(into) | figures | {
        "fused": list(order), "fusion_weights": dict(zip(order, np.round(weights.weight, 4).tolist(), strict=True)),
        "cka": cka_table(material, {PANEL + k: v for k, v in load_view_vectors(material.work, material.clips).items()}),
        "disagreement": disagreement_figures(detector), "recipe": asdict(AcorlOptions()), "limits": LIMITS,
        "f_infoed_sha256": detector.weights_sha256,
        "files_sha256": {n: hashlib.sha256((into / n).read_bytes()).hexdigest() for n in file_names()},
    }
    card["result"] = result(card)
    (into / "card.json").write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
    (into / "CARD.md").write_text(page(card), encoding="utf-8")
    return card


def identity(into: Path) -> dict[str, Any]:
    """What it is, in the card's first lines."""
    return {
        "name": "acorl-tiny", "title": "ACoRL: members on views of their own, an alliance trained to differ from them",
        "paper": "arXiv 2404.15704 (ACoRL); objective, networks and schedule are ours", "licence": "Apache-2.0",
        "sign": "scores and LLRs are higher for bona fide speech", "sample_rate_hz": 16_000,
        "hears": "frame tracks of the panel (models.views), nothing above 7.1 kHz",
        "views": {name: {"first_row": first, "rows": rows} for name, (first, rows) in VIEWS.items()},
        "parameters": {name: sum(p.numel() for p in load_alliance(into / f"{name}.safetensors").parameters())
                       for name in NETWORKS},
        "command": "python -m core acorl train --work WORK && python -m core acorl evaluate --work WORK --corpus CORPUS",
    }


def disagreement_figures(detector: Detector) -> dict[str, Any]:
    """How far the panel's members contradict each other on held-out clips, and how often its finding is wrong then."""
    theirs, lines = panel_table(detector), panel_lines(detector)
    if theirs is None or not lines or not theirs.has_llr:
        return {}
    measure = opposed(bounded(lines, theirs.others))
    return {"of": list(lines), "limit": round(limit_of(lines, theirs.others), 4),
            "rows": table(theirs.llr_log10, theirs.bonafide, measure),
            "by_size_of_the_finding": by_size(theirs.llr_log10, theirs.bonafide, measure)}


def result(card: Mapping[str, Any]) -> str:
    """The comparison in two sentences, whichever way it came out."""
    rates = {kind: [card["fusion"][kind][str(s)]["eer_pooled"]["value"] for s in SEEDS] for kind in ("acorl", "plain")}
    moved = [card["acorl_less_plain"][str(s)] for s in SEEDS]
    if all(m["high"] < 0 for m in moved):
        verdict = "ACoRL's fusion is better on every seed"
    elif all(m["low"] > 0 for m in moved):
        verdict = "ACoRL's fusion is worse on every seed"
    else:
        verdict = "The intervals don't set ACoRL's fusion apart from the plain one on every seed"
    words = (f"Leave-source-out EER of four fused models, mean of {len(SEEDS)} seeds: ACoRL "
             f"{np.mean(rates['acorl']):.1%}, plain {np.mean(rates['plain']):.1%}. {verdict}.")
    theirs = card.get("against_the_panel")
    if not theirs:
        return words
    found = theirs["fusion_less_panel"]
    how = ("better" if found["high"] < 0 else "worse, so the panel goes on giving the finding" if found["low"] > 0 else
           "not told apart from it, so the panel goes on giving the finding")
    rate = theirs["panel"]["eer_pooled"]["value"]
    return words + f" The panel that gives the finding has {rate:.1%} on the same clips: ACoRL's fusion is {how}."
