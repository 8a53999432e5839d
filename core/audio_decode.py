"""Two decoders with one shape: soundfile (libsndfile) first, PyAV (FFmpeg) for the rest.

A decoder opens a binary stream and yields blocks of float32 samples; it never resamples, mixes or judges.
Nothing here opens a name or an address found inside a file: PyAV gets a byte stream, a list of plain
containers and no protocols, so playlists can't make it read elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

import numpy as np

from core.audio_facts import clean_tags
from core.errors import UnreadableAudio
from core.settings import Limits


class NotThisDecoder(Exception):
    """The decoder doesn't know these bytes; another may."""


@dataclass
class Opened:
    """An opened stream. ``blocks`` yields (samples [n, channels] float32, rate); a block may be overwritten
    by the next. ``problem`` is set by the iteration when it ended early or had to leave packets out."""

    container: str
    codec: str
    sample_rate_hz: int
    bit_depth: int | None
    channels: int
    declared_s: float | None
    bit_rate_bps: int | None
    tags: dict[str, str]
    decoder: str
    blocks: Iterator[tuple[np.ndarray, int]] = field(default_factory=lambda: iter(()))
    notes: list[str] = field(default_factory=list)
    problem: str | None = None


_DEPTHS = {"PCM_S8": 8, "PCM_U8": 8, "PCM_16": 16, "PCM_24": 24, "PCM_32": 32, "FLOAT": 32, "DOUBLE": 64,
           "ULAW": 8, "ALAW": 8, "ALAC_16": 16, "ALAC_20": 20, "ALAC_24": 24, "ALAC_32": 32}
_TAGS = ("title", "artist", "album", "date", "genre", "comment", "software", "copyright", "license",
         "tracknumber")
_UNKNOWN_FRAMES = 1 << 60  # libsndfile's "length not known"


class _Lenient:
    """A stream for libsndfile: a seek out of bounds, as damaged headers ask for, stays where it is.

    An exception inside its callbacks would be printed as a traceback and then lost.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.read, self.readinto, self.tell = stream.read, stream.readinto, stream.tell

    def seek(self, offset: int, whence: int = 0) -> int:
        try:
            return self._stream.seek(offset, whence)
        except (OSError, ValueError, OverflowError):
            return self._stream.tell()


# wav, rf64, w64, flac, ogg, aiff, caf, au, mp3. libsndfile also takes rarities, some without a signature;
# what only happens to look like one of them must not become a recording.
_KNOWN_HEAD = re.compile(rb"RIF[FX]....WAVE|RF64|riff\x2e\x91\xcf\x11|fLaC|OggS|FORM....AIF[FC]|caff|\.snd"
                         rb"|ID3|\xff[\xe2-\xff]", re.DOTALL)


def open_soundfile(stream: BinaryIO, limits: Limits) -> Opened:
    """Open with libsndfile. Raises NotThisDecoder, also for Opus (FFmpeg is faster)."""
    import soundfile as sf

    stream.seek(0)
    if not _KNOWN_HEAD.match(stream.read(12)):
        raise NotThisDecoder("no container that libsndfile should be trusted with")
    stream.seek(0)
    try:
        sound = sf.SoundFile(_Lenient(stream))
    except (sf.SoundFileError, RuntimeError, TypeError, ValueError, OverflowError) as error:
        raise NotThisDecoder(str(error)) from error
    if sound.subtype == "OPUS":
        raise NotThisDecoder("Opus is left to FFmpeg")
    if sound.samplerate < 1 or sound.channels < 1:
        raise NotThisDecoder("the header names no sample rate or no channel")
    known = 0 <= sound.frames < _UNKNOWN_FRAMES
    tags = {key: getattr(sound, key, "") for key in _TAGS}
    opened = Opened(
        sound.format, sound.subtype, sound.samplerate, _DEPTHS.get(sound.subtype), sound.channels,
        sound.frames / sound.samplerate if known else None, None, clean_tags(tags.items()),
        f"soundfile {sf.__version__}/libsndfile {sf.__libsndfile_version__}",
    )
    opened.blocks = _soundfile_blocks(sound, opened, limits)
    return opened


def _soundfile_blocks(sound, opened: Opened, limits: Limits) -> Iterator[tuple[np.ndarray, int]]:
    import soundfile as sf

    buffer = np.empty((max(1, limits.block_values // sound.channels), sound.channels), np.float32)
    with sound:
        while True:
            try:
                block = sound.read(out=buffer)
            except (sf.SoundFileError, RuntimeError, OSError) as error:
                opened.problem = str(error)
                return
            if not len(block):
                return
            yield block, sound.samplerate


# Containers that hold sound of their own. Playlists, concatenation scripts, image sequences, devices are out.
_FORMATS = ("wav,w64,aiff,au,caf,flac,ogg,mp3,aac,latm,loas,amr,amrnb,amrwb,ac3,eac3,dts,ape,wv,tta,gsm,voc,"
            "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,asf,flv,mpegts,mpeg,mp2")
_SCALES = {"u8": 2.0**-7, "s16": 2.0**-15, "s32": 2.0**-31, "s64": 2.0**-63, "flt": 1.0, "dbl": 1.0}


def open_pyav(stream: BinaryIO, limits: Limits) -> Opened:
    """Open with FFmpeg, first audio track. Raises NotThisDecoder, or UnreadableAudio if there is no track."""
    import av

    stream.seek(0)
    av.logging.set_level(None)  # damage is reported in our own words, not on the terminal
    options = {"format_whitelist": _FORMATS, "protocol_whitelist": "none"}
    try:
        container = av.open(stream, mode="r", options=options, metadata_errors="replace")
    except (av.FFmpegError, ValueError, OSError, UnicodeError) as error:
        raise NotThisDecoder(str(error)) from error
    if not container.streams.audio:
        container.close()
        raise UnreadableAudio("The file has no audio track; choose a file with sound in it.",
                              code="no-audio-track")
    track = container.streams.audio[0]
    context = track.codec_context
    if context is None:
        container.close()
        raise NotThisDecoder("no decoder for the audio track")
    form = container.format.name
    declared = None if form in _ESTIMATED else _pyav_duration(container, track)
    tags = clean_tags([*container.metadata.items(), *track.metadata.items()])
    codec = context.name
    bits = _bit_depth(codec, context.format.name if context.format else "")
    shown = _container_name(stream, form, container.metadata.get("major_brand", ""))
    opened = Opened(
        shown, codec, int(track.rate or 0), bits,
        int(track.channels or 0), declared, int(track.bit_rate or container.bit_rate or 0) or None, tags,
        f"PyAV {av.__version__}/libavcodec {'.'.join(map(str, av.library_versions['libavcodec']))}",
    )
    if len(container.streams.audio) > 1:
        count = len(container.streams.audio)
        opened.notes.append(f"The file has {count} audio tracks; only the first is examined.")
    opened.blocks = _pyav_blocks(container, track, opened, limits)
    return opened


def _bit_depth(codec: str, form: str) -> int | None:
    """Bits per sample where the codec keeps them; 20 and 24 bits look like 32 to FFmpeg's users, so none."""
    if codec.startswith("pcm_"):
        digits = "8" if codec.endswith("law") else "".join(c for c in codec if c.isdigit())
        return int(digits) if digits in ("8", "16", "24", "32", "64") else None
    lossless = codec in ("flac", "alac", "ape", "wavpack", "tta")
    return 16 if lossless and form.startswith("s16") else None


# Streams without an index: FFmpeg guesses their length from the bit rate, so nothing is declared.
_ESTIMATED = {"aac", "ac3", "amr", "amrnb", "amrwb", "dts", "eac3", "latm", "loas", "mp2", "mp3", "mpeg",
              "mpegts"}


def _container_name(stream: BinaryIO, form: str, brand: str) -> str:
    """One plain name where FFmpeg names a family of containers."""
    if form.startswith("mov,"):
        brand = brand.strip().lower()
        return "M4A" if brand.startswith("m4a") else "MOV" if brand == "qt" else brand[:3].upper() \
            if brand.startswith("3g") else "MP4"
    if form.startswith("matroska"):
        place = stream.tell()
        stream.seek(0)
        head = stream.read(64)
        stream.seek(place)
        return "WebM" if b"webm" in head else "Matroska"
    return form.upper()


def _pyav_duration(container, track) -> float | None:
    if track.duration is not None and track.time_base is not None:
        return float(track.duration * track.time_base)
    return container.duration / 1e6 if container.duration else None


def _pyav_blocks(container, track, opened: Opened, limits: Limits) -> Iterator[tuple[np.ndarray, int]]:
    """Frames gathered into blocks of one rate and channel count; damaged packets are left out and counted."""
    pending: list[np.ndarray] = []
    held = 0
    shape: tuple[int, int] | None = None  # (rate, channels)
    with container:
        for frame in _pyav_frames(container, track, opened, limits):
            samples = _frame_samples(frame)
            this = (frame.sample_rate, samples.shape[1])
            if pending and (this != shape or held >= limits.block_values):
                yield np.concatenate(pending), shape[0]
                pending, held = [], 0
            shape = this
            pending.append(samples)
            held += samples.size
        if pending:
            yield np.concatenate(pending), shape[0]


def _pyav_frames(container, track, opened: Opened, limits: Limits) -> Iterator:
    import av

    good = bad = 0
    try:
        for packet in container.demux(track):
            try:
                frames = packet.decode()
            except (av.FFmpegError, ValueError):
                bad += 1
                continue
            good += bool(frames)
            yield from frames
    except (av.FFmpegError, OSError, ValueError) as error:
        opened.problem = str(error)
    if bad:
        opened.problem = f"{bad} damaged packets were left out"
        if bad > limits.max_damaged_share * (good + bad):
            raise UnreadableAudio("Most of the file is damaged; ask for another copy of it.", code="damaged")


def _frame_samples(frame) -> np.ndarray:
    """Samples of a PyAV frame as float32 [n, channels] in [-1, 1]."""
    values = frame.to_ndarray()  # planar: (channels, n); packed: (1, n * channels)
    kind = frame.format.name.removesuffix("p")
    values = values.T if frame.format.is_planar else values.reshape(-1, frame.layout.nb_channels)
    if kind in ("flt", "dbl"):
        return values.astype(np.float32, copy=False)
    offset = 128.0 if kind == "u8" else 0.0
    return (values.astype(np.float32 if kind in ("u8", "s16") else np.float64) - offset).astype(np.float32) \
        * np.float32(_SCALES[kind])
