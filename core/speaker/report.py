"""A verification as plain JSON with its provenance: what the page offers for download and the command prints.

Times in seconds with sample indices at 16 kHz; likelihood ratios are log10 of p(evidence | same speaker) / p(evidence |
different speakers). A number that does not exist is null.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from core.frames import Track
from core.report_json import clean
from core.segments import Segment
from core.speaker.enrol import Reference
from core.speaker.networks import SpeakerNetworks
from core.speaker.verdict import (
    PROPOSITIONS,
    Likeness,
    contested,
    kept_calibration,
    llr_curve,
    segments,
    verdict,
)
from core.speaker.verify import THRESHOLDS, Verification

SCHEMA = "earwitness/speaker/1"


def to_dict(v: Verification, networks: SpeakerNetworks, threshold: float, *, curves: bool = True) -> dict[str, Any]:
    """Everything known at a threshold; ``curves`` adds gate, shift and attribution over time."""
    found, (kept, rejected) = verdict(v, networks, threshold), segments(v, threshold)
    calibration = kept_calibration(networks)
    out = {
        "schema": SCHEMA, "version": v.version,
        "networks": {"sha256": v.networks_sha256, "device": v.device, "threshold": found.threshold,
                     "bounds_log10": None if calibration is None else calibration.bounds,
                     "gated_calibration": networks.gated_calibration is not None},
        "recording": {"name": v.name, "sha256": v.sha256, "duration_s": v.duration_s},
        "enrolment": {"key": v.enrolment.key, "speech_s": v.enrolment.speech_s,
                      "references": [_reference(r) for r in v.enrolment.references]},
        "propositions": {"same": PROPOSITIONS[0], "different": PROPOSITIONS[1]},
        "verdict": {"sentence": found.sentence, "direction": found.direction, "abstained": found.abstained,
                    "reasons": [asdict(r) for r in found.reasons], "flips": found.flips,
                    "advice": [*found.notes, *v.advice]},
        "likeness": {name: _likeness(getattr(found, name)) for name in ("kept", "rejected", "raw", "gated")}
        | {name: {"cosine": cosine, "seconds": s} for name, (cosine, s) in v.by_speech.items()},
        "speech_detectors_absent": dict(v.absent),
        "speakers": {"distance": v.speakers.distance, "limit": v.speakers.limit, "several": v.speakers.several},
        "segments": {"kept": [_segment(s) for s in kept], "rejected": [_segment(s) for s in rejected],
                     "contested": [_segment(s) for s in contested(v)]},
        "by_threshold": _by_threshold(v, networks),
    }
    if curves:
        out["tracks"] = tracks(v)
    return clean(out)


def tracks(v: Verification) -> dict[str, Any]:
    """Gate, shift and attribution over time."""
    return {t.name: _track(t) for t in (v.gamma, v.beta, v.influence) if t is not None}


def _reference(r: Reference) -> dict[str, Any]:
    return {"name": r.name, "sha256": r.sha256, "start_sample": r.span[0], "stop_sample": r.span[1], "whole": r.whole,
            "speech_s": r.speech_s, "snr_db": r.snr_db, "bandwidth_hz": r.bandwidth_hz, "codec": r.codec,
            "several_speakers": r.speakers.several}


def _likeness(given: Likeness) -> dict[str, Any]:
    llr = given.llr
    return {"cosine": given.cosine, "seconds": given.seconds, "llr_log10": None if llr is None else llr.value,
            "llr_low": None if llr is None else llr.low, "llr_high": None if llr is None else llr.high,
            "at_bound": None if llr is None else llr.bounded}


def _segment(s: Segment) -> dict[str, Any]:
    first, last = s.samples
    return {"start_s": s.start_s, "stop_s": s.stop_s, "start_sample": first, "stop_sample": last, "gate": s.value}


def _by_threshold(v: Verification, networks: SpeakerNetworks) -> dict[str, list]:
    curve = llr_curve(v, networks)
    rows = {"threshold": THRESHOLDS, "kept_cosine": v.curve.kept, "rejected_cosine": v.curve.rejected,
            "kept_s": v.curve.kept_s}
    if curve is not None:
        rows |= dict(zip(("llr_log10", "llr_low", "llr_high"), curve, strict=True))
    return {name: np.round(np.asarray(values, float), 5).tolist() for name, values in rows.items()}


def _track(track: Track) -> dict[str, Any]:
    return {"unit": track.unit, "hop_s": track.hop_s, "first_centre_s": track.start_s,
            "values": np.round(np.asarray(track.values, float), 6).tolist()}
