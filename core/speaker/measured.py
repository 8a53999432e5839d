"""What the studies found, in words for the screen and as a page, from their numbers alone.

A sentence is only given for the very networks that were measured; otherwise it is empty.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ALONE = Path(__file__).resolve().parents[2] / "docs" / "only-this-speaker.json"
WAYS = {"whole": "the whole recording", "alone": "what the gate keeps of the voice",
        "true_stretches": "the stretches that are truly its"}


def alone_words(networks_sha256: str) -> str:
    """What hearing one speaker alone does to the finding, in a sentence; empty where it wasn't measured with these
    networks.
    """
    try:
        made = json.loads(ALONE.read_text(encoding="utf-8"))
        if made["networks_sha256"] != networks_sha256:
            return ""
        right = made["right"]
        return (f"Measured on {made['mixtures']} mixtures of a real and a synthetic voice: the finding was right for the "
                f"voice that was asked about in {_percent(right['alone'])} of {made['questions']} questions when only "
                f"that voice was heard, against {_percent(right['whole'])} for the whole recording and "
                f"{_percent(right['true_stretches'])} with perfect boundaries."
                + (" The detector's panel had learned from recordings of most of these sources." if made["met"] else ""))
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return ""


def several_words(found: Mapping[str, Any]) -> str:
    """How often the check for several voices is wrong, in a sentence; empty where it wasn't measured."""
    if not found:
        return ""
    return (f"Measured on {found['recordings_of_each_kind']} recordings of one voice and as many of two, of "
            f"{found['speakers']} held-out speakers: one voice was taken for several in "
            f"{_percent(found['false_alarms'])}, two voices were missed in {_percent(found['misses'])}.")


def alone_page(made: Mapping[str, Any]) -> str:
    """The page about the study, Markdown."""
    voices = made["voices"]
    parts = [
        "# Does hearing one speaker alone help the finding?",
        f"Written by `{made['command']}`; the numbers of every question are in the JSON beside this page. Speaker "
        f"networks {made['networks_sha256'][:12]}, spoof detector `{made['detector']}` {made['detector_sha256'][:12]}, "
        f"threshold {made['threshold']} on the gate.",
        f"{made['mixtures']} mixtures by turns of {voices['bona fide']} bona fide and {voices['synthetic']} synthetic "
        "voices, about 16 s each; the synthetic voice has 30, 50 or 70 % of the time. Each is asked about both voices, "
        "so the whole recording's finding, which is one number for two opposite questions, can't be right more than half "
        "the time. An abstention is no right answer. The speaker networks were trained on none of these voices. Their "
        "sources: " + ", ".join(made["sources"]) + "."
        + _if(made["left_out"], " Left out, because the detector learned from them: ")
        + _if(made["met"], " The detector's panel learned from recordings of these, which flatters it in every line: "),
        _table(("examined", "right \\[95 % over voices\\]", "no answer", "asked about a real voice", "a synthetic voice"),
               [(words, _interval(made["right"][way]), f"{made['no_answer'][way]:.0%}",
                 *(f"{made['by_asked'][kind][way]:.0%}" for kind in ("bona fide", "synthetic")))
                for way, words in WAYS.items()]),
        f"Heard alone, the finding moved to the right answer in {made['moved_to_right']} questions and away from it in "
        f"{made['moved_to_wrong']}; the difference in right answers is {_interval(made['alone_less_whole'])}. "
        + _verdict(made["alone_less_whole"]),
        f"The gate kept {made['kept_of_target']:.0%} of the voice that was asked about and {made['kept_of_other']:.0%} "
        "of the other one.",
        "By the share of the synthetic voice, by whether the detector learned from a source of the mixture, and by the "
        "kind of the voice that was asked about:",
        _table(("", *WAYS.values()), [(f"{float(share):.0%} synthetic", *(f"{v[way]:.0%}" for way in WAYS))
                                      for share, v in made["by_share_synthetic"].items()]
               + [(f"the detector knows {known}", *(f"{v[way]:.0%}" for way in WAYS))
                  for known, v in made["by_detector_knows"].items()]
               + [(kind, *(f"{v[way]:.0%}" for way in WAYS)) for kind, v in made["by_kind"].items()]),
        "The last line of the first table is about the detector alone: with perfect boundaries it is wrong as often as "
        "it is on short clean clips of these voices. Real cases overlap, carry noise and share a channel; these mixtures "
        "do none of that.",
    ]
    return "\n\n".join(parts) + "\n"


def _if(names: Sequence[str], words: str) -> str:
    return f"{words}{', '.join(names)}." if names else ""


def _verdict(difference: Sequence[float]) -> str:
    if difference[1] > 0:
        return "Hearing one speaker alone helps."
    return "Hearing one speaker alone makes it worse." if difference[2] < 0 else "That is no clear difference."


def _percent(values: Sequence[float]) -> str:
    return f"{values[0]:.0%} [{values[1]:.0%}, {values[2]:.0%}]"


def _interval(values: Sequence[float]) -> str:
    return f"{100 * values[0]:.1f} % \\[{100 * values[1]:.1f}, {100 * values[2]:.1f}\\]"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])
