"""The two detectors that retrieve: RAD, and the training-free nearest-neighbour score as its honest baseline.

Both hear what the reference library's encoder hears (without adapters) and both refuse where a recording fails a fatal
quality check, so that no score is shown for what can't carry one. What they answer depends on the library and on what a
case adds to it or takes away: ``score_view`` takes such a view and costs milliseconds, because the encoding is shared.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core.calibrate import Calibration
from core.detectors.base import Opinion
from core.errors import Cancelled, EarwitnessError, ModelUnavailable
from core.library import Library, LibraryError, open_library
from core.library.compare import Query, View, encoded, measure

if TYPE_CHECKING:
    import torch

    from core.audio import Recording
    from core.encode import Encoding
    from models.rad import RAD
    from models.registry import Detector

FOLDER = Path(__file__).resolve().parents[2] / "models" / "weights" / "rad-whisper-tiny"
RAD_NAME, KNN_NAME = "rad-whisper-tiny", "nearest-neighbours"
TITLES = {RAD_NAME: "Retrieval-augmented detector (RAD)", KNN_NAME: "Nearest neighbours, no training"}
WEIGHTS = "rad.safetensors"  # not model.safetensors: the registry lists folders that have one as f-InfoED
CALIBRATIONS = {RAD_NAME: "calibration.safetensors", KNN_NAME: "calibration-knn.safetensors"}

SAYS_NOTHING = (
    "On sources that its library didn't hold, this score told bona fide from spoofed no better than chance, so its "
    "likelihood ratio is 1 (log10 LR 0) whatever the score is."
)


def names() -> tuple[str, ...]:
    """What is installed here: both where there are weights, a card and a library."""
    return (RAD_NAME, KNN_NAME) if (FOLDER / WEIGHTS).is_file() and (FOLDER / "card.json").is_file() else ()


def recognises(name_or_path: str | Path) -> bool:
    """Whether this is one of the two names."""
    return str(name_or_path) in (RAD_NAME, KNN_NAME)


def load(name_or_path: str | Path, device: str = "auto") -> RetrievalDetector:
    """One of the two, with the shipped library. Raises ModelUnavailable."""
    from core.examine import detector_for
    from models.registry import DEFAULT_MODEL

    try:
        return retrieval_detector(str(name_or_path), detector_for(DEFAULT_MODEL, device), open_library())
    except LibraryError as problem:
        raise ModelUnavailable(problem.message) from problem


@lru_cache(maxsize=4)
def _files(folder: Path, _stamp: int) -> tuple[RAD, dict[str, Any], dict[str, str]]:
    """(network, card, digests by file). Raises ModelUnavailable."""
    from safetensors import SafetensorError

    from models.rad import load_rad

    try:
        card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
        digests = {}
        for name in (WEIGHTS, *CALIBRATIONS.values()):
            digests[name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
            if card["files_sha256"].get(name) != digests[name]:
                raise ValueError(f"{name} is not the file its card names")
        return load_rad(folder / WEIGHTS), card, digests
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as problem:
        raise ModelUnavailable(
            f"The files of {folder.name} are damaged or missing ({problem}); fetch them again."
        ) from problem


def retrieval_detector(name: str, encoder: Detector, library: Library, folder: Path | None = None) -> RetrievalDetector:
    """RAD or the baseline for a library. Raises ModelUnavailable; LibraryError for a library it wasn't trained for."""
    folder = folder or FOLDER
    weights = folder / WEIGHTS
    if not weights.is_file():
        raise ModelUnavailable(f"{folder.name} has no {WEIGHTS}; fetch the model again.")
    network, card, digests = _files(folder, weights.stat().st_mtime_ns)
    if card.get("geometry_sha256") != library.geometry.sha256:
        raise LibraryError(
            f"The library in {library.folder} was built with another map than {name} was trained with; "
            "build it with the shipped one."
        )
    calibration = Calibration.load(folder / CALIBRATIONS[name])
    content = hashlib.sha256(json.dumps([sorted(digests.items()), library.snapshot.id, library.geometry.sha256]).encode())
    return RetrievalDetector(name, encoder, library, network, card, calibration, content.hexdigest())


@dataclass(frozen=True, eq=False)
class ViewScore:
    """A score against one view of a library: per window, for the clip, and which reference mattered.

    weights: attention (W, K) over the K-th neighbours of each window and ``rows`` (W, K, L) which segments they were;
    both None for the baseline.
    """

    window_scores: np.ndarray
    score: float
    weights: np.ndarray | None = None
    rows: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class RetrievalDetector:
    """A ``ClipDetector`` that reads neighbours. ``encoder`` is the detector whose bare encoder made the library."""

    name: str
    encoder: Detector
    library: Library
    network: RAD
    card: Mapping[str, Any]
    calibration: Calibration
    content_sha256: str

    @property
    def title(self) -> str:
        return TITLES[self.name]

    @property
    def lock(self) -> threading.RLock:
        return self.encoder.lock

    @property
    def k(self) -> int:
        return int(self.card["recipe"]["k" if self.name == RAD_NAME else "knn_k"])

    @property
    def says_nothing(self) -> bool:
        """Whether its calibration supports no likelihood ratio but 1."""
        return self.calibration.bounds[0] >= 0.0 >= self.calibration.bounds[1]

    def score_view(self, query: Query, view: View | None = None, *, k: int | None = None) -> ViewScore:
        """Score a measured recording against a view of the library (the whole one for None); windows weigh by length.

        Raises LibraryError where nothing is left to compare with.
        """
        view = View(self.library) if view is None else view
        allowed, rows = view.allowed(query), query.lasting
        searcher = view.searcher
        if not (allowed & searcher.bonafide).any() or (
            self.name == KNN_NAME and not (allowed & ~searcher.bonafide).any()
        ):
            raise LibraryError("With everything that was taken out, no reference of a needed kind is left.")
        seconds = np.array([query.windows[i].n_samples for i in rows], np.float64)
        if self.name == KNN_NAME:
            scores = searcher.knn_scores(query.vectors[rows], k or self.k, allowed)
            return ViewScore(scores, float(np.average(scores, weights=seconds)))
        if self.card["recipe"]["library"] == "bonafide":
            allowed = allowed & searcher.bonafide
        found = searcher.rows(query.vectors[rows], k or self.k, allowed)  # (W, K, L)
        scores, weights = self._network(query, rows, view, found)
        return ViewScore(scores, float(np.average(scores, weights=seconds)), weights, found)

    def _network(self, query: Query, rows: np.ndarray, view: View, found: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Scores (W,) and attention (W, K) of windows against neighbours ``found`` (W, K, L)."""
        import torch

        s, layers = view.searcher.segments, found.shape[2]
        near = np.stack([s.features(found[..., i], i) for i in range(layers)], axis=2)  # (W, K, L, N, S)
        with self.lock, torch.inference_mode():
            out = self.network(
                torch.from_numpy(query.short[rows]).float(),
                torch.from_numpy(query.blocks[rows])[:, None].expand(-1, layers),
                torch.from_numpy(near),
                torch.from_numpy(s.blocks[found]),
                torch.from_numpy((found >= 0).all(-1)),
            )
        return out.score.double().numpy(), out.weights.numpy()

    def window_scores(self, wav: torch.Tensor) -> torch.Tensor:
        """wav (B, N) at 16 kHz -> RAD's score of each as one window (B,), differentiable; the choice of neighbours isn't.

        Raises ModelUnavailable for the baseline, which has no network.
        """
        if self.name != RAD_NAME:
            raise ModelUnavailable("The nearest-neighbour score has no network to look into.")
        return differentiable_scores(self, wav)

    def opinion(
        self,
        recording: Recording,
        encoding: Encoding | None = None,
        *,
        on_progress: Callable[[float], Any] | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> Opinion:
        """Listen to the whole recording. Raises Cancelled, ModelUnavailable, UnreadableAudio."""
        if cancelled is not None and cancelled():
            raise Cancelled()
        if encoding is None or encoding.adapters or encoding.model != self.encoder.name:
            encoding = encoded(recording, self.encoder, on_progress=on_progress, cancelled=cancelled)
        refusal = refusals(recording)
        if refusal:
            return self._opinion((), np.zeros(0), None, refusal)
        try:
            query = measure(encoding, self.library, self.encoder)
            found = self.score_view(query)
        except LibraryError as problem:
            raise ModelUnavailable(problem.message) from problem
        if on_progress is not None:
            on_progress(1.0)
        windows = tuple(query.windows[i] for i in query.lasting)
        known = recording.sha256 in {clip.sha256 for clip in self.library.clips}
        notes = ("The library knows these very bytes; they were kept from answering.",) if known else ()
        return self._opinion(windows, found.window_scores, found.score, notes)

    def _opinion(self, windows: tuple, scores: np.ndarray, score: float | None, notes: tuple[str, ...]) -> Opinion:
        llr = None if score is None else self.calibration.apply(score)
        if self.says_nothing:
            notes = (*notes, SAYS_NOTHING)
        notes = (*notes, f"Library snapshot {self.library.snapshot.id[:12]}, {self.library.snapshot.clips} clips.")
        return Opinion(
            self.name,
            self.title,
            self.content_sha256,
            score,
            llr,
            None if score is None else self.calibration.bounds,
            windows,
            scores,
            notes=notes,
            exposure="the corpus named in the model card; the library itself is what it compares with",
        )


def refusals(recording: Recording) -> tuple[str, ...]:
    """Why no score may be shown for this recording: the fatal quality checks, in words."""
    from core.examine import quality_of

    return tuple(f"No score: {check.message}" for check in quality_of(recording).fatal)


def differentiable_scores(detector: RetrievalDetector, wav: torch.Tensor) -> torch.Tensor:
    """RAD's score of each row of wav (B, N), with a gradient through the query's side."""
    import torch

    g, network = detector.library.geometry, detector.encoder.network
    states = network.encode(wav, adapters=False)  # (B, L, T, F)
    mean, basis = torch.from_numpy(g.mean), torch.from_numpy(g.basis)
    with torch.no_grad():
        vectors = torch.einsum("blf,lfv->blv", states.mean(2) - mean, basis)
        vectors = (vectors / vectors.norm(dim=-1, keepdim=True)).numpy()
    searcher = View(detector.library).searcher
    allowed = searcher.bonafide if detector.card["recipe"]["library"] == "bonafide" else None
    rows = searcher.rows(vectors, detector.k, allowed)
    near = np.stack([searcher.segments.features(rows[..., i], i) for i in range(g.n_layers)], axis=2)
    n = min(g.blocks, max(1, (states.shape[2] + g.tau // 2) // g.tau))
    blocks = [states[:, :, i * g.tau : (i + 1) * g.tau].mean(2) for i in range(n)]  # (B, L, F) each
    short = torch.einsum("blnf,lfs->blns", torch.stack(blocks, 2) - mean[:, None], basis[..., : g.short])
    filled = torch.full((len(wav), g.n_layers), n)
    return detector.network(short, filled, torch.from_numpy(near), torch.from_numpy(searcher.segments.blocks[rows])).score


__all__ = ["EarwitnessError", "RetrievalDetector", "ViewScore", "load", "names", "recognises", "retrieval_detector"]
