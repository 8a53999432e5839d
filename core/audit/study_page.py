"""The page about the study: what was measured, in words and tables, from its numbers alone."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from core.attribute.methods import METHODS

STUDY = Path(__file__).resolve().parents[2] / "docs" / "attribution.json"
KINDS = {"good": "the map itself", "random": "its cells shuffled", "destroyed": "map of the destroyed network"}
LABELS = {"gap": "distance from the baseline over movement under noise", "completeness": "completeness error",
          "faithful": "removal, beyond random orders", "loudness": "removal, beyond loudest or quietest first",
          "randomised": "likeness to a destroyed network's map", "agreement": "agreement with occlusion",
          "stability": "likeness under inaudible noise"}


def measured(content_sha256: str) -> str:
    """What the study found about finding synthetic stretches with this very detector, in words; empty where it wasn't
    measured or the page isn't there."""
    try:
        made = json.loads(STUDY.read_text(encoding="utf-8"))
        return preference(made["hybrids"]) if made["content_sha256"] == content_sha256 else ""
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def page(made: Mapping[str, Any]) -> str:
    """Markdown."""
    found = made["separation"]
    parts = [
        "# Can the attribution maps be believed?",
        "Written by `python -m core.audit.study CORPUS --output docs/attribution.json` (`--clips`, `--hybrids` set how "
        f"many); the numbers are in the JSON beside this page. Detector `{made['model']}`, "
        f"content {made['content_sha256'][:12]}; {METHODS[made['method']].title}, "
        f"compared with {made['baseline']}, seed {made['seed']}.",
        f"## The audit against maps known to be bad ({found['clips']} clips)",
        "Every clip's map went through the audit three times: as it is; with its cells shuffled, so that it has the "
        "right values in the wrong places; and replaced by the map of the same network with destroyed weights. A "
        "shuffled map still adds up, and stability isn't measured for the bad ones, so they are caught by the other "
        "tests alone.",
        markdown_table(("", "passes the audit", *(LABELS[c] for c in ("faithful", "loudness", "agreement"))),
               [(KINDS[k], f"{found['reliable'][k]:.0%}",
                 *(_quartiles(found["quartiles"][k].get(c)) for c in ("faithful", "loudness", "agreement")))
                for k in KINDS]),
        "Medians with quartiles. How often a good map's value lies above a bad one's (0.5 is chance):",
        markdown_table(("against", *(LABELS[c] for c in ("faithful", "loudness", "agreement"))),
               [(KINDS[k], *(f"{v:.3f}" for v in found["auc"][k].values())) for k in ("random", "destroyed")]),
        "Which tests the maps miss, in clips:",
        markdown_table(("test", *KINDS.values()),
                       [(LABELS[c], *(str(found["missed"][k][c]) for k in KINDS)) for c in LABELS]),
        "## Which method finds a synthetic stretch?",
        "Bona fide speech with one stretch of 0.5 to 1.5 s from a synthetic clip of the same source. A ratio of 1 says "
        "that a map has no more of itself inside the stretch than the stretch has of the time; means with 95 % bootstrap "
        "intervals over hybrids.",
        markdown_table(
            ("method", "hybrids", "inside", "inside, towards spoof", "edges (±80 ms)", "columns told apart (AUC)"),
               [(METHODS[m].title, str(v["hybrids"]), *(_ci(v[k]) for k in ("inside", "inside, towards spoof", "edges",
                                                                            "auc of columns")))
                for m, v in made["hybrids"].items()]),
        preference(made["hybrids"]),
        "## To see one that passes and one that fails",
        "On the Attribution page, with any bundled example, two buttons show one each: Integrated Gradients on the "
        "log-mel, compared with mean bona fide speech, passes on most recordings. Laid on the waveform and compared with "
        "silence it fails whatever the detector: the front end takes a logarithm, whose slope near silence no number of "
        "steps can follow, so the parts don't add up.",
    ]
    return "\n\n".join(parts) + "\n"


def preference(hybrids: Mapping[str, Any]) -> str:
    """Which method an examiner should prefer for finding a stretch, as far as the intervals allow to say."""
    if not hybrids:
        return "No hybrids were measured."
    best = max(hybrids, key=lambda m: hybrids[m]["inside"]["mean"])
    top = hybrids[best]["inside"]
    if top["low"] <= 1.0:
        return ("**No method puts reliably more of its map inside the synthetic stretch than the stretch has of the "
                "time.** The detector's score doesn't rest on the stretch, and a map can't show what the detector "
                "doesn't use: with this detector, no map should be read as a sign of where a recording was altered.")
    rivals = [METHODS[m].title for m, v in hybrids.items() if m != best and v["inside"]["high"] >= top["low"]]
    words = f"**{METHODS[best].title} puts most inside the stretch** ({top['mean']:.2f} times its share of the time)."
    return words + (f" The intervals don't set it apart from {', '.join(rivals)}." if rivals else "")


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def _quartiles(values: list[float] | None) -> str:
    return "–" if not values else f"{values[1]:.2f} [{values[0]:.2f}, {values[2]:.2f}]"


def _ci(v: Mapping[str, float]) -> str:
    return f"{v['mean']:.2f} [{v['low']:.2f}, {v['high']:.2f}]"
