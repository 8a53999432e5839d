"""The study's arithmetic and its page, on numbers made by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest

from core.audit import study, study_page


def test_auc_counts_pairs():
    assert study.auc(np.array([2.0, 3]), np.array([0.0, 1])) == 1.0
    assert study.auc(np.array([1.0]), np.array([1.0])) == 0.5 == study.auc(np.array([]), np.array([1.0]))


def test_shuffling_a_map_keeps_its_sum_and_moves_its_cells():
    values = np.random.default_rng(0).standard_normal((80, 200))
    shuffled = study._shuffled(values, np.random.default_rng(1))
    assert shuffled.sum() == pytest.approx(values.sum()) and not np.allclose(shuffled, values)


def _ratios(low: float, high: float) -> dict:
    mean = (low + high) / 2
    return {k: {"mean": mean, "low": low, "high": high} for k in ("inside", "inside, towards spoof", "edges",
                                                                  "auc of columns")} | {"hybrids": 9}


def test_no_method_is_preferred_where_the_interval_holds_one():
    assert "No method" in study_page.preference({"occlusion": _ratios(0.9, 1.4), "grad-cam": _ratios(0.8, 1.0)})
    words = study_page.preference({"occlusion": _ratios(2.0, 2.4), "grad-cam": _ratios(0.8, 1.0)})
    assert words.startswith("**Occlusion puts most inside") and "set it apart" not in words
    assert "Grad-CAM" in study_page.preference({"occlusion": _ratios(1.2, 1.6), "grad-cam": _ratios(0.9, 1.3)})


def test_what_was_measured_is_said_of_that_detector_and_score_only(tmp_path, monkeypatch):
    path = tmp_path / "attribution-x.json"
    path.write_text(json.dumps({"content_sha256": "a", "target": "clip", "hybrids": {"occlusion": _ratios(2.0, 2.4)}}))
    (tmp_path / "attribution.json").write_text("not json")
    monkeypatch.setattr(study_page, "DOCS", tmp_path)
    assert "Occlusion" in study_page.measured("a") and study_page.measured("b") == ""
    assert "Occlusion" in study_page.measured("a", "region") and study_page.measured("a", "moment") == ""


def test_the_score_over_time_is_named_beside_the_maps():
    track = {"auc towards spoof": {"mean": 0.7, "low": 0.64, "high": 0.76}, "hybrids": 9}
    maps = {"occlusion": _ratios(0.9, 1.4) | {"auc towards spoof": {"mean": 0.6, "low": 0.55, "high": 0.65}}}
    words = study_page.preference(maps | {study_page.TRACK: track})
    assert "No method" in words and "60 of 100" in words and "70 [64, 76] of 100" in words
    maps["occlusion"]["auc towards spoof"]["low"] = 0.45
    assert "Nor does its direction" in study_page.preference(maps)


def test_a_stretch_that_points_to_spoof_is_told_apart():
    times, values = np.arange(100) / 100, np.ones(100)
    values[30:50] = -1.0
    assert study._told_apart(values, times, (0.3, 0.5)) == {"auc towards spoof": 1.0}
    assert study._told_apart(-values, times, (0.3, 0.5)) == {"auc towards spoof": 0.0}
    assert study._told_apart(np.ones(100), times, (0.3, 0.5)) == {"auc towards spoof": 0.5}


@pytest.mark.parametrize("path", sorted(study_page.DOCS.glob("attribution*.json")), ids=lambda p: p.stem)
def test_the_pages_in_the_documents_are_made_of_their_numbers(path):
    made = json.loads(path.read_text(encoding="utf-8"))
    assert path.with_suffix(".md").read_text(encoding="utf-8") == study_page.page(made)
    assert made["separation"]["clips"] in (0, *range(100, 1_000)), "enough clips, or none"
    assert min(v["hybrids"] for v in made["hybrids"].values()) >= 10
