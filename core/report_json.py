"""An examination as plain JSON: the numbers that the command line prints and a report will carry.

Times are in seconds with sample indices at 16 kHz beside them; likelihood ratios are log10 of p(evidence |
bona fide) / p(evidence | spoof). A number that does not exist is null; NaN and infinity never appear.
"""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from core.frames import Track

if TYPE_CHECKING:
    from core.examine import Examination
    from core.finding import Finding

SCHEMA = "earwitness/examination/1"


def to_dict(examination: Examination, *, curves: bool = True) -> dict[str, Any]:
    """The whole examination; `curves` adds entropy and score over time."""
    e = examination
    out = {
        "schema": SCHEMA,
        "version": e.version,
        "model": {"name": e.model, "weights_sha256": e.weights_sha256, "device": e.device},
        "seconds": e.seconds,
        "recording": {
            "name": e.recording.name,
            "sha256": e.recording.sha256,
            "duration_s": e.recording.duration_s,
            "samples_16k": len(e.recording.samples),
            "container": {**asdict_shallow(e.recording.facts), "tags": dict(e.recording.facts.tags)},
            "warnings": list(e.recording.warnings),
        },
        "quality": {
            key: value
            for key, value in asdict_shallow(e.quality).items()
            if isinstance(value, int | float) and not isinstance(value, bool)
        },
        "finding": finding_dict(e.finding),
        "entropy": {
            "mean_bits_per_frame": e.entropy.mean_bits,
            "kl_nats_per_frame": e.entropy.kl_nats_per_frame,
            "reconstruction_mse": e.entropy.recon_mse,
            "distance_to_calibration": e.entropy.distance,
            "windows": _windows(e),
            "low_entropy_stretches": [_span(r) | {"mean_bits": r.mean_bits} for r in e.entropy.low_runs],
        },
    }
    if e.entropy.member_scores and e.finding.parts_shown:
        out["panel"] = {"members": dict(e.entropy.member_scores), "f_infoed_score": e.entropy.own_score}
    if curves:
        out["entropy"]["curve"] = _curve(e.entropy.entropy)
        out["entropy"]["score_curve"] = _curve(e.entropy.score) if e.finding.parts_shown else None
    return clean(out)


def finding_dict(finding: Finding) -> dict[str, Any]:
    """The finding alone, with its propositions, reasons, checks, detectors and regions."""
    f = finding
    return {
        "sentence": f.sentence,
        "direction": f.direction,
        "llr_log10": f.llr_log10,
        "llr_low": f.llr_low,
        "llr_high": f.llr_high,
        "at_bound": f.at_bound,
        "bounds_log10": list(f.bounds),
        "score": f.score,
        "abstained": f.abstained,
        "reasons": [asdict(r) for r in f.reasons],
        "advice": list(f.advice),
        "propositions": asdict(f.propositions),
        "verbal": f.verbal,
        "scale": {"name": f.scale.name, "version": f.scale.version},
        "checks": [asdict(c) | {"state": c.state} for c in f.checks],
        "detectors": [asdict(d) for d in f.detectors],
        "regions": [_span(r) | {"supports": "spoof", "mean_score": r.mean_score} for r in f.regions],
    }


def _windows(e: Examination) -> list[dict[str, Any]]:
    """Times of the windows; their scores only where a finding is given."""
    scores = e.entropy.window_scores if not e.finding.abstained else [None] * len(e.entropy.window_scores)
    rows = zip(e.entropy.window_times, e.entropy.window_seconds, scores, strict=True)
    return [{"start_s": t[0], "stop_s": t[1], "counts_s": s, "score": score} for t, s, score in rows]


def _span(stretch: Any) -> dict[str, Any]:
    start, stop = stretch.samples
    return {"start_s": stretch.start_s, "stop_s": stretch.stop_s, "start_sample": start, "stop_sample": stop}


def _curve(track: Track) -> dict[str, Any]:
    values = np.round(np.asarray(track.values, dtype=np.float64), 4).tolist()
    return {"unit": track.unit, "hop_s": track.hop_s, "first_centre_s": track.start_s, "values": values}


def asdict_shallow(instance: Any) -> dict[str, Any]:
    """The fields of a dataclass by name, without descending into them."""
    return {name: getattr(instance, name) for name in instance.__dataclass_fields__}


def clean(value: Any) -> Any:
    """The same with numpy numbers as plain ones and null for what is not finite."""
    if isinstance(value, dict):
        return {str(k): clean(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [clean(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
