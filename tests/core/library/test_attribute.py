"""Open-set attribution: planted systems are named, strangers are none of these, nuisance within a system is ignored."""

from __future__ import annotations

import numpy as np
import pytest

from core.library import Clip, Segments
from core.library.attribute import Discriminant, SystemClips, fit_curve, probability_known, system_clips


def _planted(seed: int = 0, systems: int = 6, per: int = 12, width: int = 20) -> Segments:
    """Every system has its own offset in five directions; voices vary five times as widely in the others."""
    rng = np.random.default_rng(seed)
    offsets = np.zeros((systems, width))
    offsets[:, :5] = np.random.default_rng(99).normal(size=(systems, 5))
    clips, vectors = [], []
    for i in range(systems * per):
        clips.append(Clip(f"{i}", f"{i}", "spoof", f"system{i % systems}", "tts"))
        noise = rng.normal(size=width) * np.r_[np.full(5, 0.15), np.full(width - 5, 5.0)]
        vectors.append(offsets[i % systems] + noise)
    v = np.array(vectors)[:, None]
    n = len(v)
    return Segments(tuple(clips), np.arange(n), np.zeros((n, 2), int), np.ones(n, int), v, (), np.zeros((n, 2), int))


def test_planted_systems_are_told_apart_through_loud_nuisance():
    known, fresh = system_clips(_planted(0)), system_clips(_planted(1))
    guess = Discriminant(known).squares(fresh.x).argmin(1)
    assert np.mean(guess == fresh.code) > 0.95
    means = np.stack([known.x[known.code == c].mean(0) for c in range(len(known.names))])
    raw = -np.square(fresh.x[:, None] - means).sum(-1)
    assert np.mean(raw.argmax(1) == fresh.code) < 0.6, "without the shared spread the nuisance decides"


def test_a_system_left_out_is_none_of_these():
    known, fresh = system_clips(_planted(0)), system_clips(_planted(1))
    outside = known.code >= 4
    model = Discriminant(known.part(~outside))
    squares = model.squares(fresh.x)
    seen, unseen = squares[fresh.code < 4], squares[fresh.code >= 4]
    curve = fit_curve(seen[::2], unseen[::2])
    assert probability_known(seen[1::2], curve).mean() > 0.5 > probability_known(unseen[1::2], curve).mean()
    assert np.isposinf(squares[:, 4:]).all()


def test_partly_spoofed_bona_fide_and_rare_clips_are_no_candidates():
    s = _planted()
    clips = list(s.clips)
    clips[0] = Clip("0", "0", "spoof", "system0", "tts", partial="0-1 s")
    clips[1] = Clip("1", "1", "bonafide")
    clips[2] = Clip("2", "2", "spoof", "rare")
    changed = Segments(tuple(clips), s.owner, s.samples, s.blocks, s.vectors, s.stores, s.place)
    found = system_clips(changed)
    assert "rare" not in found.names and not {0, 1, 2} & set(found.clip.tolist())


def test_distances_are_in_units_of_the_shared_spread():
    known = system_clips(_planted())
    model = Discriminant(known)
    own = model.squares(known.x)[np.arange(len(known.code)), known.code]
    assert own.mean() == pytest.approx(1.0, abs=0.35), "1 is a typical clip of its own"
    means = np.stack([known.x[known.code == c].mean(0) for c in range(len(known.names))])
    assert model.squares(means).diagonal() == pytest.approx(np.zeros(6), abs=1e-6)


def test_an_invertible_change_of_coordinates_changes_nothing_without_shrinking():
    known, fresh = system_clips(_planted(0)), system_clips(_planted(1))
    turn = np.random.default_rng(5).normal(size=(20, 20))
    turned = SystemClips(known.names, known.families, known.x @ turn, known.code, known.clip)
    plain, other = (Discriminant(k, shrink=1e-9).squares(x) for k, x in ((known, fresh.x), (turned, fresh.x @ turn)))
    np.testing.assert_allclose(other, plain, rtol=2e-2, atol=1e-2)
