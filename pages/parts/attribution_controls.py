"""What the examiner asks on the attribution page: detector, method, baseline, plane, target, display."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import streamlit as st

from core.attribute.baselines import BASELINES
from core.attribute.methods import METHODS
from core.attribute.question import MOMENT_S, Question
from core.detectors.panel import NAME as PANEL
from pages.parts.attribution_jobs import Ask
from pages.parts.desk import Desk

PLANE_WORDS = {"log-mel": "log-mel", "levels": "band levels", "spectrum": "spectrum", "waveform": "waveform"}
PLANE_HELP = {"log-mel": "the bands that f-InfoED hears, every 10 ms",
              "levels": "80 mel bands turned up or down every 10 ms, the sound resynthesised with its own phases; fits "
                        "every detector, but says nothing of evidence in the phases",
              "spectrum": "the short-time spectrum from which the sound is resynthesised; fits every detector",
              "waveform": "the samples themselves; over time only"}
TARGET_WORDS = {"clip": "the whole recording's score", "region": "the selection, scored alone",
                "moment": "the selected moment's frame scores"}
BASELINE_WORDS = {"silence": "silence", "mean-bonafide": "mean bona fide", "own-mean": "its own mean"}
WINDOW_S = 4.0
FIRST_METHOD = {PANEL: "gradient-shap"}  # part of the panel's score moves in jumps, so Integrated Gradients can't add up


@dataclass(frozen=True)
class Wish:
    """What is asked for, and how it is to be shown."""

    ask: Ask
    signed: bool


def controls(found: Desk) -> Wish:
    """Draw the controls."""
    default = str(found.examination.model)
    first = st.columns([3, 3, 2, 2], gap="medium")
    names = detectors(default, bool(found.examination.entropy.member_scores))
    detector = str(first[0].selectbox("Detector", names, key="attribution-detector",
                                      format_func=lambda n: _called(str(n), default)))
    methods, planes = list(METHODS), planes_of(detector, default)
    method = first[1].selectbox("Method", methods, key=f"attribution-method-{detector}",
                                index=methods.index(FIRST_METHOD.get(detector, methods[0])),
                                format_func=lambda m: METHODS[m].title)
    baseline = first[2].selectbox("Compared with", list(BASELINES), index=1, key="attribution-baseline",
                                  format_func=BASELINE_WORDS.get, help=_listed(BASELINES, BASELINE_WORDS))
    plane = first[3].selectbox("Laid on", planes, key=f"attribution-plane-{detector}", format_func=PLANE_WORDS.get,
                               help=_listed({p: PLANE_HELP[p] for p in planes}, PLANE_WORDS))
    second = st.columns([6, 4], gap="medium")
    target = second[0].radio("What is explained", list(TARGET_WORDS), horizontal=True, key="attribution-target",
                             format_func=TARGET_WORDS.get)
    signed = second[1].radio("Shown", ["signed", "unsigned"], horizontal=True, key="attribution-shown",
                             captions=["which way", "how much, either way"]) == "signed"
    question = Question(str(target), span_of(found, str(target)), str(plane))
    return Wish(Ask(detector, question, str(method), str(baseline)), signed)


def planes_of(detector: str, default: str) -> list[str]:
    """What a detector's map can be laid on; only f-InfoED hears a log-mel."""
    return list(PLANE_WORDS) if detector == default else [p for p in PLANE_WORDS if p != "log-mel"]


def _called(name: str, default: str) -> str:
    """A detector's name in the list: first of all what gives the finding."""
    short = name.rsplit("/", 1)[-1]
    if name == PANEL:
        return "panel, which gives the finding"
    return f"f-InfoED's own answer ({short})" if name == default else short


def showcase(default: str) -> None:
    """Two buttons: settings whose map passes its tests on most recordings, and settings whose map can't pass."""
    left, right, _ = st.columns([3, 3, 4])
    passes = {"attribution-detector": default, f"attribution-method-{default}": "integrated-gradients",
              "attribution-baseline": "mean-bonafide", f"attribution-plane-{default}": "log-mel"}
    fails = passes | {"attribution-baseline": "silence", f"attribution-plane-{default}": "waveform"}
    for column, words, chosen in ((left, "Show a map that usually passes", passes),
                                  (right, "Show a map that fails", fails)):
        column.button(words, on_click=st.session_state.update, args=(chosen,), width="stretch")
    st.caption("Both explain f-InfoED's own answer. The second one is Integrated Gradients laid on the waveform and "
               "compared with silence: the front end takes a logarithm, which has no slope to follow there, so the parts "
               "don't add up.")


def _listed(meanings: Mapping[str, str], names: Mapping[str, str]) -> str:
    return "\n".join(f"* **{names[key]}**: {words.removeprefix(f'{key}: ')}" for key, words in meanings.items())


def detectors(default: str, panel: bool) -> list[str]:
    """Names of the detectors that can be explained: what gives the finding first, then f-InfoED's own answer."""
    from core.detectors import names
    from models.registry import DEFAULT_MODEL

    first = [PANEL, default] if panel else [default]
    return [*first, *(n for n in names() if n not in (PANEL, default, DEFAULT_MODEL))]


def span_of(found: Desk, target: str) -> tuple[float, float] | None:
    """The stretch that a question is about: the selection, or a click for a moment. For the whole recording it says
    where windows are to be explained, in steps of 4 s."""
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
