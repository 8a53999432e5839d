"""One recording beside a library: its measured windows, its nearest known recordings, and how each was found.

``encoded`` runs the bare encoder (libraries are made without adapters, because adapters get retrained); everything after
it takes milliseconds, so that a filter, another K or a removed neighbour answers at once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from core.errors import EarwitnessError
from core.library import Clip, Library, Segments, appended
from core.library.build import check_encoder
from core.library.geometry import LibraryError, unit
from core.library.measure import LEAST_SAMPLES, measure_encoding
from core.retrieve import K, Neighbour, Searcher, searcher

if TYPE_CHECKING:
    from core.audio import Recording
    from core.encode import Encoding
    from core.frames import Window
    from models.registry import Detector


@dataclass(frozen=True, eq=False)
class Query:
    """A recording's windows as a library would hold them: vectors (W, L, V), short (W, L, N, S), blocks (W,)."""

    sha256: str
    windows: tuple[Window, ...]
    vectors: np.ndarray
    short: np.ndarray
    blocks: np.ndarray
    geometry_sha256: str

    @cached_property
    def lasting(self) -> np.ndarray:
        """Numbers of the windows that last a second or more (all of them where none does)."""
        long = [i for i, w in enumerate(self.windows) if w.n_samples >= LEAST_SAMPLES]
        return np.array(long or range(len(self.windows)))

    def vector(self, windows: Sequence[int] | None = None) -> np.ndarray:
        """One direction (L, V) for some windows, by default the whole recording: their mean, of unit length."""
        chosen = self.lasting if windows is None or not len(windows) else np.asarray(windows)
        lengths = np.array([self.windows[i].n_samples for i in chosen], np.float64)
        return unit(np.einsum("w,wlv->lv", lengths, self.vectors[chosen])).astype(np.float32)

    def within(self, start: int, stop: int) -> list[int]:
        """Numbers of the windows of which samples [start, stop) cover a half or more; the one with most, if none."""
        covered = [min(stop, w.stop) - max(start, w.start) for w in self.windows]
        half = [i for i, w in enumerate(self.windows) if covered[i] >= w.n_samples / 2]
        return half or [int(np.argmax(covered))]


@dataclass(frozen=True, eq=False)
class Reference:
    """A case's own verified recording, measured like the library's: it answers beside the library's clips."""

    clip: Clip
    query: Query


@dataclass(frozen=True, eq=False)
class View:
    """What may answer: a library, a case's own references, what was taken out, and a filter with a name for it."""

    library: Library
    references: tuple[Reference, ...] = ()
    without: frozenset[str] = frozenset()
    where: Callable[[Clip], bool] | None = None
    filter_words: str = ""
    index: str = "exact"  # or an approximate kind, see core.retrieve

    @cached_property
    def searcher(self) -> Searcher:
        base = searcher(self.library, self.index)
        return base if not self.references else Searcher(self._extended(base.segments), self.index)

    def _extended(self, base: Segments) -> Segments:
        seen, chosen = set(), []
        for reference in self.references:  # a reference given twice, or known to the library, answers once
            if reference.query.geometry_sha256 != self.library.geometry.sha256:
                raise LibraryError(f"{reference.clip.name} was measured for another library; add it again.")
            if reference.clip.sha256 not in seen:
                seen.add(reference.clip.sha256)
                chosen.append(reference)
        rows = [r.query.lasting for r in chosen]
        return appended(
            base,
            [r.clip for r in chosen],
            [
                np.array([(r.query.windows[i].start, r.query.windows[i].stop) for i in rows[n]])
                for n, r in enumerate(chosen)
            ],
            *([getattr(r.query, name)[rows[n]] for n, r in enumerate(chosen)] for name in ("vectors", "short", "blocks")),
        )

    def allowed(self, query: Query) -> np.ndarray:
        """Mask of segments that may answer this query: never the query's own bytes."""
        own = {r.clip.sha256 for r in self.references}
        mask = self.searcher.allowed(without=self.without | {query.sha256}, where=self.where)
        if own:  # the case's own references pass every filter, and replace a library clip with the same bytes
            s = self.searcher.segments
            of_case = s.owner >= len(self.library.clips)
            digests = self.searcher.digests
            ruled_out = np.isin(digests, list(self.without | {query.sha256}))
            mask = np.where(of_case, ~ruled_out, mask & ~np.isin(digests, list(own)))
        return mask

    def quote(self) -> dict[str, Any]:
        """The library's own words, and everything by which this view differs from it."""
        base = self.library.quote()
        references = [{k: v for k, v in r.clip.to_dict().items() if k != "audio"} for r in self.references]
        changes = {
            "index": self.index,
            "recall_at_10": {f"layer {i}": round(r, 4) for i, r in self.searcher.recalls().items()},
            "references": references,
            "without": sorted(self.without),
            "filter": self.filter_words,
        }
        text = (
            f"{base['snapshot']} {sorted(r.clip.sha256 + r.clip.label for r in self.references)} "
            f"{sorted(self.without)} {self.filter_words} {self.index}"
        )
        return base | changes | {"view": hashlib.sha256(text.encode()).hexdigest()}


@dataclass(frozen=True, eq=False)
class Comparison:
    """Nearest known recordings of a query, one list per layer, and the view that they were found in."""

    query: Query
    view: View
    k: int
    layers: tuple[tuple[Neighbour, ...], ...]
    windows: tuple[int, ...] = field(default=())

    def to_dict(self) -> dict[str, Any]:
        """JSON-able, schema "earwitness/neighbours/1": the provenance of every neighbour included."""
        return {
            "schema": "earwitness/neighbours/1",
            "recording_sha256": self.query.sha256,
            "k": self.k,
            "windows": [[self.query.windows[i].start, self.query.windows[i].stop] for i in self.windows],
            "library": self.view.quote(),
            "neighbours": [n.to_dict() for layer in self.layers for n in layer],
        }


def encoded(recording: Recording, detector: Detector, **options: Any) -> Encoding:
    """The bare encoder's states of a recording. Options and errors as of ``core.encode.encode``.

    In bf16 where the processor has it: cosines move by less than 0.001 and the time it takes is halved. Libraries are
    built in fp32.
    """
    from core.encode import encode

    return encode(recording, detector, adapters=False, coarse=True, **options)


def measure(encoding: Encoding, library: Library, detector: Detector | None = None) -> Query:
    """Measure an encoding made without adapters. Raises LibraryError where it isn't of the library's encoder."""
    if detector is not None:
        check_encoder(library.geometry, detector, library.folder)
    if encoding.n_layers != library.geometry.n_layers or encoding.n_features != library.geometry.mean.shape[1]:
        raise LibraryError(f"The library in {library.folder} was made with another encoder; choose one that fits.")
    m = measure_encoding(encoding, library.geometry)
    return Query(encoding.recording_sha256, encoding.windows, m.vectors, m.short, m.blocks, library.geometry.sha256)


def compare(
    source: Encoding | Query, view: Library | View, *, k: int = K, windows: Sequence[int] | None = None
) -> Comparison:
    """The k nearest clips per layer to a recording, or to some of its windows. Raises LibraryError."""
    view = View(view) if isinstance(view, Library) else view
    query = source if isinstance(source, Query) else measure(source, view.library)
    found = view.searcher.neighbours(query.vector(windows), k, allowed=view.allowed(query))
    chosen = query.lasting if windows is None or not len(windows) else windows
    return Comparison(query, view, k, tuple(map(tuple, found)), tuple(int(i) for i in chosen))


def reference(recording: Recording, label: str, library: Library, detector: Detector, **facts: str) -> Reference:
    """Measure a case's own verified recording. Raises EarwitnessError (unreadable or too short, foreign library)."""
    if label not in ("bonafide", "spoof"):
        raise EarwitnessError("A reference is either bona fide or spoofed; say which.")
    query = measure(encoded(recording, detector), library, detector)
    given = {"family": "human" if label == "bonafide" else "", "source": "this case"} | facts
    clip = Clip(
        **given,  # type: ignore[arg-type]
        sha256=recording.sha256,
        name=recording.name,
        label=label,
        seconds=round(recording.duration_s, 3),
    )
    return Reference(clip, query)
