"""Model cards for tests: complete, minimal, damaged. No figure here was measured."""

from __future__ import annotations

from typing import Any

SYSTEMS = {f"s{i}": 0.1 + 0.05 * i for i in range(5)}


def interval(value: float, **more: Any) -> dict[str, Any]:
    return {"value": value, "low": round(value - 0.03, 4), "high": round(value + 0.03, 4)} | more


def complete(**more: Any) -> dict[str, Any]:
    """A card with every section that the page knows."""
    row = {"kind": "codec", "clips": 100, "bona_fide": 50, "spoof": 50, "abstention": 0.02}
    return {
        "name": "tiny panel", "system": "a panel of two", "paper": "arXiv 0000.00000", "licence": "Apache-2.0",
        "encoder": "none", "sample_rate_hz": 16000, "window_s": 4.0, "sign": "higher is bona fide",
        "weights_sha256": "ab" * 32, "machine": "a laptop", "command": "python -m core evaluate", "protocol": "leave out",
        "panel": {"members": [{"name": "one", "weight": 0.7, "eer": interval(0.2)}, {"name": "two", "weight": 0.3}]},
        "metrics": {
            "leave_source_out": {
                "eer_pooled": interval(0.16, bona_fide=500, spoof=600), "eer_macro": interval(0.14),
                "cllr": interval(0.55), "cllr_min": interval(0.5), "min_dcf": interval(0.4), "act_dcf": interval(0.44),
            },
            "by_family": {"tts": interval(0.12, bona_fide=500, spoof=400), "vocoder": interval(0.3)},
            "hybrids": {"range_eer_frame_head": interval(0.24, hybrids=100), "range_f1_at_eer_threshold": 0.5},
        },
        "by_system": SYSTEMS, "within_source": {"r0": interval(0.2)},
        "baselines": {"channel_only": {"eer_pooled": interval(0.49)}},
        "peers": {"AASIST": {"eer_pooled": interval(0.28), "eer_macro": 0.25, "cllr": 0.9}},
        "seeds_and_ablations": {
            "whole": {"eer_pooled": interval(0.16), "eer_pooled_by_seed": [0.16, 0.15, 0.17],
                      "range_eer_by_seed": [0.24]},
            "no-copies": {"eer_pooled": interval(0.22), "eer_pooled_by_seed": [0.22, 0.2, 0.24]},
        },
        "robustness": {
            "definition": "how it was measured", "rows": [
                row | {"condition": "clean", "level": "as it is", "eer": interval(0.16), "rise": interval(0.0),
                       "verdict": "within a third", "sure": True},
                row | {"condition": "MP3", "level": "32 kbit/s", "eer": interval(0.18), "rise": interval(0.125),
                       "verdict": "within a third", "sure": False, "wrong_side": [0.07, 0.31]},
                row | {"condition": "white noise", "level": "5 dB SNR", "eer": interval(0.34), "rise": interval(1.1),
                       "verdict": "exceeds", "sure": True},
                row | {"condition": "AMR-NB", "level": "4.75 kbit/s", "eer": None, "rise": None, "abstention": 0.9,
                       "verdict": "abstains", "sure": True},
            ],
            "not_measured": [{"condition": "AMR-WB", "level": "all rates", "reason": "no encoder"}],
        },
        "traces": {"definition": "who refuses what", "limits": {"room": 0.1, "later-kind": 0.2}, "rows": [
            {"clips": "bona fide, as it is", "n": 1200, "any": 0.06, "room": 0.05, "later-kind": 0.01}]},
        "worst": {
            "meaning": "wrong: beyond the threshold",
            "systems": [{"name": "s4", "clips": 20, "wrong": 12, "share_wrong": interval(0.6), "eer": 0.3,
                         "listen": [{"clip": "c9", "score": 2.0, "source": "r0", "file": "a/b.wav", "system": "s4"}]}],
            "bona_fide_sources": [{"name": "r1", "clips": 30, "wrong": 9, "share_wrong": interval(0.3)}],
        },
        "calibration": {"slope": 0.5, "intercept": 0.1, "bounds_log10": [-1.5, 1.2]},
        "training_data": {"clips": 1234, "dropped": {"unreadable": 3}, "by_source": {"r0": 1000, "r1": 234},
                          "licences": {"r0": "CC0-1.0"}, "by_system": {"s0": 10}},
        "limits": ["It was measured on English.", "It has heard no telephone calls."],
        "folds": [["r0"], ["r1", "r2"]], "recipe": {"steps": 300, "loss": {"alpha": 1.0}},
    } | more
