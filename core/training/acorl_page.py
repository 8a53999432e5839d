"""ACoRL's card as a page: the folder's CARD.md, written from card.json and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.audit.study_page import markdown_table
from core.complement.members import title


def page(card: Mapping[str, Any]) -> str:
    """Markdown."""
    parts = [
        f"# {card['title']}", f"**{card['result']}**",
        f"{card['paper']}. {card['licence']}. {card['sign'][0].upper()}{card['sign'][1:]}. Hears: {card['hears']}. "
        "Weights: " + ", ".join(f"{name} {count:,}" for name, count in card["parameters"].items()) + ".",
        "## Leave-source-out", card["protocol"],
        markdown_table(("what", "EER pooled, %", "EER, mean over systems, %", "Cllr"), _rates(card)),
        "## ACoRL less plain fusion, same seed",
        "Points of pooled EER on the same resampled speakers and systems; negative favours ACoRL.",
        markdown_table(("seed", "difference"), [(s, _percent(v, "+")) for s, v in card["acorl_less_plain"].items()]),
        "## By strength of the adversary (seed 0)",
        "R²: what a ridge regression finds of the members' representations in the network's, on held-out windows.",
        markdown_table(("eta", "alone, %", "fused with the members, %", "R²"),
               [(f"{r['eta']:g}", _percent(r["alone"]), _percent(r["fused"]), f"{r['r2_members_from_it']:.2f}")
                for r in card["eta"]]),
        "## By number of fused models",
        markdown_table(("models", "with", "EER, %", "over choices of seeds"),
               [(str(r["models"]), r["kind"], f"{100 * r['eer']:.1f}", f"{100 * r['low']:.1f} to {100 * r['high']:.1f}")
                for r in card["number_of_models"]]),
        *_disagreement(card.get("disagreement") or {}),
        "## Limits", "\n".join(f"* {line}" for line in card["limits"]), f"Made by `{card['command']}`.",
    ]
    return "\n\n".join(parts) + "\n"


def _rates(card: Mapping[str, Any]) -> list[tuple[str, ...]]:
    rows = [(title(name), v) for name, v in card["members"].items()]
    rows += [("the three members fused", card["members_fused"])]
    for place, words in (("alliance", "alliance"), ("plain_network", "the same network without the adversary")):
        rows += [(f"{words}, seed {s}", v) for s, v in card[place].items()]
    for place, how in (("fusion", "sum by spread"), ("logistic_fusion", "logistic"), ("late_fusion", "representations")):
        for kind, words in (("acorl", "members and alliance"), ("plain", "members and plain network")):
            rows += [(f"{words}, {how}, seed {s}", v) for s, v in card[place][kind].items()]
    rows += [("four plain networks, sum by spread", card["four_plain_networks"])]
    theirs = card.get("against_the_panel") or {}
    names = {"panel": "the panel that gives the finding", "panel_and_fusion": "panel and ACoRL's fusion added"}
    rows += [(words, theirs[key]) for key, words in names.items() if key in theirs]
    return [(words, _percent(v["eer_pooled"]), _percent(v["eer_macro"]),
             f"{v['cllr']['value']:.2f} [{v['cllr']['low']:.2f}, {v['cllr']['high']:.2f}]" if "cllr" in v else "–")
            for words, v in rows]


def _disagreement(found: Mapping[str, Any]) -> list[str]:
    if not found:
        return []
    return [
        "## When the panel's members contradict each other",
        "Share of the members' evidence that points the other way, on held-out clips; how often the finding is on the "
        "wrong side where it is largest, and elsewhere.",
        markdown_table(("share of clips", "limit", "wrong beyond", "wrong within"),
               [(f"{r['share']:.0%}", f"{r['limit']:.2f}", f"{r['wrong_beyond']:.0%}", f"{r['wrong_within']:.0%}")
                for r in found["rows"]]),
        "Whether it says more than the size of the finding (log10 LR) does: how often a wrong finding has the larger "
        "share, within ranges of that size (0.5: nothing more).",
        markdown_table(("size of the finding", "clips", "wrong", "larger where wrong"),
               [(f"{r['from']:g} to {r['to']:g}", str(r["clips"]), f"{r['wrong']:.0%}", f"{r['larger_where_wrong']:.2f}")
                for r in found["by_size_of_the_finding"]])]


def _percent(v: Mapping[str, float], sign: str = "") -> str:
    return f"{100 * v['value']:{sign}.1f} [{100 * v['low']:{sign}.1f}, {100 * v['high']:{sign}.1f}]"
