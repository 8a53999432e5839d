"""What the examiner asks on the attribution page: detector, method, baseline, plane, target, display."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import streamlit as st

from core.attribute.baselines import BASELINES
from core.attribute.methods import METHODS
from core.attribute.question import MOMENT_S, Question
from pages.parts.attribution_jobs import Ask
from pages.parts.desk import Desk

PLANE_WORDS = {"log-mel": "log-mel", "spectrum": "spectrum", "waveform": "waveform"}
PLANE_HELP = {"log-mel": "the bands that f-InfoED hears, every 10 ms; this explains its own answer, not that of the "
                         "panel that gives the finding (choose the detector panel for it)",
              "spectrum": "the short-time spectrum from which the sound is resynthesised; fits every detector",
              "waveform": "the samples themselves; over time only"}
TARGET_WORDS = {"clip": "the whole recording's score", "region": "the selection, scored alone",
                "moment": "the selected moment's frame scores"}
BASELINE_WORDS = {"silence": "silence", "mean-bonafide": "mean bona fide", "own-mean": "its own mean"}
WINDOW_S = 4.0
PASSES = {"attribution-method": "integrated-gradients", "attribution-baseline": "mean-bonafide",
          "attribution-plane": "log-mel"}
FAILS = PASSES | {"attribution-baseline": "silence", "attribution-plane": "waveform"}


@dataclass(frozen=True)
class Wish:
    """What is asked for, and how it is to be shown."""

    ask: Ask
    signed: bool


def controls(found: Desk) -> Wish:
    """Draw the controls."""
    default = str(found.examination.model)
    first = st.columns([2, 3, 2, 2], gap="medium")
    names = detectors(default)
    detector = first[0].selectbox("Detector", names, key="attribution-detector",
                                  format_func=lambda n: str(n).rsplit("/", 1)[-1])
    method = first[1].selectbox("Method", list(METHODS), key="attribution-method",
                                format_func=lambda m: METHODS[m].title)
    baseline = first[2].selectbox("Compared with", list(BASELINES), index=1, key="attribution-baseline",
                                  format_func=BASELINE_WORDS.get, help=_listed(BASELINES, BASELINE_WORDS))
    planes = list(PLANE_WORDS) if detector == default else ["spectrum", "waveform"]
    plane = first[3].selectbox("Laid on", planes, key="attribution-plane", format_func=PLANE_WORDS.get,
                               help=_listed(PLANE_HELP, PLANE_WORDS))
    second = st.columns([6, 4], gap="medium")
    target = second[0].radio("What is explained", list(TARGET_WORDS), horizontal=True, key="attribution-target",
                             format_func=TARGET_WORDS.get)
    signed = second[1].radio("Shown", ["signed", "unsigned"], horizontal=True, key="attribution-shown",
                             captions=["which way", "how much, either way"]) == "signed"
    question = Question(str(target), span_of(found, str(target)), str(plane))
    return Wish(Ask(str(detector), question, str(method), str(baseline)), signed)


def showcase() -> None:
    """Two buttons: settings whose map passes its tests on most recordings, and settings whose map can't pass."""
    left, right, _ = st.columns([3, 3, 4])
    for column, words, chosen in ((left, "Show a map that usually passes", PASSES),
                                  (right, "Show a map that fails", FAILS)):
        column.button(words, on_click=st.session_state.update, args=(chosen,), width="stretch")
    st.caption("The second one is Integrated Gradients laid on the waveform and compared with silence: the front end "
               "takes a logarithm, which has no slope to follow there, so the parts don't add up.")


def _listed(meanings: Mapping[str, str], names: Mapping[str, str]) -> str:
    return "\n".join(f"* **{names[key]}**: {words.removeprefix(f'{key}: ')}" for key, words in meanings.items())


def detectors(default: str) -> list[str]:
    """Names of the detectors that can be explained, the default first."""
    try:
        from core.detectors import names
    except ImportError:
        return [default]
    from models.registry import DEFAULT_MODEL

    return [default, *(n for n in names() if n not in (default, DEFAULT_MODEL))]


def span_of(found: Desk, target: str) -> tuple[float, float] | None:
    """The stretch that a question is about: the selection, or a click for a moment. For the whole recording it names
    the windows of 4 s to be explained."""
    opened, duration = found.opened, found.recording.duration_s
    chosen = opened.selection_s
    if target == "moment" and chosen is None and opened.clicked is not None:
        middle = opened.clicked / 16_000
        return max(0.0, middle - MOMENT_S / 2), min(duration, middle + MOMENT_S / 2)
    if target != "clip" or chosen is None:
        return chosen
    return (chosen[0] // WINDOW_S) * WINDOW_S, min(duration, -(-chosen[1] // WINDOW_S) * WINDOW_S)


def marked(found: Desk, examples: list[dict[str, Any]]) -> tuple[tuple[float, float], ...]:
    """Stretches whose edges are of interest: the known splices of a bundled example, else the selection."""
    for entry in examples:
        if entry.get("sha256") == found.opened.digest and entry.get("spliced_s"):
            return tuple((float(a), float(b)) for a, b in entry["spliced_s"])
    chosen = found.opened.selection_s
    return () if chosen is None else ((float(chosen[0]), float(chosen[1])),)
