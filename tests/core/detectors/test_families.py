"""A saved checkpoint of each family loads, is kept back until its polarity is told, and is calibrated on clips."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

from core import detectors
from core.detectors import card, clip, store
from core.detectors.calibration import calibrate
from core.detectors.card import Card
from core.detectors.labelled import read_labelled
from core.detectors.loading import check
from core.errors import Cancelled, ModelUnavailable
from tests.core.detectors.tiny import clip as sound
from tests.core.detectors.tiny import labelled_folder, save_tiny
from tests.factories import recording


def test_it_is_kept_back_then_settled_and_calibrated(checkpoint, labelled, data_folder):
    family, path = checkpoint
    before = sorted(p.name for p in path.parent.rglob("*"))
    dull, white = recording(sound(True, 900, 2.5)), recording(sound(False, 901, 2.5), "white.wav")
    detector = detectors.load(path, "cpu")
    opinion = detector.opinion(dull)
    assert opinion.score is None and opinion.llr is None and "polarity" in opinion.notes[0]

    found = calibrate(detector, read_labelled(labelled))
    assert found.polarity.usable and "settle" in found.polarity.sentence, family
    assert found.eer.value < 0.2 and found.calibration.slope > 0
    assert found.saved.is_relative_to(data_folder)
    assert sorted(p.name for p in path.parent.rglob("*")) == before, "nothing is written beside the weights"

    again = detectors.load(detector.name, "cpu")  # by the name it goes by from now on
    for_dull, for_white = again.opinion(dull), again.opinion(white)
    assert for_dull.score > for_white.score and for_dull.llr.value > 0 > for_white.llr.value
    assert again.terms.bona_fide_logit(2) == 1 and detector.name in detectors.names()
    low, high = for_dull.bounds
    assert low <= for_white.llr.value <= for_dull.llr.value <= high
    store.forget(again.files_sha256)
    assert detector.name not in detectors.names() and detectors.load(path, "cpu").polarity is None


def test_its_polarity_cant_be_told_so_it_is_refused(checkpoint, tmp_path, labelled):
    family, path = checkpoint
    detector, few = check(detectors.load(path, "cpu"))  # the bundled examples are too few to tell anything
    assert few.state == "untold" and "too few" in few.sentence and not few.usable
    assert detector.opinion(recording(sound(True, 5))).score is None
    mute = save_tiny(tmp_path / "mute", family, told=False)
    found = calibrate(detectors.load(mute, "cpu"), read_labelled(labelled))
    assert found.polarity.state == "untold" and found.calibration is None and found.saved is None
    assert detectors.load(mute, "cpu").opinion(recording(sound(True, 5))).score is None


def test_batches_windows_and_gradients(checkpoint):
    """One by one or together, by tensor or by recording: the same scores; and gradients reach the samples."""
    _, path = checkpoint
    detector = detectors.load(path, "cpu")
    seconds = 2.2 * detector.plan(1_000_000)[0].n_samples / 16_000
    x = sound(True, 3, seconds)
    windows, scores = detector.listen(recording(x))
    assert windows[0].start == 0 and windows[-1].stop == len(x) and len(windows) == 3
    assert all(a.stop >= b.start for a, b in pairwise(windows)), "all of it is heard"
    alone = [float(detector.window_scores(torch.from_numpy(x[None, w.start : w.stop].copy()))) for w in windows]
    np.testing.assert_allclose(scores, alone, atol=2e-4)
    wav = torch.from_numpy(np.stack([sound(True, 4, 2.5), sound(False, 4, 2.5)])).requires_grad_()
    both = detector.window_scores(wav)
    both.sum().backward()
    assert wav.grad.abs().sum(1).min() > 0
    np.testing.assert_allclose(both.detach()[1], float(detector.window_scores(wav.detach()[1:])), atol=2e-4)


def test_the_other_index_turns_the_score_round(checkpoint):
    from core.detectors import aasist, external

    family, path = checkpoint
    load = aasist.load if family == "aasist" else external.load
    one, other = (load(path, "cpu", Card(spoof_index=i)) for i in (0, 1))
    wav = torch.from_numpy(sound(False, 8)[None])
    torch.testing.assert_close(one.window_scores(wav), -other.window_scores(wav))
    assert one.network is other.network and one.scoring_sha256 != other.scoring_sha256


def test_a_card_that_contradicts_the_clips_is_said_and_the_detector_unused(tmp_path, labelled):
    import json

    folder = save_tiny(tmp_path / "model", "wav2vec2", bonafide_index=1)
    (folder / card.FILE).write_text(json.dumps({"spoof_index": 1, "exposure": "made here"}))
    detector = detectors.load(folder, "cpu")
    found = calibrate(detector, read_labelled(labelled))
    assert found.polarity.state == "contradicted" and "contradict" in found.sentences()[0]
    assert found.calibration is None and detectors.load(folder, "cpu").opinion(recording(sound(True, 1))).score is None
    from core.detectors import external

    own = Card(spoof_index=0)
    right = calibrate(external.load(folder, "cpu", own), read_labelled(labelled), own=own)
    assert right.polarity.usable and detectors.load(folder, "cpu").opinion(recording(sound(True, 1))).score > 0


def test_labels_that_lie_turn_a_stated_card_into_a_contradiction(tmp_path):
    import json

    folder = save_tiny(tmp_path / "model", "hubert")
    (folder / card.FILE).write_text(json.dumps({"bonafide_index": 1}))
    found = calibrate(detectors.load(folder, "cpu"), read_labelled(labelled_folder(tmp_path / "clips", swapped=True)))
    assert found.polarity.state == "contradicted" and found.polarity.auc < 0.5


def test_a_few_clips_dont_undo_a_verdict_and_a_new_card_does(tmp_path, labelled):
    folder = save_tiny(tmp_path / "model", "wavlm")
    found = calibrate(detectors.load(folder, "cpu"), read_labelled(labelled))
    detector, few = check(detectors.load(folder, "cpu"))
    assert not few.usable and detector.polarity.usable and detector.calibration is not None
    store.write_card(found.detector.files_sha256, found.detector.terms.merged(Card(crop="windows", crop_s=0.5)))
    changed = detectors.load(folder, "cpu")
    assert changed.polarity is None and changed.calibration is None, "another way of hearing has to be checked anew"


def test_saturated_logits_are_said_to_be_saturated(tmp_path, labelled):
    mild, wild = (save_tiny(tmp_path / str(gain), "wav2vec2", gain=gain) for gain in (4.0, 4_000.0))
    for folder, saturated in ((mild, False), (wild, True)):
        found = calibrate(detectors.load(folder, "cpu"), read_labelled(labelled))
        opinion = detectors.load(folder, "cpu").opinion(recording(sound(True, 1)))
        assert opinion.saturated is saturated and (found.scored.saturated > 0.9) is saturated
        assert any("Saturated" in note for note in opinion.notes) is saturated
        p = torch.tensor([0.0, abs(opinion.score)]).softmax(0)[1]
        assert (float(p) == 1.0) is saturated, "what the word means: a probability of exactly one"


def test_uncalibrated_is_raw_and_says_so(tmp_path, labelled):
    folder = save_tiny(tmp_path / "model", "ast")
    detector, told = check(detectors.load(folder, "cpu"), read_labelled(labelled))
    opinion = detector.opinion(recording(sound(True, 1)))
    assert told.usable and opinion.score is not None and opinion.llr is None and opinion.bounds is None
    assert any("not calibrated" in note for note in opinion.notes) and opinion.exposure == "not known"


def test_long_recordings_stream_and_can_be_cancelled(tmp_path, labelled):
    folder = save_tiny(tmp_path / "model", "wav2vec2")
    calibrate(detectors.load(folder, "cpu"), read_labelled(labelled))
    detector, long = detectors.load(folder, "cpu"), recording(sound(True, 1, 30.0))
    shares: list[float] = []
    with pytest.raises(Cancelled):
        detector.opinion(long, on_progress=shares.append, cancelled=lambda: len(shares) >= 2)
    assert 0 < shares[-1] < 1
    opinion = detector.opinion(long, on_progress=shares.append)
    assert shares[-1] == 1.0 and len(opinion.window_scores) == 8 and opinion.windows[-1].stop == len(long.samples)
    assert opinion.score == pytest.approx(opinion.window_scores.mean())


def test_what_a_window_policy_means_is_said(tmp_path, labelled):
    """The authors of a tiled network score the start of a file; here all of it is heard, and a note says both."""
    path = save_tiny(tmp_path / "model", "aasist")
    detector = calibrate(detectors.load(path, "cpu"), read_labelled(labelled)).detector
    opinion = detector.opinion(recording(sound(True, 1, 3.0)))
    assert len(opinion.windows) == 3 and any("Its authors score the first 1.00 s" in note for note in opinion.notes)
    half, twice = sound(True, 2, 0.5), np.tile(sound(True, 2, 0.5), 2)
    assert detector.opinion(recording(half)).score == pytest.approx(detector.opinion(recording(twice)).score, abs=1e-5)


def test_opinions_never_fail_as_a_whole(tmp_path, labelled):
    folder = save_tiny(tmp_path / "model", "wav2vec2")
    calibrate(detectors.load(folder, "cpu"), read_labelled(labelled))
    found = detectors.opinions(recording(sound(True, 1)), None, [folder, "no such thing"], "cpu")
    assert found[0].score is not None and found[1].score is None and "no such thing" in found[1].notes[0]


def test_the_default_says_what_its_finding_says(tmp_path):
    from core.examine import examine
    from tests.factories import sound_bytes, voiced
    from tests.tiny_detector import make_detector

    folder = make_detector(tmp_path / "tiny")
    examination = examine(sound_bytes(voiced(6.0, seed=3)), model=folder, device="cpu")
    for encoding in (None, examination.encoding):
        opinion = detectors.load(folder, "cpu").opinion(examination.recording, encoding)
        assert opinion.score == pytest.approx(examination.finding.score, abs=1e-4)
        assert opinion.llr.value == pytest.approx(examination.finding.llr_log10, abs=1e-4)
    silent = detectors.load(folder, "cpu").opinion(recording(np.zeros(48_000, np.float32)))
    assert silent.score is None and silent.llr is None and silent.notes


def test_scores_are_not_computed_twice(tmp_path, monkeypatch):
    detector = detectors.load(save_tiny(tmp_path / "model", "wav2vec2"), "cpu")
    heard = recording(sound(True, 1))
    first = detector.listen(heard)[1]
    monkeypatch.setattr(clip.NetworkDetector, "_stream", None)
    assert detector.listen(heard)[1] is first


def test_an_unknown_name_is_one_sentence():
    with pytest.raises(ModelUnavailable, match="There is no detector"):
        detectors.load("nothing/here", "cpu")
