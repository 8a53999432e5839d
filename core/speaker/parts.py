"""The sound of chosen stretches, cut at exact samples: to hear, to keep, and to examine alone.

Where two stretches meet, two milliseconds fade in and out, so that a cut is no click.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from core.errors import InvalidOption
from core.segments import Segment
from core.spectrum import pcm16

if TYPE_CHECKING:
    from core.audio import Recording
    from core.examine import Examination, Progress

FADE = 32  # samples, 2 ms
LEAST_S = 1.0


def cut(samples: np.ndarray, chosen: Sequence[Segment]) -> np.ndarray:
    """The chosen stretches one after the other. [n] -> float32 [sum of the stretches]."""
    pieces = []
    for segment in chosen:
        first, last = segment.samples
        piece = np.array(samples[first:last], np.float32)
        if len(piece) >= 2 * FADE:
            ramp = (np.sin(np.linspace(0, np.pi / 2, FADE, dtype=np.float32)) ** 2)
            if first > 0:
                piece[:FADE] *= ramp
            if last < len(samples):
                piece[-FADE:] *= ramp[::-1]
        pieces.append(piece)
    return np.concatenate(pieces) if pieces else np.zeros(0, np.float32)


def wav(samples: np.ndarray, chosen: Sequence[Segment]) -> bytes:
    """`cut` as a 16-bit WAV file."""
    return pcm16(cut(samples, chosen))


def as_recording(recording: Recording, chosen: Sequence[Segment], what: str) -> Recording:
    """The chosen stretches as a recording of their own. Raises InvalidOption where they are shorter than a second."""
    from core.audio import read_recording

    seconds = sum(s.stop_s - s.start_s for s in chosen)
    if seconds < LEAST_S:
        raise InvalidOption(f"Only {seconds:.1f} s are chosen; at least {LEAST_S:.0f} s are needed to examine them "
                            "alone. Lower the threshold.")
    stem = recording.name.rsplit(".", 1)[0]
    return read_recording(wav(recording.samples, chosen), f"{stem} ({what}).wav")


def examine_only(recording: Recording, chosen: Sequence[Segment], *, model: str | None = None, device: str = "auto",
                 on_progress: Progress | None = None, cancelled=None) -> Examination:
    """The finding of the chosen stretches alone. Raises as `core.examine.examine`, and InvalidOption for too little."""
    from core.examine import examine

    return examine(as_recording(recording, chosen, "this speaker only"), model=model, device=device,
                   on_progress=on_progress, cancelled=cancelled)
