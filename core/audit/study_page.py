"""The page about the study: what was measured, in words and tables, from its numbers alone."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from core.attribute.methods import METHODS

DOCS = Path(__file__).resolve().parents[2] / "docs"
TRACK = "the score over time itself"
TARGETS = {"clip": "the score of the whole clip", "moment": "the mean of all frame scores"}
KINDS = {"good": "the map itself", "random": "its cells shuffled", "destroyed": "map of the destroyed network"}
LABELS = {"gap": "distance from the baseline over movement under noise", "completeness": "completeness error",
          "faithful": "removal, beyond random orders", "loudness": "removal, beyond loudest or quietest first",
          "randomised": "likeness to a destroyed network's map", "agreement": "agreement with occlusion",
          "stability": "likeness under inaudible noise"}


def measured(content_sha256: str, target: str = "clip") -> str:
    """What a study found about finding synthetic stretches with this very detector, in words; empty where it wasn't
    measured or the page isn't there. target : as in ``core.attribute.question``; a region is scored as a clip is.
    """
    wanted = "moment" if target == "moment" else "clip"
    for path in sorted(DOCS.glob("attribution*.json")):
        try:
            made = json.loads(path.read_text(encoding="utf-8"))
            if made["content_sha256"] == content_sha256 and made["target"] == wanted:
                return preference(made["hybrids"])
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return ""


def page(made: Mapping[str, Any]) -> str:
    """Markdown."""
    found, method = made["separation"], METHODS[made["method"]]
    parts = [
        f"# Can the attribution maps be believed? {made['model']}, {TARGETS[made['target']]}",
        f"Written by `{made['command']}` (`--clips`, `--hybrids` set how many); the numbers are in the JSON beside this "
        f"page. Detector `{made['model']}`, content {made['content_sha256'][:12]}; explained is "
        f"{TARGETS[made['target']]}, on its {made['plane']}; {method.title}, compared with {made['baseline']}, seed "
        f"{made['seed']}.",
        *([made["note"]] if "note" in made else ()),
        *(_separation(found) if found["clips"] else ()),
        "## Which method finds a synthetic stretch?",
        "Bona fide speech with one stretch of 0.5 to 1.5 s from a synthetic clip of the same source. A ratio of 1 says "
        "that a map has no more of itself inside the stretch than the stretch has of the time. By size: how often a "
        "column inside has more of the map than one outside; by sign: how often it points more towards spoof (0.5 is "
        "chance). Means with 95 % bootstrap intervals over hybrids.",
        markdown_table(
            ("method", "hybrids", "inside", "inside, towards spoof", "edges (±80 ms)", "by size (AUC)", "by sign (AUC)"),
            [(_title(m), str(v["hybrids"]), *(_ci(v.get(k)) for k in ("inside", "inside, towards spoof", "edges",
                                                                     "auc of columns", "auc towards spoof")))
             for m, v in made["hybrids"].items()]),
        preference(made["hybrids"]),
        "## To see one that passes and one that fails",
        "On the Attribution page, with any bundled example, two buttons show one each: f-InfoED's own answer, "
        "Integrated Gradients on the log-mel, compared with mean bona fide speech, passes on most recordings. Laid on "
        "the waveform and compared with silence it fails whatever the detector: front ends take logarithms or divide "
        "by the level, and no number of steps can follow their slope near silence, so the parts don't add up.",
    ]
    return "\n\n".join(parts) + "\n"


def _separation(found: Mapping[str, Any]) -> tuple[str, ...]:
    """Does the audit tell good maps from bad ones?"""
    told = ("faithful", "loudness", "agreement")
    return (
        f"## The audit against maps known to be bad ({found['clips']} clips)",
        "Every clip's map went through the audit three times: as it is; with its cells shuffled, so that it has the "
        "right values in the wrong places; and replaced by the map of the same network with destroyed weights. A "
        "shuffled map still adds up, and stability isn't measured for the bad ones, so they are caught by the other "
        "tests alone.",
        markdown_table(("", "passes the audit", *(LABELS[c] for c in told)),
                       [(KINDS[k], f"{found['reliable'][k]:.0%}",
                         *(_quartiles(found["quartiles"][k].get(c)) for c in told)) for k in KINDS]),
        "Medians with quartiles. How often a good map's value lies above a bad one's (0.5 is chance):",
        markdown_table(("against", *(LABELS[c] for c in told)),
                       [(KINDS[k], *(f"{v:.3f}" for v in found["auc"][k].values())) for k in ("random", "destroyed")]),
        "Which tests the maps miss, in clips:",
        markdown_table(("test", *KINDS.values()), [(LABELS[c], *(str(found["missed"][k][c]) for k in KINDS))
                                                   for c in LABELS]),
    )


def preference(hybrids: Mapping[str, Any]) -> str:
    """Which method an examiner should prefer for finding a stretch, as far as the intervals allow to say."""
    maps = {m: v for m, v in hybrids.items() if m in METHODS}
    if not maps:
        return "No hybrids were measured."
    return " ".join(words for words in (_by_size(maps), _by_sign(maps), _track(hybrids)) if words)


def _by_size(maps: Mapping[str, Any]) -> str:
    best = max(maps, key=lambda m: maps[m]["inside"]["mean"])
    top = maps[best]["inside"]
    if top["low"] <= 1.0:
        return ("**No method puts reliably more of its map inside the synthetic stretch than the stretch has of the "
                "time.** How large a map is somewhere doesn't show where a recording was altered.")
    rivals = [_title(m) for m, v in maps.items() if m != best and v["inside"]["high"] >= top["low"]]
    words = f"**{_title(best)} puts most inside the stretch** ({top['mean']:.2f} times its share of the time)."
    return words + (f" The intervals don't set it apart from {', '.join(rivals)}." if rivals else "")


def _by_sign(maps: Mapping[str, Any]) -> str:
    """Whether the direction of the columns shows the stretch."""
    known = {m: v["auc towards spoof"] for m, v in maps.items() if "auc towards spoof" in v}
    if not known:
        return ""
    best = max(known, key=lambda m: known[m]["mean"])
    if known[best]["low"] <= 0.5:
        return "Nor does its direction: no method's columns point more towards spoof inside than outside."
    return (f"By direction, {_title(best)} is best: a column inside points more towards spoof than one outside in "
            f"{100 * known[best]['mean']:.0f} of 100 cases (50 is chance).")


def _track(hybrids: Mapping[str, Any]) -> str:
    track = hybrids.get(TRACK, {}).get("auc towards spoof")
    if not track:
        return ""
    low, mean, high = (round(100 * track[k]) for k in ("low", "mean", "high"))
    return f"The score over time itself gets {mean} [{low}, {high}] of 100 right: to look for a stretch, look there."


def _title(name: str) -> str:
    return METHODS[name].title if name in METHODS else name[:1].upper() + name[1:]


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def _quartiles(values: list[float] | None) -> str:
    return "–" if not values else f"{values[1]:.2f} [{values[0]:.2f}, {values[2]:.2f}]"


def _ci(v: Mapping[str, float] | None) -> str:
    return "–" if v is None else f"{v['mean']:.2f} [{v['low']:.2f}, {v['high']:.2f}]"
