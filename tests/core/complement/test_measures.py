"""Laws of what members have in common: errors, disagreement, evidence; and of the weights that fuse them."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.attribute.question import Question, pose
from core.attribute.run import compute
from core.calibrate import Calibration
from core.complement import disagreement as apart
from core.complement.evidence import gather
from core.complement.members import explained, members
from core.complement.tables import cka_matrix, error_matrix, joined, right
from core.examine import examine
from core.training.acorl_fusion import cross_fitted, difference, fit_weights
from core.training.corpus import FOLDS, Clip
from core.training.measure import HeldOut


def test_error_matrix_is_a_correlation_and_knows_no_units(detector, ours):
    found = joined(detector, ours)
    keys, matrix = error_matrix(found)
    assert len(keys) == 11 and len(found.clip) == 80
    assert np.allclose(matrix, matrix.T) and np.allclose(np.diag(matrix), 1) and (np.abs(matrix) <= 1 + 1e-9).all()
    stretched = {k: np.exp(3 * v) - 7 for k, v in found.scores.items()}
    assert np.allclose(error_matrix(type(found)(found.clip, found.bonafide, stretched))[1], matrix)


def test_tables_are_joined_by_clip_and_not_by_place(detector, ours, places, monkeypatch):
    from core.complement import tables
    from core.validation import HeldOutScores

    straight = joined(detector, ours)
    table = HeldOutScores.read(ours.folder / "validation.csv")
    order = np.random.default_rng(0).permutation(len(table))[:60]
    real = tables._read
    monkeypatch.setattr(tables, "_read", lambda path, stamp: table.part(order) if path.parent == ours.folder
                        else real(path, stamp))
    mixed = joined(detector, ours)
    where = {c: i for i, c in enumerate(straight.clip)}
    rows = [where[c] for c in mixed.clip]
    assert len(rows) == 60 and all(np.array_equal(mixed.scores[k], v[rows]) for k, v in straight.scores.items())


def test_being_right_is_about_order_only():
    bonafide = np.arange(100) % 2 == 0
    assert right(np.where(bonafide, 1.0, -1.0), bonafide).all()
    assert not right(np.where(bonafide, -1.0, 1.0), bonafide).any()


def test_cka_comes_from_the_card_or_not_at_all(ours):
    names, matrix = cka_matrix(ours.card)
    assert matrix.shape == (len(names), len(names)) and cka_matrix({}) is None


# ---- disagreement --------------------------------------------------------------------------------------------

LINES = {name: Calibration(1.0, 0.0, np.zeros((0, 2)), (-2.0, 2.0)) for name in "abcd"}


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-1.5, 1.5), min_size=4, max_size=4), st.floats(0.1, 1.3))
def test_disagreement_ignores_order_and_strength_and_which_side(values, strength):
    def value(given: list[float]) -> float:
        return apart.disagreement(dict(zip("abcd", given, strict=True)), LINES, 0.5).value

    one = value(values)
    assert 0 <= one <= 0.5
    assert value([strength * v for v in values]) == pytest.approx(one, abs=1e-9)
    assert value([-v for v in reversed(values)]) == pytest.approx(one, abs=1e-9)
    assert value([abs(v) for v in values]) == 0


def test_only_an_unusual_contradiction_is_a_reason():
    def told(*values: float) -> apart.Disagreement:
        return apart.disagreement(dict(zip("abcd", values, strict=True)), LINES, 0.3)

    assert told(2, 2, -2, -2).value == 0.5 and told(2, 2, -2, -2).beyond
    assert "members contradict each other: 2 lean" in told(2, 2, -2, -2).words
    assert not told(2, 0.1, 1, -0.1).beyond
    assert not told(2, 0, 0.1, 2).beyond and not told(0, 0, 0, 0).beyond
    assert apart.disagreement({"a": 2.0, "b": -2.0}, LINES, 0.1) is None, "two are too few"


def test_limit_leaves_one_in_twenty_beyond():
    rng = np.random.default_rng(0)
    scores = {k: rng.normal(size=2_000) for k in LINES}
    limit = apart.limit_of(LINES, scores)
    assert np.mean(apart.opposed(apart.bounded(LINES, scores)) > limit) == pytest.approx(apart.SHARE, abs=0.002)


def test_by_size_asks_what_the_measure_adds():
    bonafide, llr = np.ones(200, bool), np.where(np.arange(200) % 4, 0.6, -0.6)
    rows = apart.by_size(llr, bonafide, (llr < 0).astype(float))
    assert [(r["clips"], r["larger_where_wrong"]) for r in rows] == [(200, 1.0)]
    assert apart.by_size(llr, bonafide, np.zeros(200))[0]["larger_where_wrong"] == 0.5


def test_the_table_of_errors_beyond_the_limit():
    spread = np.linspace(0, 1, 100)
    bonafide = np.ones(100, bool)
    rows = apart.table(np.where(spread > 0.9, -1.0, 1.0), bonafide, spread, (0.1, 0.5))
    assert rows[0]["wrong_beyond"] == 1 and rows[0]["wrong_within"] == 0
    assert rows[1]["wrong_beyond"] == pytest.approx(0.2)


def test_the_panels_disagreement_costs_nothing_beyond_an_examination(detector, places, recording):
    done = examine(recording, model=places.model, device="cpu")
    found = apart.panel_disagreement(done.entropy.member_scores, detector)
    assert 0 <= found.value <= 0.5 and "contradict" in found.words
    assert apart.panel_disagreement({}, detector) is None
    assert apart.panel_disagreement({"cepstra": 1.0}, SimpleNamespace(panel=None, name="none")) is None


# ---- evidence ------------------------------------------------------------------------------------------------


def test_maps_share_a_plane_and_their_overlap_is_a_likeness(recording, detector, ours):
    chosen = [m for m in members(detector, ours) if m.key in ("cepstra", "alliance", "panel member: cepstra")]
    found = gather(recording, chosen, detector, (0.5, 1.5), "cpu")
    assert np.allclose(np.diag(found.overlap), 1) and np.allclose(found.overlap, found.overlap.T)
    assert (found.overlap <= 1 + 1e-6).all() and (found.overlap > 0).all()
    assert len({m.values.shape for m in found.maps}) == 1 and found.level.shape == found.maps[0].values.shape
    for i in range(3):
        others = max(found.overlap[i][j] for j in range(3) if j != i)
        assert 0 <= found.only(i).sum() <= 1 and found.only(i).sum() <= 1 - others + 0.3


def test_members_that_hear_one_level_are_compared_with_something_audible(recording, detector, ours):
    """Along the line from silence a score that doesn't depend on level stands still, so its parts add up to nothing;
    between the levels of mean bona fide speech and the recording's they add up."""
    member = next(m for m in members(detector, ours) if m.key == "cepstra")
    found = gather(recording, [member], detector, (0.5, 2.5), "cpu").maps[0]
    posed = pose(recording, explained(member, detector), Question("region", (0.5, 2.5), "spectrum"))
    still = compute(posed, "integrated-gradients", "silence", parameters={"steps": 12})
    assert still.error == pytest.approx(1.0, abs=0.1) and found.error < 0.3
    wav = posed.problems[0].wav
    assert float(posed.scorer.clip_of_wav(wav)) == pytest.approx(float(posed.scorer.clip_of_wav(0.1 * wav)), abs=1e-3)


def test_the_members_that_read_a_network_have_maps_too(recording, detector, ours):
    chosen = [m for m in members(detector, ours) if m.reads_network or m.key == "alliance"]
    found = gather(recording, chosen, detector, (0.5, 1.5), "cpu")
    assert [m.key for m in found.members] == ["alliance", "panel member: aasist", "panel member: maps"]
    assert all(np.abs(x.values).max() > 0 and x.parameters["batch"] <= 8 for x in found.maps[1:])
    assert set(found.ragged) == {m for m, x in zip(found.members, found.maps, strict=True) if x.error > 0.05}


# ---- fusing --------------------------------------------------------------------------------------------------


def clips(n: int = 160) -> list[Clip]:
    sources = [s for fold in FOLDS for s in fold[:1]]
    return [Clip(f"c{i}", "", "bonafide" if i % 2 else "spoof", "human" if i % 2 else f"s{i % 3}",
                 "human" if i % 2 else "tts", f"p{i % 7}" if i % 2 else "", sources[i // 2 % len(sources)])
            for i in range(n)]


def scores(seed: int, knows: float) -> dict[str, float]:
    rng = np.random.default_rng(seed)
    return {c.clip: float(rng.normal() + knows * (1 if c.bonafide else -1)) for c in clips()}


def test_fusion_weighs_who_knows_and_ignores_who_does_not():
    weights = fit_weights([scores(0, 1.0), scores(1, 0.0)], clips())
    assert weights.weight[0] > 4 * abs(weights.weight[1])
    two, one = cross_fitted([scores(0, 1.0), scores(2, 1.0)], clips()), cross_fitted([scores(0, 1.0)], clips())
    assert HeldOut(clips(), two).eer(n=2)["value"] < HeldOut(clips(), one).eer(n=2)["value"]


def test_no_clip_is_fused_by_weights_from_its_own_fold():
    parts = [scores(0, 1.0), scores(1, 0.5)]
    before = cross_fitted(parts, clips())
    mine = {c.clip for c in clips() if c.source in FOLDS[0]}
    changed = [{k: (v + 5 if k in mine and p is parts[0] else v) for k, v in p.items()} for p in parts]
    after = cross_fitted(changed, clips())
    ratio = {round((after[k] - before[k]) / 5, 6) for k in mine}
    assert len(ratio) == 1, "its own fold's scores move it by their weight alone"


def test_a_difference_is_nothing_to_itself_and_turns_with_its_sides():
    a, b = (HeldOut(clips(), scores(s, k)) for s, k in ((0, 1.0), (1, 0.3)))
    assert set(difference(a, a, n=50).values()) == {0.0}
    one, other = difference(a, b, n=50), difference(b, a, n=50)
    assert one["value"] == -other["value"] and one["low"] == -other["high"] and one["value"] < 0
