"""Laws of a verification: known answers, what swapping does, what a window can't change."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from core.errors import Cancelled, InvalidOption, ModelUnavailable, UnreadableAudio
from core.frames import Track
from core.speaker import listen as listening
from core.speaker import networks as found
from core.speaker.enrol import combine, enrol, refer
from core.speaker.influence import gradient, influence, strongest
from core.speaker.listen import listen, pooled, timeline_of
from core.speaker.report import to_dict
from core.speaker.vad import energy_speech, frame_levels
from core.speaker.verdict import contested, edges_s, flips, kept_frames, segments, verdict
from core.speaker.verify import THRESHOLDS, verify
from models.speaker import fbank
from tests.core.speaker.tiny import tiny_networks
from tests.factories import noise, recording, tone, voiced


@pytest.fixture(scope="module")
def networks():
    return tiny_networks()


@pytest.fixture(scope="module")
def test_recording():
    return recording(np.concatenate([voiced(5.0, seed=2), voiced(5.0, seed=3, pitch_hz=210)]), "test.wav")


@pytest.fixture(scope="module")
def enrolled(networks):
    return enrol([recording(voiced(6.0, seed=1), "reference.wav")], networks)


@pytest.fixture(scope="module")
def verified(test_recording, enrolled, networks):
    return verify(test_recording, enrolled, networks)


class Still(torch.nn.Module):
    """A gate that lets everything through."""

    def forward(self, enrolment, features):
        return torch.ones(features.shape[:2]), torch.zeros(features.shape[:2])


def test_an_open_gate_without_shift_gives_the_raw_score_exactly(networks, enrolled, test_recording):
    v = verify(test_recording, enrolled, found.SpeakerNetworks(networks.encoder, Still(), networks.device))
    assert v.gated == v.raw == pytest.approx(float(v.curve.kept[-1]), abs=1e-6)
    assert np.isnan(v.curve.rejected).all() and v.curve.kept_s[-1] == pytest.approx(10.0)


def test_one_window_is_the_encoders_own_embedding(networks):
    samples = voiced(7.0, seed=8)
    with torch.inference_mode():
        own = networks.encoder(fbank(torch.from_numpy(samples)[None]))[0].numpy()
    np.testing.assert_allclose(pooled(samples, networks)[0], own, atol=1e-5)


def test_kept_frames_pool_as_weights_of_zero_and_one(networks, enrolled):
    """The curve at a threshold is the encoder's forward pass with the mask as weights."""
    sound = recording(voiced(6.0, seed=9))
    v = verify(sound, enrolled, networks)
    at = float(np.median(v.gamma.values))
    for name, flags in (("kept", kept_frames(v, at)), ("rejected", ~kept_frames(v, at))):
        weights = torch.from_numpy(flags.astype(np.float32))[None]
        with torch.inference_mode():
            own = networks.encoder(fbank(torch.from_numpy(sound.samples.copy())[None]), weights)[0].numpy()
        given = getattr(verdict(v, networks, at), name).cosine
        assert given == pytest.approx(float(own @ enrolled.embedding), abs=2e-5)


def test_swapping_the_enrolment_swaps_what_is_selected():
    """With a gate that knows two voices by pitch the selected segments follow the enrolment."""
    low, high = voiced(4.0, seed=1, pitch_hz=100), tone(3_000.0, 4.0)

    class Bright(torch.nn.Module):
        def forward(self, who, features):
            bright = (features[..., 50:].mean(2) > features[..., :30].mean(2)).float()
            return torch.where(who[:, :1] > 0, bright, 1 - bright), torch.zeros(features.shape[:2])

    base = tiny_networks()
    networks = found.SpeakerNetworks(base.encoder, Bright(), base.device)
    samples, who = np.concatenate([low, high]), np.zeros(192, np.float32)
    gates = []
    for sign in (1, -1):
        who[0] = sign
        gates.append(listen(samples, who, networks, {"energy": energy_speech(samples)}).gamma)
    np.testing.assert_array_equal(gates[0], 1 - gates[1])
    assert gates[0][450:].mean() > 0.9 > 0.3 > gates[0][:350].mean()


def test_no_gradient_is_left_behind(networks, verified):
    assert all(p.grad is None for n in (networks.encoder, networks.gate) for p in n.parameters())


def test_curve_and_segments_are_one_decision(verified, networks):
    for at in (0.0, 0.37, 0.5, 1.0):
        kept, rejected = segments(verified, at)
        seconds = sum(s.stop_s - s.start_s for s in kept)
        assert seconds == pytest.approx(verdict(verified, networks, at).kept.seconds, abs=0.006 * (len(kept) + 1))
        edges = sorted([s.samples for s in (*kept, *rejected)])
        assert edges[0][0] == 0 and edges[-1][1] == 160_000
        assert all(a[1] == b[0] for a, b in pairwise(edges)), "the stretches tile the recording"


def test_moving_the_threshold_up_keeps_less(verified):
    assert (np.diff(verified.curve.kept_s) <= 1e-9).all()
    np.testing.assert_allclose(verified.curve.kept_s + verified.curve.rejected_s, 10.0)
    assert np.nanmin(verified.curve.kept) >= -1.0001 and np.nanmax(verified.curve.kept) <= 1.0001


def test_windows_that_overlap_count_once(networks, enrolled):
    samples = voiced(8.4, seed=4)  # the second window is moved back over the first
    heard = listen(samples, enrolled.embedding, networks, {"energy": energy_speech(samples)})
    assert len(heard.gamma) == timeline_of(len(samples)).n_frames == 840 == heard.levels.frames.sum()
    assert heard.gated.frames.sum() == 840 and (heard.gamma > 0).all()


def test_room_does_not_grow_with_length(networks, enrolled, monkeypatch):
    monkeypatch.setattr(listening, "KEPT_BYTES", 60_000)
    sounds = [voiced(9.0, seed=1), np.tile(voiced(9.0, seed=1), 3)]
    short, long = (listen(s, enrolled.embedding, networks, {"energy": energy_speech(s)}) for s in sounds)
    assert short.levels.n_bytes == long.levels.n_bytes and long.values is None
    assert influence(long, enrolled.embedding, networks) is None


def test_influence_is_the_derivative_by_a_frames_weight(networks, enrolled):
    samples = voiced(3.0, seed=6)
    heard = listen(samples, enrolled.embedding, networks, {"energy": energy_speech(samples)})
    given = influence(heard, enrolled.embedding, networks)
    assert abs(given.sum()) < 1e-3 * np.abs(given).sum() + 1e-7, "scaling all weights changes nothing"
    features, h = fbank(torch.from_numpy(samples)[None]), 40.0
    for start in (20, 120, 220):
        weights = torch.ones(1, features.shape[1])
        scores = []
        for step in (0.0, 1e-2 * h):
            weights[0, start : start + 40] = 1 + step
            with torch.inference_mode():
                scores.append(float(networks.encoder(features, weights)[0].double() @ torch.from_numpy(
                    enrolled.embedding.astype(np.float64))))
        moved = (scores[1] - scores[0]) / (1e-2 * h)
        assert given[start : start + 40].sum() == pytest.approx(moved, rel=0.25, abs=2e-6)


def test_the_strongest_blocks_are_found():
    values = np.zeros(400, np.float32)
    values[100:150], values[300:350] = 0.01, -0.02
    first, second = strongest(Track("influence", values, 0.01), 4.0)
    assert (first.start_s, first.value) == (3.0, pytest.approx(-1.0)) and second.start_s == 1.0


def test_the_gradient_is_finite(networks, enrolled):
    n = networks.encoder.config.values
    g = gradient(np.zeros(n), np.ones(n), enrolled.embedding, networks)
    assert all(x.shape == (n,) and np.isfinite(x).all() for x in g)


# ---- verdicts ----------------------------------------------------------------------------------------------


def test_flips_lie_between_the_thresholds_of_either_sign():
    values = np.where(THRESHOLDS < 0.305, 1.0, -1.0)
    assert flips(values) == (pytest.approx(0.305),)
    values[:5] = np.nan
    values[60] = np.nan
    assert flips(values) == (pytest.approx(0.305),) and flips(np.full(101, np.nan)) == ()


def test_higher_cosine_is_more_for_the_same_speaker(verified, networks):
    given = verdict(verified, networks, 0.3)
    assert given.kept.llr.value == np.clip(4 * given.kept.cosine - 1, -2, 2)
    assert "calibration of whole recordings" in given.notes[0]
    assert given.gated.llr is None, "the soft gate's own score has no calibration"
    own = replace(networks, gated_calibration=networks.calibration)
    assert verdict(verified, own, 0.5).notes == () and "approximation" in verdict(verified, own, 0.3).notes[0]
    bare = tiny_networks(calibrated=False)
    assert verdict(verified, bare, 0.3).direction is None and "never calibrated" in verdict(verified, bare, 0.3).sentence


def test_contested_frames_lie_around_one_half(verified):
    for s in contested(verified):
        assert 0.4 <= s.value <= 0.6 and s.stop_s - s.start_s >= 0.099


def test_edges_are_whole_samples():
    edges = edges_s(Track("gamma", np.zeros(100), 0.01), 1.0033125) * 16_000
    np.testing.assert_allclose(edges, np.round(edges), atol=1e-6)
    assert edges[0] == 0 and edges[-1] == 16_053 and edges[1] == 80 and edges[2] == 240


# ---- bad input ---------------------------------------------------------------------------------------------


def codes(v) -> set[str]:
    return {reason.code for reason in v.reasons}


def test_identical_bytes_and_regions_of_the_recording_give_no_verdict(test_recording, networks):
    whole = verify(test_recording, combine([refer(test_recording, networks)], networks), networks)
    assert codes(whole) == {"same-recording"} and verdict(whole, networks, 0.5).abstained
    region = verify(test_recording, combine([refer(test_recording, networks, (0, 64_000))], networks), networks)
    assert codes(region) == {"enrolled-from-here"} and len(region.gamma) == 1_000


def test_enrolments_that_are_too_short_or_nowhere_are_refused(test_recording, networks):
    short = enrol([recording(voiced(1.2, seed=1))], networks)
    assert [r.code for r in short.reasons] == ["enrolment-too-short"]
    for span in ((0, 8_000), (5, 5), (0, 10**9), (-1, 20_000)):
        with pytest.raises(InvalidOption):
            refer(test_recording, networks, span)
    with pytest.raises(InvalidOption):
        combine([], networks)


def test_silence_and_scraps_are_no_test_recordings(enrolled, networks):
    assert "no-speech" in codes(verify(recording(np.zeros(48_000, np.float32) + 1e-5), enrolled, networks))
    with pytest.raises(UnreadableAudio):
        pooled(np.zeros(300, np.float32), networks)
    with pytest.raises(Cancelled):
        verify(recording(voiced(3.0)), enrolled, networks, cancelled=lambda: True)


def test_another_channel_is_said(networks):
    from scipy.signal import butter, sosfilt

    narrow = sosfilt(butter(10, 3_400, output="sos", fs=16_000), voiced(6.0, seed=2)).astype(np.float32)
    v = verify(recording(voiced(5.0, seed=3)), enrol([recording(narrow)], networks), networks)
    assert any("Different channel" in words for words in v.advice)
    noisy = verify(recording(voiced(5.0, seed=3) + noise(5.0, level=0.01)), enrol([recording(voiced(6.0))], networks),
                   networks)
    assert any("Different noise" in words for words in noisy.advice)


def test_missing_networks_are_one_sentence(monkeypatch, tmp_path):
    import models.registry

    monkeypatch.setattr(models.registry, "WEIGHTS", tmp_path)
    with pytest.raises(ModelUnavailable, match="aren't installed"):
        found.shipped("cpu")
    for name in (found.ENCODER, found.GATE):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(ModelUnavailable, match="damaged"):
        found.shipped("cpu")
    with pytest.raises(ModelUnavailable):
        found.shipped("abacus")


def test_shipped_networks_are_those_of_their_folders(monkeypatch, tmp_path, networks):
    import models.registry
    from models.speaker import save_speaker
    from models.svvad import save_svvad

    monkeypatch.setattr(models.registry, "WEIGHTS", tmp_path)
    for name, save, network in ((found.ENCODER, save_speaker, networks.encoder), (found.GATE, save_svvad, networks.gate)):
        (tmp_path / name).mkdir()
        save(network, tmp_path / name)
    networks.calibration.save(tmp_path / found.ENCODER / "calibration.safetensors")
    loaded = found.shipped("cpu")
    assert loaded is found.shipped("cpu") and loaded.calibration.slope == 4.0 and loaded.gated_calibration is None
    (tmp_path / found.GATE / "card.json").write_text('{"weights_sha256": "of other weights"}')
    with pytest.raises(ModelUnavailable, match="damaged or not theirs"):
        found.shipped("cpu")


def test_the_report_is_plain_json_and_says_where_it_comes_from(verified, networks):
    import json

    report = json.loads(json.dumps(to_dict(verified, networks, 0.5), allow_nan=False))
    assert report["recording"]["sha256"] == verified.sha256 and report["networks"]["sha256"] == networks.sha256
    assert len(report["by_threshold"]["kept_cosine"]) == 101 and len(report["tracks"]["gamma"]["values"]) == 1_000
    assert report["enrolment"]["references"][0]["whole"] is True


# ---- energy ------------------------------------------------------------------------------------------------


def test_levels_are_those_of_known_sounds():
    np.testing.assert_allclose(frame_levels(tone(1_000.0, 1.0, level=0.5))[5:-5], 10 * np.log10(0.125), atol=0.02)
    sound = np.concatenate([np.zeros(8_000), tone(300.0, 0.5), np.zeros(8_000)]).astype(np.float32)
    speech = energy_speech(sound)
    assert speech[:48].sum() == 0 and speech[52:98].all() and speech[102:].sum() == 0
    assert energy_speech(np.zeros(10, np.float32)).size == 0 == energy_speech(np.zeros(3_200)).sum()
