"""ACoRL's figures: members, alliance, fusions, the plain counterparts of equal size, the control over eta; its card.

Everything is leave-source-out on the declared folds. The comparison is between an alliance (eta 1) and the same network
from the same seed without the adversary (eta 0), each fused with the same three members.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from core.audit.complementarity import linear_cka, ridge_r2
from core.training.acorl_fusion import Scores, cross_fitted, difference, late_fused
from core.training.acorl_runs import ETAS, FROZEN, Material
from core.training.corpus import FOLDS
from core.training.measure import HeldOut, calibration_figures

SEEDS = (0, 1, 2)
PROTOCOL = ("Leave-source-out on the folds of core.training.corpus.FOLDS: every network, f-InfoED included, is trained "
            "without a fold's sources and their speakers; clips are the undegraded originals; a clip's score is the "
            "mean over windows by length. Score fusions are weighted on the held-out scores of the other folds. "
            "Intervals: 95 % bootstrap over speakers (bona fide) and systems (spoof).")


def evaluate(material: Material, panel: Scores) -> tuple[dict[str, Any], dict[str, dict[str, float]], dict[str, float]]:
    """The card's figures; held-out scores of members and alliance (seed 0); of their fusion. panel : clip -> the default
    finding's held-out score, empty where none lies beside the default model."""
    members = {name: material.held_out(name, 0) for name in FROZEN}
    plain = {s: material.held_out("plain", s) for s in (*SEEDS, len(SEEDS))}
    allied = {s: material.held_out("acorl", s) for s in SEEDS}
    fused = {kind: {s: cross_fitted([*members.values(), found[s]], material.clips) for s in SEEDS}
             for kind, found in (("acorl", allied), ("plain", plain))}
    material.say("figures")
    card: dict[str, Any] = {
        "members": {name: figures(material, scores) for name, scores in members.items()},
        "alliance": {str(s): figures(material, scores) for s, scores in allied.items()},
        "plain_network": {str(s): figures(material, plain[s]) for s in SEEDS},
        "members_fused": brief(material, cross_fitted(list(members.values()), material.clips)),
        "fusion": {kind: {str(s): figures(material, scores) for s, scores in found.items()}
                   for kind, found in fused.items()},
        "late_fusion": {kind: {str(s): brief(material, late_fused(material, [(m, 0) for m in FROZEN] + [(kind, s)]))
                               for s in SEEDS} for kind in fused},
        "four_plain_networks": brief(material, cross_fitted(list(plain.values()), material.clips)),
        "acorl_less_plain": {str(s): difference(held(material, fused["acorl"][s]), held(material, fused["plain"][s]))
                             for s in SEEDS},
        "eta": control(material, members),
        "number_of_models": frontier(material, members, {"plain": [plain[s] for s in SEEDS],
                                                         "acorl": list(allied.values())}),
        "what_is_shared": shared(material),
        "protocol": PROTOCOL, "folds": [list(f) for f in FOLDS],
        "machine": f"{platform.system()} {platform.machine()}, CPU only",
    }
    card["against_the_panel"] = against(material, fused["acorl"][0], {**members, "alliance": allied[0]}, panel)
    return card, members | {"alliance": allied[0]}, fused["acorl"][0]


def held(material: Material, scores: Scores) -> HeldOut:
    return HeldOut(material.clips, scores)


def brief(material: Material, scores: Scores) -> dict[str, Any]:
    """Pooled and macro EER with intervals."""
    found = held(material, scores)
    return {"eer_pooled": found.eer(n=300), "eer_macro": found.macro(n=200)[0]}


def figures(material: Material, scores: Scores) -> dict[str, Any]:
    """The same with Cllr and decision costs, cross-validated over sources."""
    return brief(material, scores) | calibration_figures(held(material, scores), n=200)


def control(material: Material, members: Mapping[str, Scores]) -> list[dict[str, Any]]:
    """Seed 0 by eta: the alliance alone, fused with the members, and what it still shares with them."""
    rows = []
    for name, eta in sorted(ETAS.items(), key=lambda item: item[1]):
        alone = material.held_out(name, 0)
        rows.append({"eta": eta, "alone": brief(material, alone)["eer_pooled"],
                     "fused": brief(material, cross_fitted([*members.values(), alone], material.clips))["eer_pooled"],
                     "r2_members_from_it": round(float(np.mean([r2(material, name, 0, m) for m in FROZEN])), 4)})
    return rows


def frontier(material: Material, members: Mapping[str, Scores], more: Mapping[str, Sequence[Scores]]
             ) -> list[dict[str, Any]]:
    """Pooled EER by number of fused models: the members one after the other, then up to three alliances or plain
    networks (mean, lowest and highest over the choices of seeds)."""
    base, rows = list(members.values()), []
    for n in range(1, len(base) + 1):
        rate = held(material, cross_fitted(base[:n], material.clips)).eer(n=2)["value"]
        rows.append({"models": n, "kind": "members", "eer": rate, "low": rate, "high": rate})
    for kind, found in more.items():
        for n in range(1, len(found) + 1):
            rates = [held(material, cross_fitted([*base, *chosen], material.clips)).eer(n=2)["value"]
                     for chosen in combinations(found, n)]
            rows.append({"models": len(base) + n, "kind": kind, "eer": round(float(np.mean(rates)), 4),
                         "low": min(rates), "high": max(rates)})
    return rows


def against(material: Material, fused: Scores, parts: Mapping[str, Scores], panel: Scores) -> dict[str, Any]:
    """ACoRL's fusion beside the panel that decides, and the panel fused with it, on the clips that both have."""
    if not set(fused) <= set(panel):
        return {}
    panel = {c: panel[c] for c in fused}
    both = cross_fitted([panel, *parts.values()], material.clips)
    return {"panel": brief(material, panel), "panel_and_all_fused": brief(material, both),
            "fusion_less_panel": difference(held(material, fused), held(material, panel)),
            "panel_and_all_less_panel": difference(held(material, both), held(material, panel))}


# ---- what representations share -------------------------------------------------------------------------------


def over_folds(material: Material, measure: Any) -> float:
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
