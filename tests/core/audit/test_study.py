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


def test_what_was_measured_is_said_of_that_detector_only(tmp_path, monkeypatch):
    path = tmp_path / "attribution.json"
    path.write_text(json.dumps({"content_sha256": "a", "hybrids": {"occlusion": _ratios(2.0, 2.4)}}))
    monkeypatch.setattr(study_page, "STUDY", path)
    assert "Occlusion" in study_page.measured("a") and study_page.measured("b") == ""
    path.write_text("not json")
    assert study_page.measured("a") == ""


def test_the_page_in_the_documents_is_made_of_its_numbers():
    if not study_page.STUDY.is_file():
        pytest.skip("no study here")
    made = json.loads(study_page.STUDY.read_text(encoding="utf-8"))
    assert study_page.STUDY.with_suffix(".md").read_text(encoding="utf-8") == study_page.page(made)
    assert made["separation"]["clips"] >= 100
