"""The finding: words for every size and direction, abstention before the score, bounds said aloud."""

from __future__ import annotations

import math
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.calibrate import Calibration
from core.entropy import EntropyAnalysis, Region
from core.errors import ModelUnavailable
from core.finding import conclude, regions_explain, window_conflict
from core.frames import Track
from core.quality import Check
from core.speaker.several import row_of
from core.verbal import ENFSI_2015, direction, sentence, verbal

CALIBRATION = Calibration(1.0, 0.0, np.array([[0.9, -0.1], [1.0, 0.0], [1.1, 0.1]]), (-2.0, 1.5))
FACTS = SimpleNamespace(codec="PCM_16", bit_rate_bps=256_000)
RECORDING = SimpleNamespace(warnings=(), duration_s=8.0, facts=FACTS)


def check(code="level", passed=True, fatal=False, value=1.0, limit=2.0):
    return Check(code, code.title(), value, "s", limit, passed, fatal, f"{code.title()}: words.")


def quality(*checks):
    return SimpleNamespace(checks=checks or (check(),))


def entropy(scores=(-1.6, -1.6), distance=1.0, regions=(), seconds=None):
    n = len(scores)
    return EntropyAnalysis(
        entropy=Track("entropy", np.zeros(4), 0.02),
        score=Track("score", np.zeros(4), 0.02),
        window_scores=np.array(scores, float),
        window_times=np.array([(4.0 * i, 4.0 * i + 4) for i in range(n)]),
        window_seconds=np.full(n, 4.0) if seconds is None else np.array(seconds, float),
        entropy_map=np.zeros((4, 2), np.float16),
        kl_nats_per_frame=1.0,
        recon_mse=1.0,
        mean_bits=1.0,
        distance=distance,
        low_runs=(),
        frame_spoof_runs=tuple(regions),
    )


def bare_detector(name, calibration, reference):
    return SimpleNamespace(name=name, calibration=calibration, reference=reference, panel=None,
                           deciding_calibration=calibration, deciding_reference=reference)


def detector(calibration=None, **reference):
    limits = {"population_limit": np.array([3.0]), "window_conflict_limit": np.array([0.5])}
    arrays = (calibration or CALIBRATION).to_arrays()
    return bare_detector("tiny", arrays, limits | reference)


def test_a_finding_says_which_way_and_how_strongly():
    finding = conclude(RECORDING, quality(), entropy(), detector())
    assert finding.sentence == (
        "The examined speech is moderately more probable if it was produced by synthesis or conversion "
        "than if it is a bona fide recording under the same channel."
    )
    assert finding.llr_log10 == pytest.approx(-1.6)
    assert finding.llr_low < finding.llr_log10 < finding.llr_high
    assert finding.verbal == "moderate support for synthesis or conversion"
    assert finding.direction == "spoof"
    assert 'ENFSI 2015, "moderate support"' in finding.number_line
    assert "log10 LR = -1.60  [-1.66, -1.54]" in finding.number_line
    assert finding.score == -1.6 and not finding.abstained and not finding.at_bound
    assert finding.detectors[0].llr.value == finding.llr_log10


def test_the_other_direction():
    finding = conclude(RECORDING, quality(), entropy((0.7, 0.7)), detector())
    assert "slightly more probable if it is a bona fide recording" in finding.sentence
    assert finding.verbal == "weak support for bona fide" and finding.direction == "bonafide"


def test_near_zero_supports_neither():
    finding = conclude(RECORDING, quality(), entropy((0.1, 0.1)), detector())
    assert "about equally probable" in finding.sentence
    assert finding.verbal == "no support for either" and finding.direction == "neither"


def test_the_bound_is_kept_and_said():
    finding = conclude(RECORDING, quality(), entropy((-9.0, -9.0)), detector())
    assert finding.llr_log10 == -2.0 and finding.at_bound
    assert "at the bound" in finding.number_line
    assert any("no stronger statement" in words for words in finding.advice)
    assert conclude(RECORDING, quality(), entropy((9.0, 9.0)), detector()).llr_log10 == 1.5


def test_a_fatal_check_abstains_without_any_number():
    bad = check("too-little-speech", passed=False, fatal=True, value=1.1, limit=2.0)
    finding = conclude(RECORDING, quality(bad), entropy(), detector())
    assert finding.sentence == "No finding: 1.1 s of speech, at least 2.0 s are needed.  [too-little-speech]"
    assert finding.abstained and finding.number_line == "" and finding.direction is None
    for value in (finding.llr_log10, finding.llr_low, finding.llr_high, finding.score):
        assert value is None
    assert finding.detectors[0].score is None and finding.detectors[0].llr is None
    assert finding.advice


def test_the_score_is_not_looked_at_when_it_abstains():
    class Blind(EntropyAnalysis):
        @property
        def clip_score(self):
            raise AssertionError("the score was looked at")

    blind = Blind(**{name: getattr(entropy(), name) for name in EntropyAnalysis.__dataclass_fields__})
    bad = check("clipping", passed=False, fatal=True, value=0.2, limit=0.05)
    assert conclude(RECORDING, quality(bad), blind, detector()).abstained


def test_reasons_come_in_order_and_silence_stands_alone():
    checks = [check(c, passed=False, fatal=True) for c in ("too-little-speech", "clipping")]
    finding = conclude(RECORDING, quality(*checks), entropy((2, -2), distance=9.0), detector())
    codes = [r.code for r in finding.reasons]
    assert codes == ["too-little-speech", "clipping", "far-from-calibration", "window-conflict"]
    finding = conclude(RECORDING, quality(check("silence", False, True), *checks), entropy(), detector())
    assert [r.code for r in finding.reasons] == ["silence"]


def test_far_from_calibration():
    finding = conclude(RECORDING, quality(), entropy(distance=3.5), detector())
    assert [r.code for r in finding.reasons] == ["far-from-calibration"]
    assert finding.reasons[0].value == 3.5 and finding.reasons[0].limit == 3.0
    assert "3.5 standard deviations away" in finding.sentence
    assert not conclude(RECORDING, quality(), entropy(distance=2.9), detector()).abstained


def test_windows_in_conflict_need_support_both_ways():
    assert (
        conclude(RECORDING, quality(), entropy((-1.5, 1.5)), detector()).reasons[0].code == "window-conflict"
    )
    assert not conclude(RECORDING, quality(), entropy((-1.9, -0.2)), detector()).abstained
    one = conclude(RECORDING, quality(), entropy((-1.5, 1.5), seconds=(4, 1)), detector())
    assert not one.abstained  # the second window has too little speech to disagree
    row = next(c for c in one.checks if c.code == "window-conflict")
    assert row.state == "not-run" and row.passed is None


def test_one_odd_window_of_many_is_no_conflict():
    assert window_conflict(np.array([1.5] * 19 + [-1.5])) < 0.5
    assert window_conflict(np.array([1.5] * 10 + [-1.5] * 10)) == 1.5
    with pytest.raises(ValueError):
        window_conflict(np.array([1.0]))


@given(st.lists(st.floats(-3, 3), min_size=2, max_size=30))
def test_conflict_is_symmetric_and_absent_where_windows_agree(llrs):
    x = np.array(llrs)
    assert window_conflict(x) == pytest.approx(window_conflict(-x))
    assert window_conflict(np.abs(x)) <= 1e-12


def test_a_conflict_that_regions_explain_names_them():
    regions = [Region(4.5, 6.25, -1.0)]
    finding = conclude(RECORDING, quality(), entropy((1.4, -1.4), regions=regions), detector())
    assert "part of the recording differs from the rest (0:04.500 to 0:06.250)" in finding.sentence
    assert finding.regions == tuple(regions)
    elsewhere = entropy((1.4, -1.4), regions=[Region(0.5, 2.5, -1.0)])
    assert regions_explain(elsewhere, CALIBRATION) == ()
    finding = conclude(RECORDING, quality(), elsewhere, detector())
    assert "opposite directions" in finding.sentence


def test_regions_are_not_offered_where_the_sound_can_not_be_examined():
    bad = check("tones", passed=False, fatal=True, value=0.9, limit=0.45)
    assert conclude(RECORDING, quality(bad), entropy(regions=[Region(0, 1, -1)]), detector()).regions == ()


def test_what_was_not_examined_is_no_pass():
    finding = conclude(RECORDING, quality(), entropy(distance=float("nan")), detector())
    states = {c.code: c.state for c in finding.checks}
    assert states["several-speakers"] == "not-run"
    assert states["far-from-calibration"] == "not-run"
    assert states["level"] == "passed"


def test_advice_without_abstaining():
    warned = check("narrow-bandwidth", passed=False)
    finding = conclude(SimpleNamespace(warnings=("Cut off.",), facts=FACTS), quality(warned), entropy(), detector())
    assert not finding.abstained
    assert finding.advice == ("Narrow-Bandwidth: words.", "Cut off.")
    assert next(c for c in finding.checks if c.code == "narrow-bandwidth").state == "advice"


@pytest.mark.parametrize(("distance", "state"), [(0.2, "passed"), (0.9, "advice")])
def test_whether_there_are_several_voices_stands_among_the_checks_and_several_are_advice(distance, state):
    row = row_of(SimpleNamespace(limit=0.5, distance=distance, several=distance > 0.5))
    finding = conclude(RECORDING, quality(), entropy(), detector(), speakers=row)
    assert [c for c in finding.checks if c.code == "several-speakers"] == [row] and row.state == state
    assert finding.advice == ((row.message,) if state == "advice" else ()) and not finding.abstained


def test_an_interval_across_zero_is_mentioned():
    wide = Calibration(1.0, 0.0, np.array([[1.0, -1.0], [1.0, 1.0]] * 20), (-2.0, 2.0))
    finding = conclude(RECORDING, quality(), entropy((0.5, 0.5)), detector(wide))
    assert any("includes 0" in words for words in finding.advice)


def test_a_model_without_calibration_is_refused_in_one_sentence():
    bare = bare_detector("half", {}, {})
    with pytest.raises(ModelUnavailable, match="half"):
        conclude(RECORDING, quality(), entropy(), bare)


@pytest.mark.parametrize(
    ("ratio", "support"),
    [
        (1, "no support"), (1.99, "no support"), (2, "weak support"), (9.99, "weak support"),
        (10, "moderate support"), (100, "moderately strong support"), (1000, "strong support"),
        (10_000, "very strong support"), (999_999, "very strong support"),
        (1_000_000, "extremely strong support"), (1e12, "extremely strong support"),
    ],
)  # fmt: skip
def test_edges_of_the_scale(ratio, support):
    llr = math.log10(ratio)
    assert ENFSI_2015.band(llr).support == support
    assert ENFSI_2015.band(-llr).support == support


@given(st.floats(-10, 10))
def test_words_always_say_which_way(llr):
    words, way = sentence(llr), direction(llr)
    assert words.endswith(".") and words.count("probable") == 1
    if way == "neither":
        assert "about equally" in words
    else:
        favoured = words.split(" than if ")[0]
        assert ("bona fide" in favoured) == (llr > 0) and ("synthesis" in favoured) == (llr < 0)
        assert ("bona fide" in verbal(llr)) == (llr > 0)
    assert direction(-llr) == {"bonafide": "spoof", "spoof": "bonafide"}.get(way, way)


def test_the_table_is_whole():
    table = ENFSI_2015.table()
    assert table[0][0] == 0 and table[-1][1] == math.inf
    assert all(a[1] == b[0] for a, b in pairwise(table))
    assert str(ENFSI_2015) == "ENFSI 2015" and ENFSI_2015.version
    with pytest.raises(ValueError):
        ENFSI_2015.band(math.nan)
