"""ACoRL's figures: members, alliance, fusions, the plain counterparts of equal size, the control over eta; its card.

Everything is leave-source-out on the declared folds. The comparison is between an alliance (eta 1) and the same network
from the same seed without the adversary (eta 0), each fused with the same three members. Cheap to repeat: networks are
trained once (``core.training.acorl_runs``).
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from core.audit.complementarity import linear_cka, ridge_r2
from core.training.acorl_fusion import Named, Scores, cross_fitted, difference, late_fused, summed
from core.training.acorl_runs import ETAS, FROZEN, Material
from core.training.corpus import FOLDS
from core.training.measure import HeldOut, calibration_figures

SEEDS = (0, 1, 2)
KINDS = ("plain", "acorl")
BASE = tuple((name, 0) for name in FROZEN)
PROTOCOL = ("Leave-source-out on the folds of core.training.corpus.FOLDS: every network, f-InfoED included, is trained "
            "without a fold's sources and their speakers; clips are the undegraded originals; a clip's score is the "
            "mean over windows by length. Fusions add scores, each divided by its spread "
            "on the training windows. Intervals: 95 % bootstrap over speakers (bona fide) and systems (spoof).")


def evaluate(material: Material, panel: Scores) -> tuple[dict[str, Any], dict[str, dict[str, float]], dict[str, float]]:
    """The card's figures; held-out scores of members and alliance (seed 0); of their fusion. panel : clip -> the default
    finding's held-out score, empty where none lies beside the default model."""
    alone = {(name, 0): material.held_out(name, 0) for name in FROZEN}
    alone |= {(kind, s): material.held_out(kind, s) for kind in KINDS for s in SEEDS}
    fused = {kind: {s: summed(material, [*BASE, (kind, s)]) for s in SEEDS} for kind in KINDS}
    material.say("figures")
    card: dict[str, Any] = {
        "members": {name: figures(material, alone[name, 0]) for name in FROZEN},
        "alliance": {str(s): figures(material, alone["acorl", s]) for s in SEEDS},
        "plain_network": {str(s): figures(material, alone["plain", s]) for s in SEEDS},
        "members_fused": brief(material, summed(material, BASE)),
        "fusion": {kind: {str(s): figures(material, scores) for s, scores in found.items()}
                   for kind, found in fused.items()},
        "logistic_fusion": {kind: {str(s): brief(material, cross_fitted([*(alone[n] for n in BASE), alone[kind, s]],
                                                                        material.clips)) for s in SEEDS}
                            for kind in KINDS},
        "late_fusion": {kind: {str(s): brief(material, late_fused(material, [*BASE, (kind, s)])) for s in SEEDS}
                        for kind in KINDS},
        "four_plain_networks": figures(material, summed(material, [("plain", s) for s in range(len(SEEDS) + 1)])),
        "acorl_less_plain": {str(s): difference(held(material, fused["acorl"][s]), held(material, fused["plain"][s]))
                             for s in SEEDS},
        "eta": control(material), "number_of_models": frontier(material), "what_is_shared": shared(material),
        "protocol": PROTOCOL, "folds": [list(f) for f in FOLDS],
        "machine": f"{platform.system()} {platform.machine()}, CPU only",
    }
    card["against_the_panel"] = against(material, fused["acorl"][0], panel)
    return card, {name: alone[name, 0] for name in FROZEN} | {"alliance": alone["acorl", 0]}, fused["acorl"][0]


def held(material: Material, scores: Scores) -> HeldOut:
    return HeldOut(material.clips, scores)


def brief(material: Material, scores: Scores) -> dict[str, Any]:
    """Pooled and macro EER with intervals."""
    found = held(material, scores)
    return {"eer_pooled": found.eer(n=300), "eer_macro": found.macro(n=200)[0]}


def figures(material: Material, scores: Scores) -> dict[str, Any]:
    """The same with Cllr and decision costs, cross-validated over sources."""
    return brief(material, scores) | calibration_figures(held(material, scores), n=200)


def control(material: Material) -> list[dict[str, Any]]:
    """Seed 0 by eta: the alliance alone, fused with the members, and what it still shares with them."""
    return [{"eta": eta, "alone": brief(material, material.held_out(name, 0))["eer_pooled"],
             "fused": brief(material, summed(material, [*BASE, (name, 0)]))["eer_pooled"],
             "r2_members_from_it": round(float(np.mean([r2(material, name, 0, m) for m in FROZEN])), 4)}
            for name, eta in sorted(ETAS.items(), key=lambda item: item[1])]


def frontier(material: Material) -> list[dict[str, Any]]:
    """Pooled EER by number of fused models: the members one after the other, then with one to three alliances or plain
    networks (mean, lowest and highest over the choices of seeds)."""
    def rate(names: Sequence[Named]) -> float:
        return held(material, summed(material, names)).eer(n=2)["value"]

    rows = []
    for n in range(1, len(BASE) + 1):
        value = rate(BASE[:n])
        rows.append({"models": n, "kind": "members", "eer": value, "low": value, "high": value})
    for kind in KINDS:
        for n in range(1, len(SEEDS) + 1):
            rates = [rate([*BASE, *((kind, s) for s in chosen)]) for chosen in combinations(SEEDS, n)]
            rows.append({"models": len(BASE) + n, "kind": kind, "eer": round(float(np.mean(rates)), 4),
                         "low": min(rates), "high": max(rates)})
    return rows


def against(material: Material, fused: Scores, panel: Scores) -> dict[str, Any]:
    """ACoRL's fusion beside the panel that decides, and the sum of both, each by its spread, on the same clips."""
    if not set(fused) <= set(panel):
        return {}
    panel = {c: panel[c] for c in fused}
    scale = [np.std(list(scores.values())) for scores in (fused, panel)]
    both = {c: fused[c] / scale[0] + panel[c] / scale[1] for c in fused}
    return {"panel": brief(material, panel), "panel_and_fusion": brief(material, both),
            "fusion_less_panel": difference(held(material, fused), held(material, panel)),
            "panel_and_fusion_less_panel": difference(held(material, both), held(material, panel))}


# ---- what representations share -------------------------------------------------------------------------------


def over_folds(material: Material, measure: Callable[[int, np.ndarray], float]) -> float:
    """Mean over folds of a measure of held-out rows, weighted by their number. measure(fold, rows) -> float"""
    values, sizes = [], []
    for fold in range(len(FOLDS)):
        rows = material.windows.rows_of(material.test(fold))
        values.append(measure(fold, rows))
        sizes.append(len(rows))
    return float(np.average(values, weights=sizes))


def r2(material: Material, name: str, seed: int, member: str) -> float:
    """How much of a member's representation a ridge regression finds in a network's, on held-out sources."""
    return over_folds(material, lambda fold, rows: ridge_r2(material.run(name, seed, fold).vectors[rows],
                                                            material.run(member, 0, fold).vectors[rows]))


def cka(material: Material, one: tuple[str, int], other: tuple[str, int]) -> float:
    """Linear CKA of two networks' representations on held-out sources."""
    return over_folds(material, lambda fold, rows: linear_cka(material.run(*one, fold).vectors[rows],
                                                              material.run(*other, fold).vectors[rows]))


def shared(material: Material) -> list[dict[str, Any]]:
    """Per kind and seed: linear CKA and R2 between the network and each member."""
    return [{"kind": kind, "seed": s,
             "cka": {m: round(cka(material, (kind, s), (m, 0)), 4) for m in FROZEN},
             "r2": {m: round(r2(material, kind, s, m), 4) for m in FROZEN}}
            for kind in ("plain", "acorl") for s in SEEDS]


def cka_table(material: Material, extra: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """CKA of all pairs: members, alliance (seed 0) and fixed representations (R, d) such as the panel's views."""
    names = [*FROZEN, "alliance", *extra]

    def vectors(name: str, fold: int) -> np.ndarray:
        if name in extra:
            return extra[name]
        return material.run("acorl" if name == "alliance" else name, 0, fold).vectors

    matrix = np.eye(len(names))
    for i, j in combinations(range(len(names)), 2):
        value = over_folds(material, lambda fold, rows, a=names[i], b=names[j]: linear_cka(vectors(a, fold)[rows],
                                                                                            vectors(b, fold)[rows]))
        matrix[i, j] = matrix[j, i] = round(value, 4)
    return {"names": names, "matrix": matrix.tolist(), "windows": int(sum(
        len(material.windows.rows_of(material.test(f))) for f in range(len(FOLDS))))}
