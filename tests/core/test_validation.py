"""The held-out table and its curves: round trips, known answers, laws, an independent oracle, hostile files."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import metrics
from core.metrics import LN10
from core.validation import HeldOutScores, ValidationUnreadable
from core.validation_curves import det_curves, det_points, ece_plot, probability, reliability, tippett
from core.validation_tables import (
    cllr_interval,
    duration_names,
    group_row,
    kinds,
    table,
    trials_warning,
    validate,
)


def rows(n: int = 60, mean: float = 2.0, sd: float = 2.0, seed: int = 0, **more) -> list[dict]:
    """n clips of each class whose natural-log LRs are N(+-mean, sd^2): perfectly calibrated where 2 mean = sd^2."""
    rng = np.random.default_rng(seed)
    found = []
    for i in range(2 * n):
        real = i < n
        llr = rng.normal(mean if real else -mean, sd) / LN10
        found.append({"clip": f"c{i}", "label": "bonafide" if real else "spoof",
                      "system": "recording" if real else f"s{i % 5}", "codec": "WAV",
                      "family": "human" if real else ("tts", "vc")[i % 2],
                      "source": f"r{i % 4}", "language": ("en", "de")[i % 3 == 0],
                      "speaker": f"p{i % 12}" if real else "",
                      "rate_hz": (16_000, 44_100)[i % 2], "duration_s": 0.5 + i % 6,
                      "score": 3 * llr - 1, "llr_log10": llr} | more)
    return found


@pytest.fixture(scope="module")
def many() -> HeldOutScores:
    return HeldOutScores.from_rows(rows(40_000))


def same(a: HeldOutScores, b: HeldOutScores) -> bool:
    names = [n for n in vars(a) if n != "others"]
    kept = all(np.array_equal(getattr(a, n), getattr(b, n), equal_nan=n.endswith(("hz", "_s", "score", "log10")))
               for n in names)
    return kept and a.others.keys() == b.others.keys() and all(
        np.array_equal(a.others[k], b.others[k], equal_nan=True) for k in a.others)


# the file


words = st.text(st.characters(codec="utf-8", exclude_characters="\x00\r", exclude_categories=["Cs"]), max_size=20)


@given(st.lists(st.tuples(words, st.floats(-1e6, 1e6), st.floats(-1e3, 1e3)), min_size=1, max_size=8), words)
def test_a_table_comes_back_as_it_was_written(some, speaker):
    given_rows = [{"clip": f"{i}", "label": ("bonafide", "spoof")[i % 2], "system": name, "source": "a, \"b\"",
                   "score": x, "llr_log10": y, "speaker": speaker, "score:peer": x / 3 if i % 2 else ""}
                  for i, (name, x, y) in enumerate([*some, ("s", 0.1, 0.2)])]
    held = HeldOutScores.from_rows(given_rows)
    assert same(held, HeldOutScores.from_csv(held.to_csv()))


def test_writing_replaces_the_whole_file(tmp_path):
    path = tmp_path / "validation.csv"
    for n in (8, 5):
        HeldOutScores.from_rows(rows(n)).write(path)
        assert len(HeldOutScores.read(path)) == 2 * n
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(("change", "says"), [
    ({"label": "fake"}, "neither bonafide nor spoof"), ({"score": ""}, "no score"), ({"score": "nan"}, "no score"),
    ({"score": "high"}, "no finite number"), ({"score": "inf"}, "no finite number"), ({"clip": "c1"}, "named twice"),
    ({"clip": ""}, "named twice, or not at all"), ({"llr_log10": ""}, "no likelihood ratio"),
])
def test_a_damaged_row_is_named(change, says):
    given_rows = rows(4)
    given_rows[0] |= change
    with pytest.raises(ValidationUnreadable, match=says):
        HeldOutScores.from_rows(given_rows)


@pytest.mark.parametrize("body", [b"", b"clip,label\na,spoof\n", b"\xff\xfe\x00", b"\x00" * 50, b"clip," * 9 + b"\n"])
def test_what_is_no_table_is_refused(tmp_path, body):
    path = tmp_path / "validation.csv"
    path.write_bytes(body)
    with pytest.raises(ValidationUnreadable):
        HeldOutScores.read(path)
    with pytest.raises(ValidationUnreadable):
        HeldOutScores.read(tmp_path / "absent.csv")


def test_one_class_alone_gives_no_table():
    with pytest.raises(ValidationUnreadable, match="one class"):
        HeldOutScores.from_rows([r for r in rows(4) if r["label"] == "spoof"])
    with pytest.raises(ValidationUnreadable, match="no rows"):
        HeldOutScores.from_rows([])


def test_groups_are_speakers_and_systems_and_the_unnamed_stand_alone():
    given_rows = rows(6)
    given_rows[0]["speaker"] = ""
    held = HeldOutScores.from_rows(given_rows)
    assert held.group[0] == "r0:c0" and held.group[1] == "p1" and set(held.group[6:]) == {f"s{i}" for i in range(5)}


# known answers


def test_two_calibrated_gaussians(many):
    lb, ls = many.split(many.llr_log10)
    assert metrics.cllr(lb, ls) == pytest.approx(0.515, abs=6e-3)
    plot = ece_plot(many, np.array([-1.0, 0.0, 1.0]))
    assert plot.stated[1] == pytest.approx(metrics.cllr(lb, ls)) and plot.neutral[1] == pytest.approx(1.0)
    assert plot.best == pytest.approx(plot.stated, abs=4e-3) and (plot.stated < plot.neutral).all()
    assert not plot.worse_than_nothing.size
    curve = det_points("g", *many.split())
    assert curve.eer == pytest.approx(0.1587, abs=4e-3), "N(+-2, 4) cross at the standard normal's -1"
    seen = tippett(many)
    assert seen.misleading_bonafide == pytest.approx(0.1587, abs=5e-3) == seen.misleading_spoof
    line = reliability(many, n=2)
    inner = (line.stated > 0.05) & (line.stated < 0.95)
    assert line.observed[inner] == pytest.approx(line.stated[inner], abs=0.06)


def test_an_llr_of_zero_says_nothing():
    held = HeldOutScores.from_rows(rows(20, llr_log10=0.0))
    plot = ece_plot(held)
    assert plot.stated == pytest.approx(plot.neutral) == plot.best
    assert plot.stated[50] == 1.0 and not plot.worse_than_nothing.size
    assert validate(held, n=50).headline["cllr"].value == 1.0
    assert set(reliability(held, n=2).observed) == {0.5}


def test_turned_llrs_are_worse_than_nothing(many):
    turned = HeldOutScores.from_rows([r | {"llr_log10": -r["llr_log10"]} for r in rows(300)])
    assert ece_plot(turned).worse_than_nothing.size > 90


def test_a_rising_map_of_scores_changes_no_rate_and_no_best_cost():
    bent = HeldOutScores.from_rows([r | {"score": float(np.exp(r["score"] / 9)), "llr_log10": r["llr_log10"] ** 3}
                                    for r in rows(200)])
    plain = HeldOutScores.from_rows(rows(200))
    assert det_curves(bent)[0].eer == det_curves(plain)[0].eer
    assert ece_plot(bent).best == pytest.approx(ece_plot(plain).best, abs=1e-9)
    assert ece_plot(bent).stated[50] > ece_plot(plain).stated[50]


def test_ece_agrees_with_lir():
    from lir.algorithms.isotonic_regression import IsotonicCalibrator
    from lir.plotting.expected_calibration_error import calculate_ece
    from lir.util import logodds_to_odds, odds_to_probability

    held = HeldOutScores.from_rows(rows(80))
    plot, y = ece_plot(held), held.bonafide.astype(int)
    priors = odds_to_probability(10.0 ** plot.prior_log10_odds)
    assert plot.stated == pytest.approx(calculate_ece(logodds_to_odds(held.llr_log10), y, priors), rel=1e-9)
    best = logodds_to_odds(IsotonicCalibrator().fit_transform(held.llr_log10, y))
    assert plot.best == pytest.approx(calculate_ece(best, y, priors), abs=1e-9)


def test_thinned_det_curves_keep_their_ends_and_their_middle(many):
    b, s = many.split()
    thin, whole = det_points("a", b, s, 200), metrics.det_curve(b, s)
    assert len(thin.far) < 210 < len(whole.far)
    assert (thin.far[0], thin.frr[0]) == (1, 0) and (thin.far[-1], thin.frr[-1]) == (0, 1)
    assert (np.diff(thin.far) <= 0).all() and (np.diff(thin.frr) >= 0).all()
    assert np.abs(thin.far - thin.frr).min() < 1e-3
    points = set(zip(whole.far, whole.frr, strict=True))
    assert all(p in points for p in zip(thin.far, thin.frr, strict=True))


def test_tippett_curves_fall_from_all_to_none():
    seen = tippett(HeldOutScores.from_rows(rows(50)))
    for share in (seen.bonafide, seen.spoof):
        assert share[0] == 1 and share[-1] == 0 and (np.diff(share) <= 0).all()
    assert (seen.bonafide >= seen.spoof - 1e-12).mean() > 0.95


def test_reliability_rises_and_its_band_holds_it():
    line = reliability(HeldOutScores.from_rows(rows(150)), n=60)
    assert (np.diff(line.observed) >= -1e-12).all() and (line.low <= line.high).all()
    assert ((line.low <= line.observed + 1e-9) & (line.observed <= line.high + 1e-9)).mean() > 0.8
    assert line.shares_bonafide.sum() == pytest.approx(1) == line.shares_spoof.sum()
    assert probability(np.array([0.0, 400.0, -400.0])).tolist() == pytest.approx([0.5, 1, 0])


# tables


def test_rows_count_every_clip_once_and_warn():
    held = HeldOutScores.from_rows(rows(60))
    for by in ("language", "source", "rate", "duration"):
        found = table(held, by, 20)
        assert (sum(r.bonafide for r in found), sum(r.spoof for r in found)) == (60, 60), by
        assert all(r.warning for r in found), "fewer than 200 trials are always said to be few"
    for by in ("system", "family"):
        found = table(held, by, 20)
        assert {r.bonafide for r in found} == {60} and sum(r.spoof for r in found) == 60
    assert [r.name for r in table(held, "duration", 20)] == ["0 to 1 s", "1 to 2 s", "2 to 4 s", "4 s and more"]
    assert table(HeldOutScores.from_rows(rows(5, language="")), "language") == []


def test_warnings_at_their_limits():
    assert trials_warning(200, 200) == "" and trials_warning(199, 900).startswith("few: 199 bona fide")
    assert "not a rate" in trials_warning(500, 9) and "not a rate" not in trials_warning(500, 10)
    assert trials_warning(1, 3) == "only 1 bona fide trial: not a rate"


def test_one_class_gives_no_rate():
    held = HeldOutScores.from_rows([r | {"language": r["label"]} for r in rows(12)])
    assert [(r.eer, r.warning) for r in table(held, "language")] == [(None, "one class only: no rate")] * 2
    assert kinds(held, "duration").tolist() == duration_names(held.duration_s).tolist()
    assert duration_names(np.array([np.nan, 0.0, 1.0, 60.0])).tolist() == ["", "0 to 1 s", "1 to 2 s", "4 s and more"]


def test_one_system_still_has_an_interval_of_its_clips():
    held = HeldOutScores.from_rows(rows(60))
    row = group_row("s1", held, held.bonafide, held.system == "s1", 100)
    assert row.eer.low < row.eer.value < row.eer.high
    assert row.cells()["eer"] == round(row.eer.value, 4) and row.cells()["bona_fide"] == 60


def test_the_cllr_interval_is_the_plain_bootstrap():
    held = HeldOutScores.from_rows(rows(100))
    parts = (*held.split(held.llr_log10), *held.split(held.group))
    quick, plain = cllr_interval(*parts, n=600), metrics.bootstrap_interval(metrics.cllr, *parts, n=600)
    assert quick.value == plain.value
    assert (quick.low, quick.high) == (pytest.approx(plain.low, abs=0.02), pytest.approx(plain.high, abs=0.02))


def test_validate_says_everything_and_what_it_cannot_say():
    heard: list[float] = []
    full = validate(HeldOutScores.from_rows(rows(60)), n=50, on_progress=lambda share, words: heard.append(share))
    assert set(full.headline) == {"eer", "eer_macro", "cllr", "cllr_min", "min_dcf", "act_dcf", "ece_even"}
    assert all(i.low <= i.value <= i.high for k, i in full.headline.items() if k != "cllr_min")
    assert heard == sorted(heard) and (full.n, full.systems, full.speakers, full.sources) == ((60, 60), 5, 12, 4)
    assert full.headline["cllr_min"].value <= full.headline["cllr"].value
    assert full.headline["min_dcf"].value <= full.headline["act_dcf"].value
    bare = validate(HeldOutScores.from_rows(rows(60, llr_log10="")), n=50)
    assert bare.tippett is None and bare.ece is None and bare.reliability is None and "cllr" not in bare.headline
    bare_held, full_held = (v.metrics()["leave_source_out"] for v in (bare, full))
    assert bare_held["eer_pooled"] == full_held["eer_pooled"] | {"bona_fide": 60, "spoof": 60}
    assert set(full.metrics()["by_family"]) == {"tts", "vc"} and "cllr" in full_held


def test_other_detectors_are_drawn_on_the_clips_they_heard():
    given_rows = [r | {"score:peer": -r["score"] if i % 3 else ""} for i, r in enumerate(rows(60))]
    first, peer = det_curves(HeldOutScores.from_rows(given_rows), "ours")
    assert (first.name, peer.name) == ("ours", "peer") and first.n == (60, 60) and peer.n == (40, 40)
    assert peer.eer > 0.5 > first.eer
