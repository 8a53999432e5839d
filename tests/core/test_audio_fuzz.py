"""Property-based tests of the decoder: whatever the bytes, a recording or one sentence; laws."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from core.audio import Recording, read_recording, safe_name
from core.errors import UnreadableAudio
from core.settings import LIMITS, Limits
from tests.factories import AV_KINDS, RATE, av_bytes, sound_bytes, voiced

SHORT = Limits(max_duration_s=600.0)
_SPEECH = voiced(0.6)
VALID = [av_bytes(_SPEECH, kind) for kind in AV_KINDS] + [
    sound_bytes(_SPEECH, RATE, kind, subtype) for kind, subtype in [
        ("WAV", "PCM_16"), ("WAV", "FLOAT"), ("WAV", "PCM_U8"), ("WAV", "MS_ADPCM"), ("WAV", "GSM610"),
        ("RF64", "PCM_24"), ("W64", "PCM_16"), ("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("AIFF", "PCM_16"),
        ("CAF", "ALAC_16"), ("AU", "ULAW"), ("MP3", None)]]


def _examine(data: bytes, name: str | None = "x.wav") -> Recording | None:
    """Decode; check what must hold of any recording, or of any refusal (None)."""
    try:
        recording = read_recording(data, name, limits=SHORT)
    except UnreadableAudio as error:
        assert error.code and error.message.endswith(".")
        assert "\n" not in error.message and ". " not in error.message
        return None
    samples = recording.samples
    assert samples.dtype == np.float32 and samples.ndim == 1 and not samples.flags.writeable
    assert np.isfinite(samples).all()
    assert recording.sha256 == hashlib.sha256(data).hexdigest()
    assert SHORT.min_decodable_s - 0.001 <= recording.duration_s <= SHORT.max_duration_s + 0.1
    assert recording.duration_s == pytest.approx(recording.facts.duration_s, abs=0.02)
    assert recording.facts.n_bytes == len(data) and recording.facts.channels >= 1
    assert 0 <= recording.facts.bandwidth_hz <= recording.facts.sample_rate_hz / 2 + 1
    return recording


@settings(max_examples=150)
@given(st.binary(max_size=4000))
@example(b"\xff\xfb\x90\x00" * 200)
@example(b"ID3\x04\x00\x00\x7f\x7f\x7f\x7f" + b"\x00" * 100)
@example(b"#!AMR\n" + b"\x3c" * 3000)
@example(b"OggS" + b"\x00" * 300)
def test_any_bytes_are_a_recording_or_a_sentence(data):
    _examine(data)


@settings(max_examples=400)
@given(st.sampled_from(VALID), st.data())
def test_damaged_files_are_a_recording_or_a_sentence(data, draw):
    damaged = bytearray(data)
    for _ in range(draw.draw(st.integers(1, 8))):
        place = draw.draw(st.integers(0, len(damaged) - 1) | st.integers(0, min(200, len(damaged) - 1)))
        kind = draw.draw(st.sampled_from(["byte", "word", "cut", "drop", "insert"]))
        if kind == "byte":
            damaged[place] = draw.draw(st.sampled_from([0, 1, 127, 128, 255]) | st.integers(0, 255))
        elif kind == "word":
            damaged[place : place + 4] = draw.draw(st.sampled_from(
                [b"\xff" * 4, b"\x00" * 4, b"\xff\xff\xff\x7f", b"\x7f\xff\xff\xff", b"\x00\x00\x00\x80"]))
        elif kind == "cut":
            del damaged[max(1, place) :]
        elif kind == "drop":
            del damaged[place : place + draw.draw(st.integers(1, 300))]
        else:
            damaged[place:place] = draw.draw(st.binary(min_size=1, max_size=50))
        assume(damaged)
    _examine(bytes(damaged))


@settings(max_examples=100)
@given(st.sampled_from(VALID), st.sampled_from(VALID), st.floats(0, 1), st.floats(0, 1))
def test_two_files_run_together_are_a_recording_or_a_sentence(first, second, cut, start):
    _examine(first[: int(cut * len(first))] + second[int(start * len(second)) :])


FLOATS = st.floats(width=32, allow_nan=True, allow_infinity=True)


@settings(max_examples=150)
@given(arrays(np.float32, st.tuples(st.integers(1600, 3200), st.integers(1, 4)), elements=FLOATS,
              fill=st.just(0.25)))
def test_any_float_samples_are_finite_in_the_end_or_refused(samples):
    recording = _examine(sound_bytes(samples, RATE, "WAV", "FLOAT"))
    sane = np.isfinite(samples).all() and np.abs(samples).max() <= LIMITS.max_abs_sample
    assert (recording is not None) == sane
    if recording is not None:
        average = samples.mean(axis=1, dtype=np.float64)
        np.testing.assert_allclose(recording.samples, average, rtol=1e-4, atol=1e-2)


@settings(max_examples=60)
@given(st.integers(4_000, 200_000), st.floats(0.1, 1.0), st.integers(1, 5), st.integers(0, 99))
def test_duration_survives_resampling_and_channels_are_averaged_first(rate, seconds, channels, seed):
    rng = np.random.default_rng(seed)
    samples = (0.3 * rng.standard_normal((int(np.ceil(seconds * rate)), channels))).astype(np.float32)
    many = read_recording(sound_bytes(samples, rate, "WAV", "FLOAT"))
    assert abs(len(many.samples) - len(samples) * RATE / rate) <= 1
    one = read_recording(sound_bytes(samples.mean(axis=1), rate, "WAV", "FLOAT"))
    np.testing.assert_allclose(many.samples, one.samples, atol=1e-5)
    assert many.facts.channels == channels and many.facts.sample_rate_hz == rate


@settings(max_examples=40)
@given(st.floats(0.01, 3.0), st.integers(8_000, 96_000))
def test_decoding_is_linear_in_level(gain, rate):
    sound = voiced(0.4, rate=rate)
    plain = read_recording(sound_bytes(sound, rate, "WAV", "FLOAT")).samples
    scaled = read_recording(sound_bytes(np.float32(gain) * sound, rate, "WAV", "FLOAT")).samples
    np.testing.assert_allclose(scaled, gain * plain, atol=1e-5 * gain)


@settings(max_examples=40)
@given(st.integers(3, 60_000), st.sampled_from([8_000, 16_000, 22_050, 44_100]), st.integers(1, 3))
def test_pieces_make_the_whole(block, rate, channels):
    samples = np.stack([voiced(0.5, seed, rate=rate) for seed in range(channels)], axis=1)
    data = sound_bytes(samples, rate)
    pieces = read_recording(data, limits=Limits(block_values=block, in_memory_s=0.2))
    np.testing.assert_allclose(pieces.samples, read_recording(data).samples, atol=3e-7)


@given(st.text(max_size=300))
def test_any_name_becomes_harmless_and_stays_so(name):
    shown = safe_name(name)
    assert 0 < len(shown) <= LIMITS.max_name_chars
    assert shown.isprintable() and not set("/\\") & set(shown) and shown not in (".", "..")
    assert safe_name(shown) == shown
