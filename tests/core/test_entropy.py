"""The analysis of an encoding: its time axis, its agreement with the network, its stretches."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from core.audio import read_recording
from core.commands.speechlike import speechlike, wav_bytes
from core.encode import encode
from core.entropy import analyse_entropy, clip_score, frame_posterior, population_distance, reconstruct
from core.errors import Cancelled
from core.frames import Track, plan_windows
from core.timeline import Timeline, sample_track, smooth, stretches
from models.registry import load_detector
from tests.tiny_detector import N_FEATURES, make_detector

HOP_S = 0.02


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_detector(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def detector(folder):
    return load_detector(folder, "cpu")


def recording_of(seconds: float, seed: int = 0):
    return read_recording(wav_bytes(speechlike(seconds, seed)), "made.wav")


@given(st.integers(1, 700_000), st.sampled_from([0, 1, 3]))
def test_every_frame_is_laid_once_and_the_earlier_value_stays(n_samples, lost):
    """`lost`: frames by which an encoder's output is shorter than the window."""
    windows = plan_windows(n_samples)
    counts = [max(1, (w.stop - w.start) // 320 - lost) for w in windows]
    timeline = Timeline.plan(windows, counts, HOP_S)
    grid = np.full(timeline.n_frames, -1.0)
    for i, count in enumerate(counts):
        timeline.put(grid, i, np.full(count, float(i)))
    assert (grid >= 0).all()
    assert (np.diff(grid) >= 0).all()  # window numbers only ever rise: nothing earlier is overwritten
    last = windows[-1]
    assert timeline.n_frames == round(last.start / 320) + counts[-1]
    assert timeline.speech_seconds(np.ones(timeline.n_frames), HOP_S).sum() <= n_samples / 16_000 + HOP_S
    if len(windows) > 1 and last.start < windows[-2].stop:
        assert grid[round(last.start / 320)] == len(windows) - 2


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=50), st.integers(1, 9))
def test_smoothing_keeps_range_and_constants(values, width):
    out = smooth(np.array(values), width)
    assert len(out) == len(values)
    assert min(values) - 1e-9 <= out.min() and out.max() <= max(values) + 1e-9
    assert np.allclose(smooth(np.full(7, 2.5), width), 2.5)


def test_stretches_are_bridged_and_short_ones_dropped():
    flags = np.array([1, 1, 0, 1, 0, 0, 0, 1, 0, 0, 1, 1, 1], bool)
    assert stretches(flags) == [(0, 2), (3, 4), (7, 8), (10, 13)]
    assert stretches(flags, bridge=1, shortest=2) == [(0, 4), (10, 13)]
    assert stretches(np.zeros(4, bool)) == []


def test_sampling_a_track_takes_the_nearest_frame():
    track = Track("x", np.array([1.0, 2.0, 3.0]), 0.5, 0.25)
    assert sample_track(track, np.array([-1.0, 0.4, 0.6, 9.0])).tolist() == [1, 1, 2, 3]
    with pytest.raises(ValueError):
        sample_track(Track("x", np.zeros(0), 0.5), np.array([0.0]))


def test_one_window_agrees_with_the_network(detector):
    recording = recording_of(3.0)
    encoding = encode(recording, detector)
    analysis = analyse_entropy(encoding, recording, detector)
    with torch.inference_mode():
        out = detector.network.analyse(encoding.batch(0, 1))
    bits = (out.entropy.sum(-1) / math.log(2))[0].numpy()
    assert np.allclose(analysis.entropy.values, bits, atol=1e-4)
    assert np.allclose(analysis.score.values, out.frame_logit[0].numpy() / math.log(10), atol=1e-5)
    assert analysis.window_scores[0] == pytest.approx(float(out.clip_logit[0]), abs=1e-5)
    assert analysis.clip_score == pytest.approx(float(out.clip_logit[0]), abs=1e-5)
    assert analysis.entropy_map.dtype == np.float16
    assert np.allclose(analysis.entropy_map.astype(np.float32).sum(1), bits, atol=0.05)
    assert analysis.entropy.unit == "bits per frame" and analysis.entropy.hop_s == HOP_S
    assert analysis.mean_bits == pytest.approx(bits.mean(), abs=1e-4)


def test_entropy_and_rate_are_two_views_of_one_posterior(detector):
    """H = -KL + D/2 log(2 pi) + 1/2 sum(mu^2 + sigma^2), in nats (spec, section 1.1)."""
    recording = recording_of(3.0)
    encoding = encode(recording, detector)
    analysis = analyse_entropy(encoding, recording, detector)
    with torch.inference_mode():
        mu, logvar, _ = detector.network.posterior(encoding.batch(0, 1))
    power = float((mu.square() + logvar.exp()).sum(-1).mean())
    expected = -analysis.kl_nats_per_frame + mu.shape[-1] / 2 * math.log(2 * math.pi) + power / 2
    assert analysis.mean_bits * math.log(2) == pytest.approx(expected, abs=1e-4)


def test_windows_share_one_axis(detector):
    recording = recording_of(9.3)  # 4 s, 4 s, 1.3 s
    analysis = analyse_entropy(encode(recording, detector), recording, detector)
    assert len(analysis.entropy) == int(9.3 * 50)
    assert analysis.window_times.tolist() == [[0, 4], [4, 8], [8, 9.3]]
    assert analysis.window_seconds.sum() == pytest.approx(9.3, abs=HOP_S)
    overlapping = recording_of(8.3)  # the last window is moved back
    analysis = analyse_entropy(encode(overlapping, detector), overlapping, detector)
    assert analysis.window_times.tolist() == [[0, 4], [4, 8], [4.3, 8.3]]
    assert analysis.window_seconds == pytest.approx([4, 4, 0.3], abs=HOP_S)


def test_batches_do_not_change_the_result(detector):
    recording = recording_of(14.0)
    one, many = (analyse_entropy(encode(recording, detector, batch=b), recording, detector) for b in (1, 8))
    assert np.allclose(one.entropy.values, many.entropy.values, atol=0.02)
    assert one.clip_score == pytest.approx(many.clip_score, abs=1e-3)


def test_speech_alone_counts_where_it_is_known(detector):
    recording = recording_of(8.0)
    encoding = encode(recording, detector)
    speech = Track("speech", (np.arange(400) < 200).astype(np.float32), HOP_S, HOP_S / 2)
    half = analyse_entropy(encoding, recording, detector, SimpleNamespace(speech=speech))
    full = analyse_entropy(encoding, recording, detector)
    assert half.window_seconds == pytest.approx([4, 0], abs=HOP_S)
    assert half.clip_score == pytest.approx(full.window_scores[0], abs=0.01)
    assert half.mean_bits == pytest.approx(full.entropy.values[:200].mean(), abs=0.05)
    none = SimpleNamespace(speech=Track("speech", np.zeros(400, np.float32), HOP_S, HOP_S / 2))
    assert analyse_entropy(encoding, recording, detector, none).clip_score == pytest.approx(full.clip_score)


def test_clip_score_weighs_by_seconds():
    assert clip_score(np.array([1.0, 5.0]), np.array([3.0, 1.0])) == 2.0
    assert clip_score(np.array([1.0, 5.0]), np.array([0.0, 0.0])) == 3.0


def test_population_distance_known_answer():
    reference = {
        "population_mean": np.array([1.0, 1.0, 1.0]),
        "population_basis": np.eye(3)[:, :2],
        "population_scale": np.array([2.0, 1.0]),
    }
    assert population_distance(np.array([5.0, 2.0, 99.0]), reference) == pytest.approx(math.sqrt(5))
    assert math.isnan(population_distance(np.zeros(3), {}))


def test_stretches_come_from_the_curves(tmp_path):
    folder = make_detector(
        tmp_path / "low", low_entropy_bits=np.array([1e6]), frame_threshold=np.array([1e3])
    )
    detector = load_detector(folder, "cpu")
    recording = recording_of(6.0)
    analysis = analyse_entropy(encode(recording, detector), recording, detector)
    (low,), (spoof,) = analysis.low_runs, analysis.frame_spoof_runs
    assert low.samples[0] == 0 and 6.0 - low.stop_s < 0.03
    assert spoof.stop_s <= recording.duration_s and spoof.mean_score < -400
    assert low.mean_bits == pytest.approx(float(analysis.entropy.values.mean()), abs=1e-3)
    folder = make_detector(tmp_path / "none", frame_threshold=np.array([-1e3]))
    detector = load_detector(folder, "cpu")
    analysis = analyse_entropy(encode(recording, detector), recording, detector)
    assert analysis.low_runs == () and analysis.frame_spoof_runs == ()


def test_distance_uses_the_mean_state(tmp_path, detector):
    recording = recording_of(5.0)
    encoding = encode(recording, detector)
    with torch.inference_mode():
        states = [detector.network.posterior(s)[2][0].numpy() for _, s in encoding.batches()]
    mean = np.concatenate(states).mean(0)
    away = analyse_entropy(encoding, recording, detector).distance
    assert away == pytest.approx(float(np.linalg.norm(mean[:6])), rel=1e-3)
    there = load_detector(make_detector(tmp_path / "near", population_mean=mean.astype(np.float64)), "cpu")
    assert analyse_entropy(encode(recording, there), recording, there).distance < 0.01
    assert mean.shape == (N_FEATURES,)


def test_reconstruction_and_posterior_of_a_place(detector):
    recording = recording_of(9.0)
    encoding = encode(recording, detector)
    mel, rebuilt = reconstruct(encoding, detector, 3.0, 5.0, recording=recording)
    assert mel.shape == rebuilt.shape == (100, 80)
    everything = analyse_entropy(encoding, recording, detector)
    mel, rebuilt = reconstruct(encoding, detector, 0.0, 9.0, recording=recording)
    assert float(np.mean((mel - rebuilt) ** 2)) == pytest.approx(everything.recon_mse, rel=1e-4)
    assert reconstruct(encoding, detector, 50.0, 51.0, recording=recording)[0].shape == (0, 80)
    for t in (0.0, 3.99, 4.0, 8.7, 99.0):
        mu, sigma = frame_posterior(encoding, detector, t)
        bits = np.sum(np.log2(sigma * math.sqrt(2 * math.pi * math.e)))
        assert mu.shape == sigma.shape
        assert bits == pytest.approx(float(everything.entropy.at(t)), abs=1e-2)


def test_it_can_be_cancelled_and_tells_how_far_it_is(detector):
    recording = recording_of(12.0)
    encoding = encode(recording, detector, batch=1)
    shares: list[float] = []
    analyse_entropy(encoding, recording, detector, on_progress=shares.append)
    assert shares == sorted(shares) and shares[-1] == 1.0
    with pytest.raises(Cancelled):
        analyse_entropy(encoding, recording, detector, cancelled=lambda: True)
