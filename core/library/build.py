"""Fill a library: read clips, encode them without adapters, measure, write shard by shard, publish once.

Content-addressed by the sha256 of a file's bytes: the same bytes again change nothing, the same bytes under another label
are refused and named. Clips that can't be read are named and the others go on. A build that was interrupted is taken up
where it stopped, because what was finished waits in the library, unseen.

Memory: one chunk of clips' samples and states, however many clips there are.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core.errors import Cancelled, EarwitnessError
from core.library.geometry import Geometry, LibraryError, encoder_digest, fit_geometry
from core.library.measure import averages, measure_many
from core.library.records import Refusal, Wanted, as_clip, contradiction
from core.library.store import DATABASE, Measurement, Snapshot, Store, file_digest

if TYPE_CHECKING:
    from core.audio import Recording
    from models.registry import Detector

CHUNK = 64  # clips per shard
FIT_CLIPS = 400  # readable clips that a new geometry is fitted on
LONGEST_S = 600.0  # of a clip; reference material comes in clips, and one recording must not fill a chunk's memory

Progress = Callable[[int, str], Any]


@dataclass
class Report:
    """What a build did: clips added, known before, refused with reasons, and the snapshot that quotes it."""

    added: int = 0
    known: int = 0
    refused: list[Refusal] = field(default_factory=list)
    snapshot: Snapshot | None = None


def build(
    folder: Path,
    wanted: Iterable[Wanted],
    detector: Detector,
    *,
    geometry: Geometry | None = None,
    keep_audio: bool = True,
    note: str = "",
    on_progress: Progress | None = None,
    cancelled: Callable[[], bool] | None = None,
    report: Report | None = None,
) -> Report:
    """Make a library in ``folder``, or go on with the one that is there, and publish it.

    geometry : the frozen map of a new library, which one that is there must have; None: fitted on evenly spaced clips,
        or that of the library that is there
    keep_audio : note where each clip's audio lies, so that it can be played
    on_progress : called with the number of clips looked at and the last one's name

    Raises LibraryError (full disk, foreign index or map, no readable clip), Cancelled: what is finished is kept.
    """
    report = report or Report()
    items = _checked(list(wanted), report)
    if (folder / DATABASE).is_file():
        store = Store.open(folder)
        check_encoder(store.geometry, detector, folder)
        if geometry is not None and geometry.sha256 != store.geometry.sha256:
            raise LibraryError(
                f"The library in {folder} was made with the map {store.geometry.sha256[:12]}, this version uses "
                f"{geometry.sha256[:12]}, and vectors of two maps can't be compared; build it anew from its clips."
            )
    else:
        store = Store.create(folder, geometry or _fit(items, detector, report, cancelled))
    _fill(store, items, detector, keep_audio, report, on_progress, cancelled)
    report.snapshot = store.publish(note)
    return report


def check_encoder(geometry: Geometry, detector: Detector, what: Path | str) -> None:
    """Raises LibraryError unless the library was made with this detector's frozen encoder."""
    digest = encoder_digest(detector)
    if geometry.encoder_sha256 != digest:
        raise LibraryError(
            f"The library in {what} was made with the encoder {geometry.encoder_sha256[:12]}, the detector "
            f"{detector.name} has {digest[:12]}; build a library for it or choose another detector."
        )


def _checked(wanted: Sequence[Wanted], report: Report) -> list[Wanted]:
    """Leave out what contradicts itself."""
    kept = []
    for item in wanted:
        if contradiction(item.facts["label"], item.facts.get("family", "")):
            report.refused.append(
                Refusal(str(item.path), f"family {item.facts['family']!r} contradicts the label {item.facts['label']!r}")
            )
        else:
            kept.append(item)
    return kept


def _fill(
    store: Store,
    items: Sequence[Wanted],
    detector: Detector,
    keep_audio: bool,
    report: Report,
    on_progress: Progress | None,
    cancelled: Callable[[], bool] | None,
) -> None:
    known, chunk = store.known(), []
    doubtful = _two_labels(items, report)
    for seen, (item, digest, recording) in enumerate(_read_ahead(items, known, doubtful, report), 1):
        if cancelled is not None and cancelled():
            raise Cancelled()
        if recording is not None and known.get(digest) is None:
            known[digest] = item.facts["label"]
            audio = _place(item.path) if keep_audio else ""
            chunk.append((as_clip(item, digest, recording.duration_s, audio), recording))
        if len(chunk) >= CHUNK:
            _write(store, chunk, detector, report)
            chunk = []
        if on_progress is not None:
            on_progress(seen, item.path.name)
    if chunk:
        _write(store, chunk, detector, report)


def _place(path: Path) -> str:
    """Where a clip lies: from the project's folder for what is bundled with it, else in full."""
    from core.library import PROJECT

    path = path.resolve()
    return path.relative_to(PROJECT).as_posix() if path.is_relative_to(PROJECT) else str(path)


def _write(store: Store, chunk: Sequence[tuple], detector: Detector, report: Report) -> None:
    measured = list(measure_many([r for _, r in chunk], detector, store.geometry))
    batch = [Measurement(clip, *m) for (clip, _), m in zip(chunk, measured, strict=True) if m is not None]
    for (clip, _), m in zip(chunk, measured, strict=True):
        if m is None:
            report.refused.append(Refusal(clip.name, "it is too short for the encoder"))
    if batch:
        store.write(batch)
        report.added += len(batch)


def _two_labels(items: Sequence[Wanted], report: Report) -> set[str]:
    """Digests of files that stand in the list under two labels; each such file is refused, whichever label is right."""
    labels: dict[str, set[str]] = defaultdict(set)
    sizes: dict[int, list[Wanted]] = defaultdict(list)
    for item in items:  # files of different size differ, so most are never hashed twice
        if item.path.is_file():
            sizes[item.path.stat().st_size].append(item)
    for group in sizes.values():
        if len({item.facts["label"] for item in group}) > 1:
            for item in group:
                labels[file_digest(item.path)].add(item.facts["label"])
    return {digest for digest, found in labels.items() if len(found) > 1}


def _read_ahead(
    items: Sequence[Wanted], known: dict[str, str], doubtful: set[str], report: Report
) -> Iterator[tuple[Wanted, str, Recording | None]]:
    """(item, digest, recording or None) in order, a few decoded ahead; notes what is known and what is refused."""
    with ThreadPoolExecutor(2, thread_name_prefix="library") as pool:
        waiting: deque[tuple[Wanted, Future]] = deque()
        todo = iter(items)

        def top_up() -> None:
            while len(waiting) < 16 and (item := next(todo, None)) is not None:
                waiting.append((item, pool.submit(_read, item, known)))

        try:
            top_up()
            while waiting:
                item, future = waiting.popleft()
                digest, recording, problem = future.result()
                top_up()
                yield item, digest, _judge(item, digest, recording, problem, known, doubtful, report)
        finally:
            for _, future in waiting:
                future.cancel()


def _judge(
    item: Wanted,
    digest: str,
    recording: Recording | None,
    problem: str,
    known: dict[str, str],
    doubtful: set[str],
    report: Report,
) -> Recording | None:
    label = item.facts["label"]
    if digest in doubtful:
        report.refused.append(Refusal(str(item.path), "the same bytes stand in the list under both labels; none is kept"))
    elif digest in known and known[digest] != label:
        report.refused.append(Refusal(str(item.path), f"the library has the same bytes as {known[digest]}, not {label}"))
    elif digest in known:
        report.known += 1
    elif problem:
        report.refused.append(Refusal(str(item.path), problem))
    else:
        return recording
    return None


def _read(item: Wanted, known: dict[str, str]) -> tuple[str, Recording | None, str]:
    """(digest, recording, problem); a file that is known isn't decoded."""
    from core.audio import read_recording

    try:
        digest = file_digest(item.path)
        if digest in known:
            return digest, None, ""
        recording = read_recording(item.path)
        if recording.duration_s > LONGEST_S:
            return digest, None, f"it lasts more than {LONGEST_S / 60:.0f} minutes; cut it into clips"
        return digest, recording, ""
    except EarwitnessError as problem:
        return "", None, problem.message
    except OSError as problem:
        return "", None, f"it can't be read ({problem.strerror or problem})"


def _fit(items: Sequence[Wanted], detector: Detector, report: Report, cancelled: Callable[[], bool] | None) -> Geometry:
    """A new geometry from evenly spaced clips of the list, and from the same clips with noise 10 to 30 dB below them."""
    from core.library.nuisance import noisy

    chosen = items[:: max(1, len(items) // FIT_CLIPS)][:FIT_CLIPS]
    means: list[np.ndarray] = []
    moved: list[np.ndarray] = []
    rng = np.random.default_rng(0)
    for first in range(0, len(chosen), CHUNK):
        if cancelled is not None and cancelled():
            raise Cancelled()
        read = [r.samples for _, r, _ in (_read(item, {}) for item in chosen[first : first + CHUNK]) if r is not None]
        clean = averages(read, detector)
        means += clean
        moved += [b - a for a, b in zip(clean, averages([noisy(x, rng) for x in read], detector), strict=True)]
    if len(means) < 2:
        raise LibraryError("At least two readable clips are needed to begin a library; none was made.")
    return fit_geometry(np.stack(means), encoder_digest(detector), nuisance=np.stack(moved))
