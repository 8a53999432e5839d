"""The only caches of the screens, all bounded and keyed by digest, and the jobs that fill the large ones.

Streamlit hashes large arrays from a sample, so recordings are never part of a key: the sha256 of the original
bytes is, and the object rides along under a name with a leading underscore. Recordings and examinations live
in the job registry (``core.jobs``), which bounds them by count and by bytes; nothing large is kept per
browser session.
"""

from __future__ import annotations

import base64
import hashlib
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import streamlit as st

from core import jobs
from core.jobs import Job
from core.spectrum import overview, pcm16

REEL = 300 * 16_000  # samples of sound per media file; a multiple of what the player fetches at a time


@st.cache_resource(max_entries=16, show_spinner=False)
def player_overview(digest: str, _recording: Any) -> dict:
    """Waveform peaks and spectrogram of a recording, ready for the player: at most some 300 kB."""
    seen = overview(_recording.samples)
    return {
        "columns": len(seen.image),
        "column_s": seen.column_s,
        "peaks": base64.b64encode(seen.peaks.tobytes()).decode(),
        "image": base64.b64encode(seen.image.tobytes()).decode(),
    }


@st.cache_resource(max_entries=10, show_spinner=False)
def reel(digest: str, index: int, _recording: Any) -> bytes:
    """Five minutes of the working copy as a 16-bit WAV file (at most 9.6 MB)."""
    return pcm16(_recording.samples[index * REEL : (index + 1) * REEL])


@st.cache_resource(max_entries=160, show_spinner=False)
def figure(kind: str, key: tuple, _make: Callable[[], Any]) -> Any:
    """A figure, or anything else that is drawn from a finished result; ``key`` names the result and the
    parameters.
    """
    return _make()


@st.cache_data(show_spinner=False)
def examples() -> list[dict]:
    """The bundled examples, in the order of the walk-through; empty when the folder is missing."""
    import json

    root = Path(__file__).resolve().parents[2] / "examples"
    try:
        entries = json.loads((root / "examples.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    entries = entries["examples"] if isinstance(entries, dict) else entries
    return [
        entry | {"path": str(root / entry["file"])} for entry in entries if (root / entry["file"]).is_file()
    ]


@st.cache_resource(max_entries=24, show_spinner=False)
def track_table(key: tuple, what: str, _track: Any) -> Any:
    """A track as a table of at most 3,000 rows (longer ones are averaged; the JSON download has every
    frame).
    """
    import numpy as np

    from core.spectrum import pool

    pooled = pool(_track.values, max_points=3_000)
    times = _track.start_s + ((np.arange(len(pooled.mean)) + 0.5) * pooled.factor - 0.5) * _track.hop_s
    columns = {"time, s": np.round(times, 3), what: np.round(pooled.mean, 3)}
    if pooled.low is not None:
        columns |= {"least": np.round(pooled.low, 3), "greatest": np.round(pooled.high, 3)}
    return columns


@st.cache_data(max_entries=8, show_spinner=False)
def error_rates(model: str) -> list[tuple[str, str, str]]:
    """(what was measured, value, interval) from the model card; empty where the card is silent."""
    from core import model_card
    from models.registry import read_card

    return model_card.error_rates(read_card(model))


def digest_of(source: bytes | memoryview | Path) -> str:
    """sha256 of a file's bytes, in hexadecimal."""
    if isinstance(source, Path):
        with source.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    return hashlib.sha256(source).hexdigest()


def read(digest: str, name: str, source: bytes | Path) -> Job:
    """The job that decodes a recording and measures its quality; its result is ``(Recording, Quality)``."""

    def work(job: Job) -> tuple:
        from core.audio import read_recording
        from core.quality import measure_quality

        job.report(0.05, "decoding")
        recording = read_recording(source, name)
        job.report(0.7, "measuring quality")
        return recording, measure_quality(recording)

    return jobs.submit(("read", digest), work, lane="quick", weigh=lambda result: _weight(result[0].samples))


def under_name(found: Any, name: str) -> Any:
    """A recording, or an examination of one, under the name that this session knows the bytes by.

    Results are shared by everyone who has the same bytes; what somebody else called the file is not.
    """
    if hasattr(found, "recording"):
        return replace(found, recording=under_name(found.recording, name))
    return found if found.name == name else replace(found, name=name)


def reading(digest: str) -> Job | None:
    """The decoding job of a recording, if it is still known."""
    return jobs.find(("read", digest))


def examine(recording: Any, *, device: str = "auto") -> Job:
    """The job that examines a recording with the default model; its result is an ``Examination``."""

    def work(job: Job) -> Any:
        job.report(0.0, "loading the detector")
        from core.examine import examine as run

        return run(recording, device=device, on_progress=job.report, cancelled=job.cancelled)

    return jobs.submit(("examine", recording.sha256, device), work, weigh=_weigh_examination)


def examining(digest: str, *, device: str = "auto") -> Job | None:
    """The examination's job, if one was started and is still known."""
    return jobs.find(("examine", digest, device))


def without_adapters(examination: Any, *, device: str = "auto") -> Job:
    """The job that encodes a recording a second time with the adapters off; its result is an
    ``EntropyAnalysis``.
    """

    def work(job: Job) -> Any:
        from core.encode import encode
        from core.entropy import analyse_entropy

        detector = loaded(examination.model, device)
        encoding = encode(
            examination.recording,
            detector,
            adapters=False,
            cancelled=job.cancelled,
            on_progress=lambda share, *words: job.report(0.9 * share, "encoding without the adapters"),
        )
        job.report(0.92, "measuring the entropy")
        return analyse_entropy(encoding, examination.recording, detector)

    key = ("without adapters", examination.recording.sha256, examination.weights_sha256, device)
    return jobs.submit(key, work, weigh=lambda result: _weight(result.entropy_map))


def loaded(name: str | None = None, device: str = "auto") -> Any:
    """A detector, by default the embedded one; the registry keeps it, so this is quick after an examination.

    Raises ModelUnavailable with a sentence for the user.
    """
    from core.examine import detector_for
    from models import registry

    return detector_for(name or registry.DEFAULT_MODEL, device)


@st.cache_resource(show_spinner=False)
def warm_up() -> threading.Timer:
    """Once per process and a moment after the first page: load the libraries and the detector in the
    background.
    """

    def work(job: Job) -> None:
        from core import figures

        figures.lr_axis(0.0, -1.0, 1.0, bounds=(-2.0, 2.0), bands=[(0.0, 1.0, "")]).to_json()
        loaded()

    timer = threading.Timer(0.7, lambda: jobs.submit(("warm-up",), work, lane="quick"))
    timer.daemon = True
    timer.start()
    return timer


def _weight(array: Any) -> int:
    """Bytes that an array holds in memory; a memory map holds none."""
    import numpy as np

    return 0 if isinstance(array, np.memmap) else int(getattr(array, "nbytes", 0))


def _weigh_examination(examination: Any) -> int:
    """Bytes of an examination beyond its recording: hidden states in memory and the entropy map."""
    return examination.encoding.n_bytes + _weight(examination.entropy.entropy_map)
