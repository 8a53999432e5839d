"""A network from samples to logits, with a card, as a ``ClipDetector``: windows, streaming, refusals, notes.

What every family that users bring has in common. A score is the bona fide logit less the other one, the natural log
odds that the network gives by itself: not a likelihood ratio. It is kept back until known clips have confirmed which
way it points, and marked raw until it is calibrated. The whole recording is heard, window by window.
"""

from __future__ import annotations

import hashlib
import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core.calibrate import Calibration
from core.detectors.base import Opinion
from core.detectors.card import WHOLE_S, Card
from core.errors import Cancelled, ModelUnavailable
from core.frames import SAMPLE_RATE, Window, format_time, plan_windows

if TYPE_CHECKING:
    import torch

    from core.audio import Recording
    from core.detectors.polarity import Polarity
    from core.encode import Encoding

Progress = Callable[[float], Any]
SATURATED = 24 * math.log(2.0)  # nats: beyond it a softmax in single precision says exactly 0 or 1
KEPT = 4_096  # recordings whose window scores are remembered
_kept: OrderedDict[tuple, np.ndarray] = OrderedDict()
_kept_lock = threading.Lock()


def scoring_digest(files_sha256: str, terms: Card) -> str:
    """Digest of weights and of the card's fields that a raw score depends on."""
    return hashlib.sha256(f"{files_sha256}\n{terms.scoring_sha256}".encode()).hexdigest()


def refusal_of(terms: Card, n_logits: int, polarity: Polarity | None) -> str:
    """Why no score may be shown yet, in one sentence; empty where it may."""
    missing = terms.missing(n_logits)
    if missing:
        return f"Its card doesn't say: {', '.join(missing)}; complete it before this detector is used."
    if polarity is None:
        return "Known clips haven't confirmed yet which logit means spoof; run the polarity check first."
    return "" if polarity.usable else polarity.sentence


@dataclass(eq=False)
class NetworkDetector:
    """One checkpoint with its card. Hold ``lock`` around every use of ``network``.

    network: wav (B, N) at 16 kHz -> logits (B, n_logits); terms: the card as read and completed by the user; polarity:
    the last check for these terms; shortest: samples that give a logit at all.
    """

    name: str
    path: Path
    family: str
    network: Callable[[torch.Tensor], torch.Tensor]
    n_logits: int
    terms: Card
    device: torch.device
    files_sha256: str
    polarity: Polarity | None = None
    calibration: Calibration | None = None
    calibration_sha256: str = ""
    measured: Mapping[str, Any] | None = None
    remarks: tuple[str, ...] = ()
    shortest: int = 1
    batch: int = 2
    lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def title(self) -> str:
        return self.terms.title or self.name

    @property
    def card(self) -> Mapping[str, Any]:
        return self.terms.to_json()

    @property
    def scoring_sha256(self) -> str:
        """Digest of everything that the raw score depends on."""
        return scoring_digest(self.files_sha256, self.terms)

    @property
    def content_sha256(self) -> str:
        """Digest of everything that the opinion depends on."""
        state = self.polarity.state if self.polarity else ""
        return hashlib.sha256(f"{self.scoring_sha256}\n{self.calibration_sha256}\n{state}".encode()).hexdigest()

    @property
    def refusal(self) -> str:
        """Why no score may be shown yet, in one sentence; empty where it may."""
        return refusal_of(self.terms, self.n_logits, self.polarity)

    # ---- from samples to scores ----

    def plan(self, n_samples: int) -> tuple[Window, ...]:
        """The windows that a recording of this length is heard in; together they cover all of it."""
        length = WHOLE_S if self.terms.crop in ("whole", None) else (self.terms.crop_s or WHOLE_S)
        size = max(1, round(length * SAMPLE_RATE))
        return plan_windows(n_samples, window=size, min_window=size)  # the last one is moved back, not cut short

    def fit(self, wav: torch.Tensor) -> torch.Tensor:
        """One window (B, N) to what the network hears: repeated until it is full where the card says so."""
        size = self.shortest
        if self.terms.crop == "tiled":
            size = max(size, round((self.terms.crop_s or 0.0) * SAMPLE_RATE))
        if wav.shape[1] >= size:
            return wav
        return wav.repeat(1, -(-size // max(1, wav.shape[1])))[:, :size]

    def logit_difference(self, logits: torch.Tensor) -> torch.Tensor:
        """Logits (B, K) -> bona fide less all the others' (B,). Without a card, the last logit counts as bona fide.

        Raises ModelUnavailable where card and logits contradict each other.
        """
        index = self.terms.bona_fide_logit(self.n_logits)
        if self.n_logits == 1:
            return -logits[:, 0] if index == -1 else logits[:, 0]
        index = self.n_logits - 1 if index is None else index
        others = [i for i in range(self.n_logits) if i != index]
        return logits[:, index] - logits[:, others].logsumexp(1)

    def window_scores(self, wav: torch.Tensor) -> torch.Tensor:
        """wav (B, N) at 16 kHz -> mean over its windows (B,), differentiable. Not held back by the polarity check.

        Raises ValueError for an empty input.
        """
        parts = [self.logit_difference(self.network(self.fit(wav[:, w.start : w.stop])))
                 for w in self.plan(wav.shape[1])]
        if not parts:
            raise ValueError("there are no samples to score")
        return sum(parts) / len(parts)

    def listen(self, recording: Recording, *, on_progress: Progress | None = None,
               cancelled: Callable[[], bool] | None = None) -> tuple[tuple[Window, ...], np.ndarray]:
        """(windows, their raw scores [W]) of a whole recording, in bounded memory, whatever the polarity check says.

        Raises Cancelled, ModelUnavailable.
        """
        windows, key = self.plan(len(recording.samples)), (self.scoring_sha256, str(self.device), recording.sha256)
        with _kept_lock:
            if key in _kept:
                _kept.move_to_end(key)
                return windows, _kept[key]
        scores = np.concatenate(list(self._stream(recording, windows, on_progress, cancelled)) or [np.zeros(0)])
        if not np.isfinite(scores).all() or not len(scores):
            raise ModelUnavailable(f"{self.name} gives no finite number for this recording; it can't be used on it.")
        with _kept_lock:
            _kept[key] = scores
            while len(_kept) > KEPT:
                _kept.popitem(last=False)
        return windows, scores

    def _stream(self, recording: Recording, windows: tuple[Window, ...], on_progress: Progress | None,
                cancelled: Callable[[], bool] | None) -> Iterator[np.ndarray]:
        import torch

        for first in range(0, len(windows), self.batch):
            if cancelled is not None and cancelled():
                raise Cancelled()
            group = windows[first : first + self.batch]
            samples = np.stack([recording.samples[w.start : w.stop] for w in group])  # (B, N)
            try:
                with self.lock, torch.inference_mode():
                    wav = torch.from_numpy(np.ascontiguousarray(samples, dtype=np.float32)).to(self.device)
                    scores = self.logit_difference(self.network(self.fit(wav)).float())
                    yield scores.double().cpu().numpy()
            except (RuntimeError, ValueError) as problem:
                raise ModelUnavailable(f"{self.name} can't hear this recording ({_first_words(problem)}).") from problem
            if on_progress is not None:
                on_progress(min(1.0, (first + len(group)) / len(windows)))

    # ---- the opinion ----

    def opinion(self, recording: Recording, encoding: Encoding | None = None, *, on_progress: Progress | None = None,
                cancelled: Callable[[], bool] | None = None) -> Opinion:
        """Listen to the whole recording. Without a verified polarity there is no score, and a note says why.

        Raises Cancelled, ModelUnavailable.
        """
        if self.refusal:
            return self._opinion(recording, None, None, (), np.zeros(0), (self.refusal,))
        windows, scores = self.listen(recording, on_progress=on_progress, cancelled=cancelled)
        score = float(scores.mean())
        llr = None if self.calibration is None else self.calibration.apply(score)
        return self._opinion(recording, score, llr, windows, scores, self._notes(recording, scores))

    def _opinion(self, recording: Recording, score: float | None, llr: Any, windows: tuple[Window, ...],
                 scores: np.ndarray, notes: tuple[str, ...]) -> Opinion:
        bounds = self.calibration.bounds if self.calibration is not None and score is not None else None
        return Opinion(self.name, self.title, self.content_sha256, score, llr, bounds, windows, scores,
                       saturated=bool((np.abs(scores) > SATURATED).any()), notes=notes,
                       exposure=self.terms.exposure or "not known")

    def _notes(self, recording: Recording, scores: np.ndarray) -> tuple[str, ...]:
        notes = list(self.remarks)
        if self.calibration is None:
            notes.append("Raw score: not calibrated, so its size has no meaning of its own and no strength of evidence "
                         "follows from it.")
        over = int((np.abs(scores) > SATURATED).sum())
        if over:
            notes.append(f"Saturated in {over} of {len(scores)} windows: as a probability its output is exactly 0 or 1 "
                         "there, so how large the score is says nothing.")
        if self.terms.crop == "tiled" and len(scores) > 1:
            notes.append(f"Its authors score the first {self.terms.crop_s:.2f} s of a file (here {scores[0]:+.2f}); here "
                         f"all {format_time(recording.duration_s)} are heard, and the score is the mean of "
                         f"{len(scores)} windows.")
        if self.terms.crop == "whole" and len(scores) > 1:
            notes.append(f"It hears recordings whole; this one was cut into {len(scores)} windows of {WHOLE_S:.0f} s.")
        if (self.terms.sample_rate_hz or 0) > SAMPLE_RATE:
            notes.append("It was trained at a higher sample rate than the 16 kHz of the working copy; above 8 kHz it "
                         "hears nothing here.")
        if not self.terms.exposure:
            notes.append("What it was trained on isn't known, so this recording or its system may have been among it.")
        return tuple(notes)


def _first_words(problem: Exception) -> str:
    return (str(problem).strip().splitlines() or [type(problem).__name__])[0][:160]


def forget() -> None:
    """Drop remembered window scores (tests)."""
    with _kept_lock:
        _kept.clear()
