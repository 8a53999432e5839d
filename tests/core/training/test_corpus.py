"""Corpus, splits, balanced draws, hybrids: the laws that keep an error rate honest."""

from __future__ import annotations

import csv

import numpy as np
import pytest
import soundfile as sf

from core.training import corpus
from core.training.baselines import channel_features
from core.training.copies import COPIERS
from core.training.corpus import FOLDS, Clip, CorpusError, plan_copies, prepare, read_manifest, split
from core.training.data import Sampler, SamplerOptions, splice
from core.training.hybrids import make_hybrids
from tests.factories import voiced

COLUMNS = ["clip", "file", "label", "system", "family", "speaker", "source"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A corpus of twelve clips in three sources, one of them damaged, and its prepared working folder."""
    root = tmp_path_factory.mktemp("corpus")
    rows = []
    for i in range(12):
        bonafide = i % 2 == 0
        sf.write(root / f"{i}.flac", voiced(2.2, pitch_hz=100 + 9 * i).astype(np.float32), 16_000)
        rows.append([f"c{i}", f"{i}.flac", "bonafide" if bonafide else "spoof", "recording" if bonafide else f"s{i % 3}",
                     "human" if bonafide else "tts", f"p{i // 4}", f"src/{i % 3}"])
    (root / "11.flac").write_bytes(b"not audio")
    with (root / "manifest.csv").open("w", newline="") as file:
        csv.writer(file).writerows([COLUMNS, *rows])
    monkey = pytest.MonkeyPatch()
    monkey.setattr(corpus, "COPY_SHARES", {"griffin-lim": 1.0, "phase": 1.0})
    work = tmp_path_factory.mktemp("work")
    clips = prepare(root, work, views=2, workers=1)
    monkey.undo()
    return root, work, clips


def test_preparing_names_what_it_drops_and_keeps_the_rest(folder) -> None:
    _, work, clips = folder
    dropped = list(csv.DictReader((work / "dropped.csv").open()))
    assert [row["clip"] for row in dropped] == ["c11"] and dropped[0]["reason"]
    assert sum(c.copier == "" for c in clips) == 11
    assert sum(c.copier == "phase" for c in clips) == 6
    assert all(corpus.load_views(work, c).shape[0] == 2 for c in clips)
    assert corpus.load_prepared(work) == clips


@pytest.mark.parametrize(("change", "words"), [
    (lambda t: t.replace("label", "lable", 1), "lacks the column"),
    (lambda t: t.replace("bonafide", "real", 1), "neither bonafide nor spoof"),
    (lambda t: t.replace("human", "tts", 1), "contradicts"),
    (lambda t: t + t.splitlines()[1] + "\n", "twice"),
])
def test_a_wrong_manifest_is_refused_with_its_reason(folder, tmp_path, change, words: str) -> None:
    (tmp_path / "manifest.csv").write_text(change((folder[0] / "manifest.csv").read_text()))
    with pytest.raises(CorpusError, match=words):
        read_manifest(tmp_path)


def test_no_source_speaker_or_copy_stands_on_both_sides(folder) -> None:
    clips = folder[2]
    train, test = split(clips, ["src/0"])
    assert {c.source for c in test} == {"src/0"} and not any(c.copier for c in test)
    assert not {c.source for c in train} & {c.source for c in test}
    assert not {c.speaker for c in train} & {c.speaker for c in test}
    assert not {c.parent for c in train} & {c.clip for c in test}


def test_the_folds_do_not_overlap() -> None:
    sources = [s for fold in FOLDS for s in fold]
    assert len(sources) == len(set(sources))


def test_copies_are_planned_the_same_every_time() -> None:
    clips = [Clip(f"x{i}", "f", "bonafide", "recording", "human", "", "s", parent=f"x{i}") for i in range(50)]
    assert plan_copies(clips) == plan_copies(clips)
    assert all(c.parent and not c.bonafide for c in plan_copies(clips))


@pytest.mark.parametrize("name", ["griffin-lim", "phase"])
def test_copies_keep_length_and_envelope(name: str) -> None:
    x = voiced(1.5).astype(np.float32)
    y = COPIERS[name](x, np.random.default_rng(0))
    assert len(y) == len(x) and np.isfinite(y).all() and not np.array_equal(x, y)
    loud = [np.sqrt(np.mean(v[: len(v) // 1600 * 1600].reshape(-1, 1600) ** 2, axis=1)) for v in (x, y)]
    assert np.corrcoef(*loud)[0, 1] > 0.8


def test_batches_are_reproducible_balanced_and_exactly_labelled(folder) -> None:
    _, work, clips = folder
    options = SamplerOptions(batch=24, seconds=(1.0,), hybrid_share=0.3)
    first, again = (next(iter(Sampler(work, clips, options, seed=3))) for _ in range(2))
    assert np.array_equal(first.wav.numpy(), again.wav.numpy())
    assert first.wav.shape == (24, 16_000) and first.frame_label.shape == (24, 50)
    known = first.clip_label[~first.clip_label.isnan()]
    assert 0.2 < float(known.mean()) < 0.8
    hybrids = first.frame_label[first.clip_label.isnan()]
    assert len(hybrids) and bool(((hybrids == 0).any(1) & (hybrids == 1).any(1)).all())


def test_controls_are_bona_fide_throughout(folder) -> None:
    sampler = Sampler(folder[1], folder[2], SamplerOptions(), seed=0)
    assert (sampler.hybrid(32_000, np.random.default_rng(1), control=True)[1] == 1).all()


def test_splice_changes_nothing_outside_its_stretch() -> None:
    x, y = np.zeros(1000, np.float32), np.ones(1000, np.float32)
    mixed = splice(x, y, 320, 640)
    assert (mixed[:320] == 0).all() and (mixed[640:] == 0).all()
    assert (mixed[400:560] == 1).all() and ((mixed >= 0) & (mixed <= 1)).all()


def test_held_out_hybrids_know_their_stretch(folder) -> None:
    _, work, clips = folder
    _, test = split(clips, ["src/0", "src/1"])
    for hybrid in make_hybrids(work, test, 5, seed=0):
        assert 0 <= hybrid.start < hybrid.stop <= len(hybrid.samples)
        assert hybrid.host.bonafide and not hybrid.donor.bonafide and not hybrid.donor.copier


def test_channel_features_are_finite_for_any_sound() -> None:
    for x in (np.zeros(8000, np.float32), voiced(1.0).astype(np.float32)):
        assert np.isfinite(channel_features(x)).all()
