"""The decoder: every format, the facts it states, its laws, and a reason in words for the unreadable."""

from __future__ import annotations

import hashlib
import time
from dataclasses import replace

import numpy as np
import pytest

from core.audio import SAMPLE_RATE, read_recording, safe_name
from core.errors import UnreadableAudio
from core.settings import LIMITS
from tests.factories import AV_KINDS, RATE, av_bytes, noise, sound_bytes, tone, voiced

SPEECH = voiced(3.0)
LIBSNDFILE_KINDS = [
    ("WAV", "PCM_U8", 8), ("WAV", "PCM_16", 16), ("WAV", "PCM_24", 24), ("WAV", "PCM_32", 32),
    ("WAV", "FLOAT", 32), ("WAV", "DOUBLE", 64), ("WAV", "ULAW", 8), ("WAV", "IMA_ADPCM", None),
    ("RF64", "PCM_16", 16),
    ("W64", "PCM_24", 24), ("FLAC", "PCM_16", 16), ("FLAC", "PCM_24", 24), ("OGG", "VORBIS", None),
    ("AIFF", "PCM_16", 16), ("CAF", "ALAC_16", 16), ("AU", "PCM_16", 16), ("MP3", "MPEG_LAYER_III", None),
]


def _alike(samples: np.ndarray, reference: np.ndarray = SPEECH, lag: int = 400) -> float:
    """Largest correlation within ``lag`` samples (codecs delay), below 4 kHz (some drop the rest)."""
    size = 1 << 17
    a, b = np.fft.rfft(samples, size), np.fft.rfft(reference, size)
    low = slice(0, size // 4)
    cross = np.fft.irfft((a * b.conj())[low], size // 2)
    scale = np.sqrt((np.abs(a[low]) ** 2).sum() * (np.abs(b[low]) ** 2).sum()) / (size // 4)
    return float(np.abs(np.concatenate([cross[:lag], cross[-lag:]])).max() / scale)


# -- formats and facts ---------------------------------------------------------------------------------------

@pytest.mark.parametrize(("kind", "subtype", "depth"), LIBSNDFILE_KINDS)
def test_formats_of_libsndfile(kind, subtype, depth):
    data = sound_bytes(SPEECH, RATE, kind, subtype)
    recording = read_recording(data, f"a.{kind.lower()}")
    facts = recording.facts
    assert (facts.codec, facts.bit_depth, facts.channels, facts.sample_rate_hz) == (subtype, depth, 1, RATE)
    assert facts.decoder.startswith("soundfile") and facts.n_bytes == len(data)
    assert recording.duration_s == pytest.approx(3.0, abs=0.1)
    assert facts.duration_s == pytest.approx(recording.duration_s, abs=0.01)
    assert _alike(recording.samples) > 0.97
    assert recording.warnings == ()


@pytest.mark.parametrize("kind", AV_KINDS)
def test_formats_of_ffmpeg(kind):
    recording = read_recording(av_bytes(SPEECH, kind), f"a.{kind}")
    assert recording.facts.sample_rate_hz == AV_KINDS[kind][2]
    assert recording.duration_s == pytest.approx(3.0, abs=0.15)
    assert recording.facts.bit_rate_bps > 1000
    assert _alike(recording.samples, lag=2000) > (0.55 if kind == "amr" else 0.97)
    assert recording.warnings == ()


def test_the_sound_of_a_video_is_examined():
    recording = read_recording(av_bytes(SPEECH, "mp4", video=True), "clip.mp4")
    assert (recording.facts.container, recording.facts.codec) == ("MP4", "aac")
    assert _alike(recording.samples, lag=2000) > 0.97


def test_only_the_first_of_several_tracks_is_examined_and_said_so():
    recording = read_recording(av_bytes(SPEECH, "mp4", tracks=2))
    assert any("2 audio tracks" in warning for warning in recording.warnings)


@pytest.mark.parametrize(("kind", "container"), [("m4a", "M4A"), ("webm", "WebM"), ("mka", "Matroska"),
                                                 ("amr", "AMR"), ("opus", "OGG")])
def test_containers_have_one_plain_name(kind, container):
    assert read_recording(av_bytes(SPEECH, kind)).facts.container == container


def test_tags_are_plain_bounded_text():
    tags = {"title": "a\u202eb\x07c\nd", "comment": "x" * 5000}
    seen = read_recording(av_bytes(SPEECH, "m4a", tags=tags)).facts.tags
    assert seen["title"] == "abc d"
    assert len(seen["comment"]) == LIMITS.max_tag_chars
    with pytest.raises(TypeError):
        seen["title"] = "changed"


@pytest.mark.parametrize(("rate", "expected"), [(8_000, 4_000), (16_000, 8_000), (44_100, 22_050)])
def test_bandwidth_reaches_the_top_of_wide_band_sound(rate, expected):
    recording = read_recording(sound_bytes(noise(2, rate=rate), rate))
    assert recording.facts.bandwidth_hz == pytest.approx(expected, rel=0.01)


def test_bandwidth_shows_what_was_resampled_from_less():
    import soxr

    up = soxr.resample(soxr.resample(noise(3), RATE, 8_000), 8_000, 44_100)
    assert read_recording(sound_bytes(up, 44_100)).facts.bandwidth_hz == pytest.approx(4_000, rel=0.03)
    click = up.copy()
    click[60_000] = 0.9  # one wide-band click doesn't hide it
    assert read_recording(sound_bytes(click, 44_100)).facts.bandwidth_hz == pytest.approx(4_000, rel=0.03)
    assert read_recording(sound_bytes(np.zeros(RATE, np.float32))).facts.bandwidth_hz == 0


# -- laws ----------------------------------------------------------------------------------------------------

def test_sixteen_bits_at_16_khz_come_through_exactly():
    values = np.random.default_rng(0).integers(-32768, 32768, 20_000).astype(np.int16)
    for kind in ("WAV", "FLAC", "AIFF"):
        np.testing.assert_array_equal(read_recording(sound_bytes(values, RATE, kind)).samples, values / 32768)


def test_the_digest_is_that_of_the_bytes_and_a_path_gives_the_same(tmp_path):
    data = sound_bytes(SPEECH, 44_100, "FLAC")
    path = tmp_path / "speech.flac"
    path.write_bytes(data)
    small = replace(LIMITS, in_memory_bytes=1000, in_memory_s=1.0)  # streamed from disk, kept on disk
    held, read = read_recording(data, "speech.flac"), read_recording(path)
    streamed = read_recording(path, limits=small)
    for recording in (held, read, streamed):
        assert recording.sha256 == hashlib.sha256(data).hexdigest()
        assert recording.name == "speech.flac" and recording.facts == held.facts
        np.testing.assert_array_equal(recording.samples, held.samples)
    assert isinstance(streamed.samples, np.memmap) and not isinstance(held.samples, np.memmap)
    assert path.read_bytes() == data


@pytest.mark.parametrize("block", [50, 777, 50_000])
def test_block_size_makes_no_difference(block):
    stereo = np.stack([voiced(1.0, 1, rate=44_100), voiced(1.0, 2, rate=44_100)], axis=1)
    data = sound_bytes(stereo, 44_100)
    pieces = read_recording(data, limits=replace(LIMITS, block_values=block))
    np.testing.assert_allclose(pieces.samples, read_recording(data).samples, atol=2e-7)


def test_samples_can_not_be_changed():
    for limits in (LIMITS, replace(LIMITS, in_memory_s=0.5)):
        samples = read_recording(sound_bytes(SPEECH), limits=limits).samples
        assert samples.dtype == np.float32 and samples.ndim == 1
        with pytest.raises(ValueError, match="read-only"):
            samples[0] = 1.0


def test_a_tone_keeps_its_pitch_and_level_at_any_rate():
    for rate in (8_000, 11_025, 22_050, 44_100, 48_000, 96_000, 192_000):
        data = sound_bytes(tone(1000, 2, rate=rate, level=0.5), rate, "WAV", "FLOAT")
        samples = read_recording(data).samples
        middle = samples[8_000:24_000]
        expected = np.abs(np.fft.rfft(middle))[1000] / 8_000
        assert expected == pytest.approx(0.5, abs=1e-3), rate


# -- what is odd but readable --------------------------------------------------------------------------------

def test_twelve_channels_are_averaged():
    channels = np.stack([voiced(1.0, seed) for seed in range(12)], axis=1)
    recording = read_recording(sound_bytes(channels, RATE, "WAV", "FLOAT"))
    assert recording.facts.channels == 12
    np.testing.assert_allclose(recording.samples, channels.mean(axis=1), atol=1e-6)
    assert any("different signals" in warning for warning in recording.warnings)


def test_channel_warnings():
    def warned(left, right):
        data = sound_bytes(np.stack([left, right], 1), RATE, "WAV", "FLOAT")
        return " ".join(read_recording(data).warnings)

    assert warned(SPEECH, SPEECH) == ""
    assert "cancel" in warned(SPEECH, -SPEECH)
    assert "20 dB" in warned(SPEECH, 0 * SPEECH)
    assert "different" in warned(SPEECH, noise(3))


@pytest.mark.parametrize(("rate", "subtype"), [(8_000, "PCM_U8"), (192_000, "FLOAT")])
def test_extreme_rates_and_depths(rate, subtype):
    recording = read_recording(sound_bytes(voiced(2.0, rate=rate), rate, "WAV", subtype))
    assert recording.duration_s == pytest.approx(2.0, abs=1e-3)
    assert recording.warnings == ()


def test_float_at_integer_scale_is_read_with_a_warning():
    recording = read_recording(sound_bytes(20_000 * SPEECH, RATE, "WAV", "FLOAT"))
    assert any("full scale" in warning for warning in recording.warnings)


@pytest.mark.parametrize("sound", [np.zeros(RATE, np.float32), np.full(RATE, 0.5, np.float32)])
def test_silence_and_direct_current_are_decoded_for_what_they_are(sound):
    recording = read_recording(sound_bytes(sound))
    np.testing.assert_allclose(recording.samples, sound, atol=1e-4)


def test_a_fifth_of_a_second_is_decoded():
    assert read_recording(sound_bytes(voiced(0.2))).duration_s == pytest.approx(0.2)


@pytest.mark.parametrize(("kind", "data"), [
    ("wav", sound_bytes(SPEECH)), ("flac", sound_bytes(SPEECH, RATE, "FLAC")),
    ("ogg", sound_bytes(SPEECH, RATE, "OGG", "VORBIS")), ("mp3", av_bytes(SPEECH, "mp3")),
    ("m4a with its index first", av_bytes(SPEECH, "m4a-faststart")), ("opus", av_bytes(SPEECH, "opus")),
    ("alac", av_bytes(SPEECH, "alac")[: -5000]), ("mka", av_bytes(SPEECH, "mka")),
])
@pytest.mark.parametrize("share", [0.5, 0.8])
def test_what_is_left_of_a_truncated_file_is_examined_with_a_warning(kind, data, share):
    if kind == "alac":  # its index stood at the end
        with pytest.raises(UnreadableAudio):
            read_recording(data)
        return
    recording = read_recording(data[: int(share * len(data))])
    assert 0.25 * 3 < recording.duration_s < 0.95 * 3
    assert any("cut off" in w or "damaged" in w for w in recording.warnings)
    assert _alike(recording.samples, SPEECH[: len(recording.samples)], lag=2000) > 0.9


@pytest.mark.parametrize(("name", "shown"), [
    ("../../etc/passwd", "passwd"), ("C:\\evil\\a.wav", "a.wav"), ("a\x00b\x1b[31m.wav", "ab[31m.wav"),
    ("\u202egnp.wav\u200f", "gnp.wav"), ("line\nbreak\t.mp3", "line break .mp3"), ("..", "recording"),
    ("", "recording"), ("  /  ", "recording"), (None, "recording"),
    ("déjà vu — 話.flac", "déjà vu — 話.flac"),
    ("\ud800.wav", ".wav"),
])
def test_names_are_made_harmless(name, shown):
    assert safe_name(name) == shown
    assert read_recording(sound_bytes(SPEECH), name).name == shown


def test_long_names_keep_their_suffix():
    assert len(safe_name("a" * 500 + ".flac")) == LIMITS.max_name_chars
    assert safe_name("a" * 500 + ".flac").endswith("….flac")


# -- speed -------------------------------------------------------------------------------------------------

def test_a_minute_decodes_in_milliseconds():
    def best_of(data):
        took = []
        for _ in range(4):
            started = time.perf_counter()
            read_recording(data)
            took.append(time.perf_counter() - started)
        return min(took)

    minute = voiced(60.0)
    assert best_of(sound_bytes(minute)) < 0.06                      # about 4 ms
    stereo = np.repeat(voiced(60.0, rate=44_100)[:, None], 2, axis=1)
    assert best_of(sound_bytes(stereo, 44_100)) < 0.4               # about 30 ms
    assert best_of(sound_bytes(stereo, 44_100, "MP3", None)) < 0.6  # about 55 ms


def test_the_internal_rate_is_sixteen_kilohertz():
    assert SAMPLE_RATE == RATE == 16_000
