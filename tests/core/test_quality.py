"""What may be examined and what may not: speech passes; tones, music, noise, silence don't."""

from __future__ import annotations

import itertools
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import firwin, lfilter

from core import speech_bands
from core.quality import QUALITY_LIMITS, measure_quality
from core.training.robustness_conditions import lost_packets
from tests.factories import RATE, melody, noise, recording, tone, voiced, with_noise

CODES = {"silence", "too-little-speech", "low-snr", "tones", "clipping", "dropouts", "narrow-bandwidth",
         "level", "dc-offset"}


def lost(samples: np.ndarray, share: float) -> np.ndarray:
    return lost_packets(samples, np.random.default_rng(0), share=share)


def _fatal(samples: np.ndarray) -> set[str]:
    return {check.code for check in measure_quality(recording(samples)).fatal}


def _failed(samples: np.ndarray) -> set[str]:
    return {check.code for check in measure_quality(recording(samples)).checks if not check.passed}


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("seconds", [1.0, 4.0, 70.0])
def test_clear_speech_passes(seed, seconds):
    assert _fatal(voiced(seconds, seed, pitch_hz=90 + 25 * seed)) == set()


REFUSED = {
    "tone": (tone(), "tones"),
    "chord": (tone((220, 277, 330, 440)), "tones"),
    "melody": (melody(), "tones"),
    "hum": (tone((50, 150, 250)), "tones"),
    "white noise": (noise(), "too-little-speech"),
    "digital silence": (np.zeros(3 * RATE, np.float32), "silence"),
    "faint noise": (noise(3, level=1e-4), "silence"),
    "constant": (np.full(3 * RATE, 0.5, np.float32), "silence"),
    "one click": (np.eye(1, 3 * RATE, RATE, dtype=np.float32)[0], "too-little-speech"),
    "a fifth of a second": (voiced(0.2), "too-little-speech"),
    "speech in noise at 0 dB": (with_noise(voiced(5), 0), "low-snr"),
    "speech in noise at 15 dB": (with_noise(voiced(5), 15), "low-snr"),
    "a seventh of the packets lost": (lost(voiced(8), 0.15), "dropouts"),
    "speech at the rails": (np.clip(40 * voiced(4), -1, 1), "clipping"),
    "speech below 2 kHz": (lfilter(firwin(401, 2000, fs=RATE), 1, voiced(4)).astype(np.float32),
                           "narrow-bandwidth"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_can_not_be_examined_is_refused_for_its_reason(what):
    samples, code = REFUSED[what]
    assert code in _fatal(samples)


@pytest.mark.parametrize("cut_hz", [3_400, 4_000, 5_500])
def test_telephone_bandwidth_keeps_a_finding_back(cut_hz):
    assert "narrow-bandwidth" in _fatal(lfilter(firwin(401, cut_hz, fs=RATE), 1, voiced(4)).astype(np.float32))


def test_bursts_of_noise_are_seldom_taken_for_speech():
    bursts = (1 + np.sin(2 * np.pi * 4 * np.arange(4 * RATE) / RATE)).astype(np.float32)  # syllables' rate
    refused = ["too-little-speech" in _fatal(noise(4, seed) * bursts) for seed in range(20)]
    assert np.mean(refused) >= 0.8  # 91 % of 200 seeds


@pytest.mark.parametrize(("samples", "code"), [
    (voiced(1.5), "too-little-speech"), (with_noise(voiced(5), 22), "low-snr"),
    (voiced(4, level=0.005), "level"), (lost(voiced(8), 0.03), "dropouts"),
    (voiced(4) + np.float32(0.1), "dc-offset"),
    (lfilter(firwin(401, 6200, fs=RATE), 1, with_noise(voiced(4), 30)).astype(np.float32), "narrow-bandwidth"),
])
def test_lesser_faults_are_advice(samples, code):
    assert _fatal(samples) == set()
    assert code in _failed(samples)


@pytest.mark.parametrize("what", ["speech", *REFUSED])
def test_every_check_speaks_one_sentence(what):
    quality = measure_quality(recording(voiced(4) if what == "speech" else REFUSED[what][0]))
    assert {check.code for check in quality.checks} == CODES and len(quality.checks) == len(CODES)
    for check in quality.checks:
        assert check.message.endswith(".") and ". " not in check.message and "\n" not in check.message
        assert np.isfinite(check.value) and check.limit is not None
        assert not (check.passed and check.fatal)
    assert np.isfinite([quality.snr_db, quality.level_dbfs, quality.peak_dbfs]).all()
    for share in (quality.clipped_share, quality.tonal_share, quality.silence_share, quality.dropout_share):
        assert 0 <= share <= 1


def test_what_is_lost_is_measured_and_pauses_are_not_lost():
    sound = voiced(10, level=0.9)
    assert measure_quality(recording(sound)).dropout_share == 0
    assert measure_quality(recording(lost(sound, 0.3))).dropout_share == pytest.approx(0.3, abs=0.12)
    paused = sound.copy()
    fade = np.minimum(1, np.abs(np.arange(-8_000, 8_000)) / 4_000 - 1).clip(0).astype(np.float32)
    paused[40_000:56_000] *= fade  # half a second of digital silence that fades in and out
    assert measure_quality(recording(paused)).dropout_share == 0


@settings(max_examples=15)
@given(st.integers(0, 1000), st.floats(0.05, 0.9))
def test_level_changes_levels_and_nothing_else(seed, gain):
    sound = voiced(3, seed, level=0.9)
    loud, soft = measure_quality(recording(sound)), measure_quality(recording(np.float32(gain) * sound))
    assert soft.level_dbfs - loud.level_dbfs == pytest.approx(20 * np.log10(gain), abs=0.01)
    assert soft.peak_dbfs - loud.peak_dbfs == pytest.approx(20 * np.log10(gain), abs=0.01)
    assert soft.speech_s == pytest.approx(loud.speech_s, abs=0.1)
    assert soft.snr_db == pytest.approx(loud.snr_db, abs=0.5)
    assert soft.clipped_share == pytest.approx(loud.clipped_share, abs=1e-4)


@settings(max_examples=10)
@given(st.integers(0, 1000))
def test_turning_the_sign_or_adding_silence_changes_no_verdict(seed):
    sound = voiced(3, seed)
    plain = measure_quality(recording(sound))
    turned = measure_quality(recording(-sound))
    padded = measure_quality(recording(np.concatenate([np.zeros(RATE, np.float32), sound])))
    assert turned.speech_s == plain.speech_s
    assert turned.snr_db == pytest.approx(plain.snr_db, abs=1e-3)
    assert padded.speech_s == pytest.approx(plain.speech_s, abs=0.3)
    assert not padded.fatal and padded.silence_share > plain.silence_share + 0.15


def test_more_noise_is_never_less_noise():
    measured = [measure_quality(recording(with_noise(voiced(6), snr))).snr_db for snr in (40, 25, 15, 5, -5)]
    assert all(a > b + 3 for a, b in itertools.pairwise(measured))
    assert measured[2] == pytest.approx(15, abs=4)


def test_speech_is_found_where_it_is():
    samples = np.concatenate([noise(2, level=1e-3), voiced(3), noise(2, level=1e-3)])
    speech = measure_quality(recording(samples)).speech
    assert speech.values[speech.times_s < 1.9].mean() < 0.05
    assert speech.slice(2.1, 4.9).values.mean() > 0.9
    assert speech.values[speech.times_s > 5.1].mean() < 0.05
    assert (speech.hop_s, len(speech)) == (0.02, 350)


def test_known_values():
    quality = measure_quality(recording(tone(1000, 2, level=0.5) + np.float32(0.03)))
    assert quality.peak_dbfs == pytest.approx(20 * np.log10(0.53), abs=0.01)
    assert quality.dc_offset == pytest.approx(0.03, abs=1e-4)
    assert quality.level_dbfs == pytest.approx(20 * np.log10(0.5 / np.sqrt(2)), abs=0.05)
    assert quality.tonal_share == 1.0


@settings(max_examples=20)
@given(st.integers(1, 40_000), st.integers(0, 99))
def test_band_power_of_any_length_is_that_of_the_signal(n, seed):
    samples = noise(3, seed)[:n]
    power = speech_bands.band_power(samples)
    assert power.shape == (max(1, n // 320), 25) and np.isfinite(power).all()
    if n > 8_000:
        assert power.sum(axis=1).mean() == pytest.approx(0.01, rel=0.1)  # noise(): effective value 0.1
    persistence, harmonicity = speech_bands.fine_structure_tracks(samples)
    assert len(harmonicity) == len(persistence) + 2
    assert (np.abs(persistence) <= 1.001).all()


def test_blocks_join_without_a_seam():
    samples = voiced(40)  # several blocks of frames
    whole = speech_bands.band_power(samples)
    later = speech_bands.band_power(samples[320 * 300 :])
    np.testing.assert_allclose(whole[302:-2], later[2:-2], rtol=1e-3, atol=1e-9)
    persistence, harmonicity = speech_bands.fine_structure_tracks(samples)
    moved, turned = speech_bands.fine_structure_tracks(samples[1024 * 300 :])
    np.testing.assert_allclose(persistence[300:], moved, atol=1e-4)
    np.testing.assert_allclose(harmonicity[300:], turned, rtol=1e-3)


def test_a_minute_takes_milliseconds():
    minute = recording(voiced(60))
    measure_quality(minute)
    took = []
    for _ in range(5):
        started = time.perf_counter()
        measure_quality(minute)
        took.append(time.perf_counter() - started)
    assert min(took) < 0.15  # about 15 ms on one core; the margin is for busy machines


def test_limits_have_an_order():
    limits = QUALITY_LIMITS
    assert limits.speech_fatal_s < limits.speech_advice_s
    assert limits.snr_fatal_db < limits.snr_advice_db
    assert limits.tonal_advice < limits.tonal_fatal
    assert limits.clipped_advice < limits.clipped_fatal
    assert limits.bandwidth_fatal_hz < limits.bandwidth_advice_hz
