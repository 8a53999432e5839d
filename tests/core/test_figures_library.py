"""Figures of Neighbours and Map: shape beside colour, units, hostile names, few marks for a hundred thousand points."""

from __future__ import annotations

import json

import numpy as np

from core.figures.map import MOST_MARKS, library_map
from core.figures.neighbours import group_looks, influence, layer_rank_matrix, recall_by_layer


def _map(n: int, **changes):
    rng = np.random.default_rng(0)
    given = {
        "path": np.array([[0.0, 0.0], [1.0, 1.0]]),
        "path_words": ["a", "b"],
        "trust": np.array([0.5, 0.1]),
        "low_trust": 0.2,
        "by_label": True,
        "kind": "umap",
    }
    labels = [("bonafide", "spoof")[i % 2] for i in range(n)]
    return library_map(rng.normal(size=(n, 2)), labels, labels, np.arange(n), **(given | changes))


def test_a_hundred_thousand_points_are_drawn_as_few_marks_over_a_density():
    figure = _map(100_000, near=[7, 99_999])
    marks = [t for t in figure.data if t.type == "scatter" and t.name in ("bona fide", "spoof")]
    drawn = [i for t in marks for i in t.customdata]
    assert len(drawn) <= MOST_MARKS + 2 and {7, 99_999} <= set(drawn)
    assert any(t.type == "heatmap" for t in figure.data) and len(figure.to_json()) < 2_000_000
    assert not any(t.type == "scattergl" for t in figure.data)


def test_a_small_map_draws_every_point_and_says_low_trust_by_shape():
    figure = _map(50)
    assert sum(len(t.x) for t in figure.data if t.name in ("bona fide", "spoof")) == 50
    path = figure.data[-1]
    assert path.marker.symbol == ("star", "star-open") and list(path.text) == ["1", "2"]
    assert "no unit" in figure.layout.xaxis.title.text


def test_groups_beyond_the_colours_share_one_look():
    looks = group_looks([f"g{i}" for i in range(20) for _ in range(20 - i)] + [""])
    assert len(looks) == 8 and "g0" in looks and "g19" not in looks
    assert len(set(looks.values())) == len(looks), "every group has its own colour and shape"


def test_names_from_files_cannot_act_in_a_figure():
    cell = {"layer": 0, "rank": 1, "label": "spoof", "title": "<b>x</b>", "words": "x", "sha256": "0", "match": True}
    figure = layer_rank_matrix([cell], layers=1, k=1)
    assert "<b>x" not in json.dumps([t.text for t in figure.data])
    bars = influence(["<i>y</i>"], ["bonafide"], np.array([1.0]), np.array([-0.1]))
    assert "<i>" not in json.dumps(bars.layout.yaxis.ticktext)
    assert "attention" in bars.layout.xaxis.title.text and "score" in bars.layout.xaxis2.title.text


def test_recall_has_chance_beside_it():
    row = {"layer": 0, "speaker_at_1": 0.7, "speaker_at_10": 0.8, "chance_at_1": 0.01}
    row |= {"degraded_copy_finds_original_first": 0.6, "noisy_copy_finds_original_first": 0.9}
    assert any(t.name == "chance, first" for t in recall_by_layer([row]).data)
