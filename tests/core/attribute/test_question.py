"""Questions to a real (random, tiny) f-InfoED: equality with the scoring path, bad regions, threads, other detectors."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from core.attribute.methods import METHODS
from core.attribute.problem import PLANES, istft, stft
from core.attribute.question import Question, pose
from core.attribute.run import compute
from core.attribute.scorer import FInfoEDScorer, scorer_of
from core.audio import read_recording
from core.errors import Cancelled, InvalidOption, ModelUnavailable
from core.examine import detector_for, examine
from core.frames import plan_windows
from models.finfoed import guard
from tests.factories import sound_bytes, voiced
from tests.tiny_detector import make_detector


@pytest.fixture(scope="module")
def detector(tmp_path_factory):
    return detector_for(make_detector(tmp_path_factory.mktemp("a") / "tiny"))


@pytest.fixture(scope="module")
def recording():
    return read_recording(sound_bytes(voiced(9.0, seed=3)), "voice.wav")


def test_the_differentiable_front_end_is_the_one_used_for_scoring(detector, recording):
    """1e-4 from the plane to what the encoder is given, on all three planes."""
    network = detector.network
    wav = torch.from_numpy(np.array(recording.samples[:64_000]))[None]
    with torch.no_grad():
        heard = network.features(wav)
        scorer = FInfoEDScorer.of(detector)
        assert (guard(scorer.front(wav), network.config.guard_bands) - heard).abs().max() < 1e-4
        again = network.features(istft(stft(wav), wav.shape[1]))
        assert (again - heard).abs().max() < 1e-4
    leaf = wav.clone().requires_grad_(True)
    scorer.clip_of_wav(leaf).sum().backward()
    assert torch.isfinite(leaf.grad).all() and float(leaf.grad.abs().max()) > 0


def test_the_question_about_the_clip_has_the_findings_score(detector, recording, tmp_path):
    done = examine(recording, model=make_detector(tmp_path / "tiny"))
    scorer, line = FInfoEDScorer.of(detector), FInfoEDScorer.of(detector).calibration
    for plane in PLANES:
        posed = pose(recording, scorer, Question("clip", (0, 9), plane), done.entropy.window_seconds)
        with torch.no_grad():
            total = sum(float(p.score(p.x)[0]) for p in posed.problems)
        assert len(posed.problems) == 3 and sum(posed.weights) == pytest.approx(1.0)
        assert total == pytest.approx(line.slope * done.finding.score + line.intercept, abs=2e-3)  # states kept as fp16


def test_a_moments_question_reads_the_frame_head(detector, recording):
    scorer = FInfoEDScorer.of(detector)
    posed = pose(recording, scorer, Question("moment", (5.0, 5.2)))
    with torch.no_grad():
        wav = torch.from_numpy(np.array(recording.samples[64_000:128_000]))[None]
        frames = scorer.frames_of_wav(wav)[0]
        assert float(posed.problems[0].score(posed.problems[0].x)) == pytest.approx(float(frames[50:60].mean()), abs=1e-5)
    found = compute(posed, "integrated-gradients")
    assert found.start_s == 4.0 and found.unit.endswith("uncalibrated")
    size = np.abs(found.values).sum(0)
    assert size.argmax() * 0.01 == pytest.approx(1.1, abs=0.5), "most of it is near the moment"


def test_parameters_get_no_gradients_and_hidden_bands_no_attribution(detector, recording):
    found = compute(pose(recording, FInfoEDScorer.of(detector), Question("clip", (0, 4))), "integrated-gradients")
    assert all(p.grad is None and not p.requires_grad for p in detector.network.parameters())
    hidden = detector.network.config.guard_bands
    assert hidden and np.abs(found.values[-hidden:]).max() == 0.0 and np.abs(found.values[:-hidden]).max() > 0


@pytest.mark.parametrize(("question", "words"), [
    (Question("region", (20.0, 22.0)), "outside the recording"),
    (Question("region", (-3.0, -1.0)), "outside the recording"),
    (Question("region", (2.0, 2.0)), "no length"),
    (Question("region", (2.0, 2.3)), "at least 0.5 s"),
    (Question("region", (float("nan"), 2.0)), "outside"),
    (Question("region", None), "Select a region"),
    (Question("moment", None), "Select a region"),
    (Question("clip", None, "cepstrum"), "no plane"),
    (Question("word"), "no target"),
])
def test_a_region_that_cannot_be_explained_says_why(detector, recording, question, words):
    with pytest.raises(InvalidOption, match=words) as caught:
        pose(recording, FInfoEDScorer.of(detector), question)
    assert caught.value.message.count(". ") <= 1


def test_silence_is_nothing_to_explain(detector):
    sound = voiced(9.0, seed=1)
    sound[4 * 16_000 : 8 * 16_000] = 0.0
    half = read_recording(sound_bytes(sound, subtype="FLOAT"), "half.wav")
    scorer = FInfoEDScorer.of(detector)
    with pytest.raises(InvalidOption, match="nothing but silence"):
        pose(half, scorer, Question("region", (4.5, 6.5)))
    assert compute(pose(half, scorer, Question("region", (1.0, 3.0))), "integrated-gradients").values.any()


def test_windows_of_a_long_recording_are_explained_on_demand(detector):
    long = read_recording(sound_bytes(voiced(30.0, seed=5)), "long.wav")
    scorer = FInfoEDScorer.of(detector)
    posed = pose(long, scorer, Question("clip", (13.0, 15.0)))
    assert [(w.start, w.stop) for w in posed.windows] == [(192_000, 256_000)] and posed.n_windows == 8
    assert len(pose(long, scorer, Question("clip", (0.0, 30.0))).problems) == 3
    found = compute(posed, "integrated-gradients")
    assert found.start_s == 12.0 and found.stop_s == pytest.approx(16.0)


def test_overlapping_last_windows_add_up(detector):
    odd = read_recording(sound_bytes(voiced(4.3, seed=6)), "odd.wav")
    found = compute(pose(odd, FInfoEDScorer.of(detector), Question()), "integrated-gradients")
    assert len(found.windows) == 2 and found.stop_s == pytest.approx(4.3)
    assert found.values.sum() == pytest.approx(sum(w.sum() for w in found.windows))
    assert found.error < 0.02


@pytest.mark.parametrize("method", METHODS)
def test_two_sessions_at_once_get_the_map_of_one(detector, recording, method):
    scorer = FInfoEDScorer.of(detector)
    quick = {"occlusion": {"patch_rows": 20, "patch_columns": 50}}.get(method, {})

    def one(_=None):
        return compute(pose(recording, scorer, Question("clip", (0, 4))), method, "mean-bonafide", seed=3,
                       parameters=quick).values

    alone = one()
    with ThreadPoolExecutor(4) as pool:
        assert all(np.array_equal(alone, other) for other in pool.map(one, range(8)))


def test_a_map_can_be_cancelled(detector, recording):
    def stop(share):
        if share > 0.3:
            raise Cancelled()

    with pytest.raises(Cancelled):
        compute(pose(recording, FInfoEDScorer.of(detector), Question()), "integrated-gradients", on_progress=stop)
    assert not detector.lock._is_owned(), "the lock is given back"


class Other:
    """A detector beside the default finding, as ``core.detectors.base.ClipDetector`` describes it."""

    name, title, content_sha256, card, refusal = "other", "Other", "0" * 64, {}, ""

    def __init__(self) -> None:
        self.lock, self.device = threading.RLock(), torch.device("cpu")
        self.network = torch.nn.Sequential(torch.nn.Conv1d(1, 4, 64, stride=16), torch.nn.Tanh()).requires_grad_(False)

    def window_scores(self, wav):
        return self.network(wav[:, None]).mean((1, 2))


def test_other_detectors_are_explained_on_their_sound(recording):
    scorer = scorer_of(Other())
    with pytest.raises(InvalidOption, match="doesn't hear a log-mel"):
        pose(recording, scorer, Question("clip", (0, 4), "log-mel"))
    with pytest.raises(InvalidOption, match="no score per moment"):
        pose(recording, scorer, Question("moment", (1, 2), "waveform"))
    for plane in ("spectrum", "waveform"):
        found = compute(pose(recording, scorer, Question("clip", (0, 4), plane)), "integrated-gradients")
        assert found.unit == "raw score" and found.error < 0.01
    scorer.detector.plan = lambda n: plan_windows(n, window=n)
    assert [w.n_samples for w in pose(recording, scorer, Question("clip", (0, 4), "waveform")).windows] == [144_000]
    broken = scorer.destroyed(1)
    wav = torch.from_numpy(np.array(recording.samples[:64_000]))[None]
    before = scorer.clip_of_wav(wav).clone()
    assert not torch.allclose(broken.clip_of_wav(wav), before), "the copy is destroyed"
    assert torch.equal(scorer.clip_of_wav(wav), before), "the detector is not"


def test_a_detector_that_may_not_be_used_says_why():
    held = Other()
    held.refusal = "Known clips haven't confirmed yet which logit means spoof; run the polarity check first."
    with pytest.raises(ModelUnavailable, match="polarity check"):
        scorer_of(held)


def test_a_destroyed_copy_leaves_the_detector_alone(detector, recording):
    scorer = FInfoEDScorer.of(detector)
    wav = torch.from_numpy(np.array(recording.samples[:64_000]))[None]
    with torch.no_grad():
        before = scorer.clip_of_wav(wav)
        broken = scorer.destroyed(0)
        assert abs(float(broken.clip_of_wav(wav) - before)) > 1e-4
        assert torch.equal(scorer.clip_of_wav(wav), before)
        assert torch.equal(broken.clip_of_wav(wav), scorer.destroyed(0).clip_of_wav(wav))
