"""What can't be decoded, or is too much: one reason in words, quickly, and in bounded memory."""

from __future__ import annotations

import io
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from core.audio import read_recording
from core.errors import UnreadableAudio
from core.settings import LIMITS
from tests.factories import RATE, av_bytes, sound_bytes, voiced

SPEECH = voiced(3.0)


def _code(source, **options) -> str:
    with pytest.raises(UnreadableAudio) as caught:
        read_recording(source, **options)
    message = caught.value.message
    assert message.endswith(".") and "\n" not in message and message.count(". ") == 0
    return caught.value.code


# -- what is unreadable --------------------------------------------------------------------------------------

def _with(values, at=RATE):
    samples = SPEECH.copy()
    samples[at] = values
    return sound_bytes(samples, RATE, "WAV", "FLOAT")


@pytest.mark.parametrize(("data", "code"), [
    (b"", "empty"), (b"Dear examiner, this is a letter. " * 50, "not-audio"), (b"\x00" * 5000, "not-audio"),
    (b"RIFF\x00\x00\x00\x00WAVE", "not-audio"), (b"\x89PNG\r\n\x1a\n" + b"\x00" * 500, "not-audio"),
    (b"#EXTM3U\n#EXTINF:10,\nfile:///etc/passwd\n", "not-audio"),
    (b"ffconcat version 1.0\nfile a.wav\n", "not-audio"),
    (_with(np.nan), "not-finite"), (_with(np.inf), "not-finite"), (_with(-np.inf, -1), "not-finite"),
    (_with(1e9), "implausible-samples"), (sound_bytes(voiced(0.05)), "too-short"),
    (sound_bytes(np.zeros(0, np.float32)), "damaged"), (sound_bytes(SPEECH, 2_000), "sample-rate"),
    (sound_bytes(np.zeros((2000, 100), np.float32)), "channels"),
    (av_bytes(SPEECH, "m4a")[:20_000], "not-audio"),
    (av_bytes(SPEECH, "m4a-faststart")[:1400], "damaged"),
    (sound_bytes(SPEECH, RATE, "FLAC")[:90], "not-audio"),
], ids=lambda value: value if isinstance(value, str) else None)
def test_every_unreadable_file_has_its_reason(data, code):
    seen = _code(data, name="a.wav")
    broken = {"damaged", "not-audio", "too-short"}  # which of them is a matter of the decoder's version
    assert seen == code or {seen, code} <= broken


def test_a_video_without_sound_is_named_as_such():
    import av

    buffer = io.BytesIO()
    with av.open(buffer, "w", format="matroska") as container:
        pictures = container.add_stream("mpeg4", rate=5)
        pictures.width, pictures.height, pictures.pix_fmt = 64, 48, "yuv420p"
        container.mux(pictures.encode(av.VideoFrame(64, 48, "yuv420p")))
        container.mux(pictures.encode(None))
    assert _code(buffer.getvalue()) == "no-audio-track"


def test_paths_that_are_no_files(tmp_path):
    assert _code(tmp_path) == "not-a-file"
    assert _code(tmp_path / "missing.wav") == "missing"
    assert _code("a\x00b.wav") == "missing"


def test_a_playlist_can_not_make_the_decoder_read_another_file(tmp_path):
    secret = tmp_path / "secret.wav"
    secret.write_bytes(sound_bytes(SPEECH))
    for text in (f"#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\n{secret}\n#EXT-X-ENDLIST\n",
                 f"ffconcat version 1.0\nfile '{secret}'\n"):
        playlist = tmp_path / "list.wav"
        playlist.write_text(text)
        assert _code(playlist) == "not-audio"


# -- too much ------------------------------------------------------------------------------------------------

def test_too_many_bytes_are_not_opened(tmp_path):
    path = tmp_path / "big.wav"
    with path.open("wb") as file:
        file.truncate(LIMITS.max_bytes + 1)
    started = time.perf_counter()
    assert _code(path) == "too-large"
    assert time.perf_counter() - started < 1


def _flac_of_silence(seconds: int, declared: int | None = None) -> bytes:
    """Hours in kilobytes; optionally with another total of samples in its header (36 bits at byte 21)."""
    data = bytearray(sound_bytes(np.zeros(seconds * 8_000, np.int16), 8_000, "FLAC"))
    if declared is not None:
        total = declared * 8_000
        data[21] = (data[21] & 0xF0) | (total >> 32)
        data[22:26] = (total & 0xFFFFFFFF).to_bytes(4, "big")
    return bytes(data)


def test_a_decompression_bomb_is_refused_by_what_it_declares_and_by_what_it_does():
    limits = replace(LIMITS, max_duration_s=600.0)
    honest, silent = _flac_of_silence(1200), _flac_of_silence(1200, declared=0)
    lying = _flac_of_silence(1200, declared=5)
    assert len(honest) < 200_000
    assert _code(honest, limits=limits) == "too-long"
    assert _code(silent, limits=limits) == "too-long"
    try:  # a decoder may believe the small number and stop there, or go on and be stopped
        assert read_recording(lying, limits=limits).duration_s < 600
    except UnreadableAudio as error:
        assert error.code == "too-long"
    assert _code(_flac_of_silence(5, declared=100_000)) == "too-long"


def test_hours_of_coded_silence_are_stopped_while_decoding():
    data = av_bytes(np.zeros(300 * RATE, np.float32), "opus")
    webm = av_bytes(np.zeros(300 * RATE, np.float32), "webm")
    for bomb in (data, webm):
        assert _code(bomb, limits=replace(LIMITS, max_duration_s=60.0)) == "too-long"


HOUR = """
import resource, sys
from pathlib import Path
sys.path.insert(0, {root!r})
from core.audio import read_recording
from core.quality import measure_quality
from tests.factories import recording, voiced
measure_quality(recording(voiced(2.0)))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
read = read_recording(Path({path!r}))
decoded = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
quality = measure_quality(read)
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
kind = type(read.samples).__name__
print(read.duration_s, kind, (decoded - before) / 1024, (after - before) / 1024, quality.speech_s)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read in Linux's unit")
def test_an_hour_streams_in_bounded_memory(tmp_path):
    """An hour of 44.1 kHz stereo, 635 MB on disk: decoding adds well under 100 MB."""
    path = tmp_path / "hour.wav"
    block = np.repeat(voiced(30.0, rate=44_100)[:, None], 2, axis=1)
    block = (block * 32767).astype(np.int16)
    with soundfile.SoundFile(path, "w", 44_100, 2, subtype="PCM_16") as file:
        for _ in range(120):
            file.write(block)
    root = str(Path(__file__).parents[2])
    done = subprocess.run([sys.executable, "-c", HOUR.format(root=root, path=str(path))], capture_output=True,
                          text=True, timeout=120, check=True)
    duration, kind, decoding, whole, speech = done.stdout.split()
    assert float(duration) == pytest.approx(3600) and kind == "memmap"
    assert float(decoding) < 100    # MB; about 25
    assert float(whole) < 500       # MB; the samples themselves are 230 MB once they have been looked at
    assert float(speech) > 3000


def test_a_broken_file_prints_no_traceback(capfd):
    for kind, place in (("WAV", 16), ("W64", 40), ("AIFF", 16), ("CAF", 24), ("FLAC", 30), ("AU", 4)):
        for wrong in (b"\xff" * 8, b"\x80" + b"\x00" * 7, b"\x00" * 7 + b"\x80"):
            data = bytearray(sound_bytes(SPEECH, RATE, kind))
            data[place : place + 8] = wrong
            try:
                read_recording(bytes(data))
            except UnreadableAudio as error:
                assert error.message
    assert "Traceback" not in capfd.readouterr().err
