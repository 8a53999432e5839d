"""Figures of the model card by their specification: units, meaning by colour and shape, bounded size, no markup."""

from __future__ import annotations

import json

import numpy as np
import pytest

from core.figures import BLUE, VERMILION
from core.figures import validation as drawn
from core.validation import HeldOutScores
from core.validation_curves import det_curves, ece_plot, reliability, tippett
from tests.core.test_validation import rows

HELD = HeldOutScores.from_rows([r | {"score:peer": -r["score"]} for r in rows(150)])
WHERE = "a model 01234567 · held-out table 89abcdef"
ROBUST = [("MP3, 32 kbit/s", 0.2, 0.1, 0.3, 0.0, "within a third"), ("noise, 5 dB", 0.4, 0.3, 0.5, 0.1, "exceeds"),
          ("AMR-NB", None, 0.0, 0.0, 0.9, "abstains"), ("Opus", 0.3, 0.2, 0.4, 0.6, "abstains")]


def every() -> dict:
    return {
        "det": drawn.det(det_curves(HELD, "ours"), provenance=WHERE),
        "tippett": drawn.tippett(tippett(HELD), bounds=(-1.5, 1.2), provenance=WHERE),
        "ece": drawn.ece(ece_plot(HELD), provenance=WHERE),
        "reliability": drawn.reliability(reliability(HELD, n=20), provenance=WHERE),
        "rates": drawn.rates([("tts", 0.2, 0.1, 0.3, False), ("vc", 0.4, 0.2, 0.6, True)], pooled=0.25, provenance=WHERE),
        "robustness": drawn.robustness(ROBUST, clean=0.18, provenance=WHERE),
    }


def words(figure) -> str:
    return " ".join(a.text for a in figure.layout.annotations)


@pytest.mark.parametrize("name", list(every()))
def test_axes_are_named_and_the_provenance_is_there(name):
    figure = every()[name]
    assert WHERE in words(figure)
    axes = [figure.layout[a] for a in figure.layout if a.startswith(("xaxis", "yaxis"))]
    assert any(a.title.text for a in axes) and len(json.loads(figure.to_json())["data"]) >= 1
    assert len(figure.to_json()) < 400_000 and figure.layout.paper_bgcolor == "rgba(0,0,0,0)"


def test_det_axes_are_normal_deviates_and_every_detector_is_named():
    from scipy.special import ndtri

    figure = every()["det"]
    ours = next(t for t in figure.data if t.name == "ours")
    assert ours.x == pytest.approx(ndtri(np.array(ours.customdata)[:, 0]))
    assert "ours: EER 1" in words(figure) and "peer: EER 8" in words(figure)
    peer = next(t for t in figure.data if t.name == "peer")
    assert peer.line.dash == "dash" and ours.line.dash is None, "told apart without colour"
    ticks = dict(zip(figure.layout.xaxis.ticktext, figure.layout.xaxis.tickvals, strict=True))
    assert ticks["50"] == pytest.approx(0) and ticks["10"] == pytest.approx(ndtri(0.1))


def test_classes_have_their_colours_and_dashes_and_the_bounds_are_drawn():
    figure = every()["tippett"]
    looks = {t.name: (t.line.color, t.line.dash) for t in figure.data}
    assert looks == {"bona fide": (BLUE, "solid"), "spoof": (VERMILION, "dash")}
    assert "bound −1.50" in words(figure) and "bound 1.20" in words(figure) and "above 0" in words(figure)


def test_ece_has_its_three_curves_and_says_cllr():
    figure = every()["ece"]
    assert {t.name for t in figure.data} == {"LR = 1, no evidence", "best possible calibration", "as stated"}
    assert "Cllr 0." in words(figure) and "bits" in figure.layout.yaxis.title.text


def test_reliability_draws_its_band_and_both_classes():
    names = [t.name for t in every()["reliability"].data]
    assert "95 % band" in names and "perfect" in names and names.count("bona fide") == names.count("spoof") == 1


def test_few_trials_are_hollow_and_verdicts_have_shapes():
    assert {t.marker.symbol for t in every()["rates"].data} == {"circle", "circle-open"}
    figure = every()["robustness"]
    shapes = {t.name: t.marker.symbol for t in figure.data}
    assert shapes == {"within a third": "circle", "exceeds": "x", "abstains": "square"}
    assert "abstains, on 90 % of the clips" in words(figure)
    lines = [s.x0 for s in figure.layout.shapes]
    assert lines == pytest.approx([0.18, 0.24]), "clean, and a third more"


def test_names_of_a_file_are_no_markup_and_stay_apart():
    bad = "<b>x</b>&%{y}" + "n" * 60
    figure = drawn.rates([(bad, 0.2, 0.1, 0.3, False), (bad, 0.3, 0.1, 0.4, False)])
    names = list(figure.layout.yaxis.categoryarray)
    assert len(set(names)) == 2 and not any("<" in n or "%{" in n or len(n) > 42 for n in names)
    held = HeldOutScores.from_rows([r | {"score:<img src=x>": r["score"]} for r in rows(20)])
    assert "<img" not in drawn.det(det_curves(held)).to_json()


def test_a_long_list_is_cut():
    many = [(f"s{i}", 0.2, 0.1, 0.3, False) for i in range(500)]
    assert len(drawn.rates(many).layout.yaxis.categoryarray) == drawn.MOST_ROWS


@pytest.mark.parametrize("scores", [(1.0, 0.0), (0.0, 1.0), (0.0, 0.0)])
def test_perfect_reversed_and_useless_scores_can_be_drawn(scores):
    some = [r | {"score": scores[r["label"] == "spoof"] + i * 1e-4, "llr_log10": scores[r["label"] == "spoof"]}
            for i, r in enumerate(rows(12))]
    held = HeldOutScores.from_rows(some)
    for figure in (drawn.det(det_curves(held)), drawn.tippett(tippett(held)), drawn.ece(ece_plot(held)),
                   drawn.reliability(reliability(held, n=5))):
        assert "NaN" not in figure.to_json()


def test_the_names_of_many_curves_lie_above_them():
    many = HeldOutScores.from_rows([r | {f"score:m{i}": r["score"] for i in range(7)} for r in rows(20)])
    figure = drawn.det(det_curves(many))
    names = [a for a in figure.layout.annotations if "EER" in a.text]
    heights = [a.yshift for a in names]
    assert len(names) == 8 == len(set(heights)) and all(a.yanchor == "bottom" and a.yshift >= 0 for a in names)
    assert max(heights) < figure.layout.margin.t
