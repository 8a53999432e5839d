"""From a recording to the encoder's hidden states, once, for every analysis to share.

Windows of equal length go through the encoder together; a shorter last one goes alone. The states are kept as
fp16: in memory up to ``Limits.states_in_memory_bytes``, otherwise in a private temporary file that is read
batch by batch and vanishes with the ``Encoding``. What the states mean is for the analyses.

Memory: beside the store, one batch of samples, mel and states, however long the recording. Measured with
three states of width 512 and eight windows at a time: an hour has 0.55 GB of states, which live in the file,
and the whole process peaks at 0.77 GB, of which 0.34 GB are the libraries and the network and 0.23 GB the
mapped samples.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from core.errors import Cancelled, UnreadableAudio
from core.frames import Window, plan_windows
from core.settings import LIMITS, Limits

if TYPE_CHECKING:
    import torch

    from core.audio import Recording
    from models.registry import Detector

BATCH = 8  # windows; measured on two cores: fewer waste time on calls, more don't fit the caches
FP16_MAX = 65_504.0


class _Store:
    """A flat array of fp16 values, in memory or in a private temporary file. One writer, any number of
    readers."""

    def __init__(self, n_values: int, limit_bytes: int) -> None:
        self.in_memory = 2 * n_values <= limit_bytes
        self._values = np.empty(n_values if self.in_memory else 0, np.float16)
        self._file = None if self.in_memory else tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - lives with us
        self._lock = threading.Lock()

    def write(self, first: int, values: np.ndarray) -> None:
        if self._file is None:
            self._values[first : first + values.size] = values.ravel()
            return
        data = memoryview(np.ascontiguousarray(values)).cast("B")
        with self._lock:
            self._file.seek(2 * first)
            while data:
                data = data[self._file.write(data):]

    def read(self, first: int, stop: int) -> np.ndarray:
        """Values [first, stop); in memory a view, not to be written to."""
        if self._file is None:
            return self._values[first:stop]
        values = np.empty(stop - first, np.float16)
        data = memoryview(values).cast("B")
        with self._lock:
            self._file.seek(2 * first)
            while data:
                count = self._file.readinto(data)
                if not count:
                    raise OSError("The temporary file of hidden states was cut short; examine it again.")
                data = data[count:]
        return values


@dataclass(eq=False)
class Encoding:
    """Hidden states of one recording, window by window.

    ``frames[i]`` is T of window i; its frame t is centred on sample ``windows[i].start + 16000 (start_s + t
    hop_s)``. Reading is safe from several threads.
    """

    recording_sha256: str
    model: str  # name of the detector
    adapters: bool  # whether the adapters were on
    windows: tuple[Window, ...]
    hop_s: float = 0.02
    start_s: float = 0.0  # centre of a window's frame 0 from the window's start
    n_layers: int = 0  # L
    n_features: int = 0  # F
    frames: tuple[int, ...] = ()
    batch_size: int = BATCH
    _store: _Store | None = field(default=None, repr=False)

    @property
    def n_bytes(self) -> int:
        """Bytes of states held in memory."""
        return self._store._values.nbytes if self._store else 0

    @property
    def in_memory(self) -> bool:
        """False where the states live in a temporary file."""
        return self._store is None or self._store.in_memory

    def batch(self, i0: int, i1: int) -> torch.Tensor:
        """States of windows [i0, i1), float32 (B, L, T, F) on the CPU. Raises ValueError unless 0 <= i0 < i1
        <= the number of windows and all have the same T."""
        import torch

        if not 0 <= i0 < i1 <= len(self.windows):
            raise ValueError(f"There are {len(self.windows)} windows; [{i0}, {i1}) is no stretch of them.")
        if len(set(self.frames[i0:i1])) > 1:
            raise ValueError(f"Windows [{i0}, {i1}) differ in length; read them one by one or use batches().")
        first = self._offset(i0)
        shape = (i1 - i0, self.n_layers, self.frames[i0], self.n_features)
        values = self._store.read(first, first + int(np.prod(shape)))
        return torch.from_numpy(values).view(shape).float()  # (B, L, T, F), a copy

    def batches(self, size: int | None = None) -> Iterator[tuple[range, torch.Tensor]]:
        """All windows in order as (indices, states (B, L, T, F)), up to ``size`` windows of equal length at
        once."""
        for indices in _groups(self.frames, size or self.batch_size):
            yield indices, self.batch(indices.start, indices.stop)

    def _offset(self, i: int) -> int:
        """Place of window i in the store; all windows but the last have the same T."""
        return i * self.frames[0] * self.n_layers * self.n_features


def encode(recording: Recording, detector: Detector, *, adapters: bool = True,
           on_progress: Callable[[float], Any] | None = None, cancelled: Callable[[], bool] | None = None,
           batch: int = BATCH, limits: Limits = LIMITS, coarse: bool = False) -> Encoding:
    """Run the detector's encoder over a whole recording.

    adapters : with the detector's adapters, or the bare encoder
    on_progress : called after each batch with the share done, 0..1
    cancelled : asked before each batch
    batch : windows per forward pass
    coarse : compute in bf16 where the processor does that by itself, for analyses that average over time

    Raises Cancelled, and UnreadableAudio (code ``too-short``) for less than one frame.
    """
    encoder = detector.network.encoder
    windows = plan_windows(len(recording.samples))
    frames = tuple(encoder.n_frames(window.n_samples) for window in windows)
    if not windows or min(frames) < 1:
        raise UnreadableAudio("The recording is too short for the detector; use a longer one.",
                              code="too-short")
    per_frame = encoder.n_layers * encoder.n_features
    encoding = Encoding(recording.sha256, detector.name, adapters, windows, encoder.hop_s, encoder.start_s,
                        encoder.n_layers, encoder.n_features, frames, batch,
                        _Store(sum(frames) * per_frame, limits.states_in_memory_bytes))
    for indices in _groups([window.n_samples for window in windows], batch):
        if cancelled is not None and cancelled():
            raise Cancelled()
        samples = np.stack([recording.samples[windows[i].start : windows[i].stop] for i in indices])
        states = forward(detector, samples, adapters=adapters, coarse=coarse)  # (B, L, T, F)
        encoding._store.write(encoding._offset(indices.start), states)
        if on_progress is not None:
            on_progress(indices.stop / len(windows))
    return encoding


def forward(detector: Detector, samples: np.ndarray, *, adapters: bool = True, coarse: bool = False) -> np.ndarray:
    """One batch through the encoder under the detector's lock: samples (B, N) float32 -> fp16 (B, L, T, F).

    bf16 on cuda, and where ``coarse`` on processors that have it; fp32 elsewhere. Values beyond fp16's range are
    clipped to it.
    """
    import torch

    device = detector.device
    bf16 = device.type == "cuda" or (coarse and device.type == "cpu" and bf16_processor())
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=bf16)
    with detector.lock, torch.inference_mode(), autocast:
        wav = torch.from_numpy(np.ascontiguousarray(samples, dtype=np.float32)).to(device)  # (B, N)
        states = detector.network.encode(wav, adapters=adapters)  # (B, L, T, F)
        return states.clamp(-FP16_MAX, FP16_MAX).to("cpu", torch.float16).numpy()


@lru_cache(maxsize=1)
def bf16_processor() -> bool:
    """Whether this processor multiplies in bf16 by itself (two to four times as fast); elsewhere it would be slower."""
    import torch

    found = torch.cpu.get_capabilities()
    return bool(found.get("avx512_bf16") or found.get("amx_bf16"))


def _groups(lengths: list[int] | tuple[int, ...], size: int) -> Iterator[range]:
    """Consecutive indices of equal length, at most ``size`` in a group."""
    edges = [0, *(i for i, (a, b) in enumerate(pairwise(lengths), 1) if a != b), len(lengths)]
    for first, stop in pairwise(edges):
        for start in range(first, stop, size):
            yield range(start, min(start + size, stop))
