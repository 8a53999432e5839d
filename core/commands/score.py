"""`python -m core score LIST_OR_DIR --output scores.csv`: one row per file, for research and validation.

Columns: path, score, llr_log10, llr_low, llr_high, abstain, seconds, model, error. `score` and `llr_log10`
are higher for bona fide. `abstain` holds reason codes joined by ";", and where there are any the llr columns
are empty. `score` is the detector's raw score and stays filled wherever sound was heard, even where the
finding abstains: it is for error rates over lists, and it is not evidence. It is empty for silence and for
files that can't be decoded. A table that was begun is taken up where it stopped; files already in it for the
same model are left alone.
"""

from __future__ import annotations

import argparse
import csv
import io
import os
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.commands.common import Bar, add_model_options, sentence_for
from core.commands.table import COLUMNS, ScoreTable
from core.errors import InvalidOption

if TYPE_CHECKING:
    from concurrent.futures import Future

    from core.audio import Recording
    from core.batch import ClipEvidence
    from core.finding import Finding
    from core.quality import Quality
    from models.registry import Detector

ENDINGS = frozenset(
    [
        ".wav",
        ".wave",
        ".flac",
        ".ogg",
        ".oga",
        ".opus",
        ".mp3",
        ".m4a",
        ".m4b",
        ".mp4",
        ".m4v",
        ".mov",
        ".aac",
        ".amr",
        ".3gp",
        ".webm",
        ".weba",
        ".mkv",
        ".mka",
        ".wma",
        ".aif",
        ".aiff",
        ".aifc",
        ".au",
        ".snd",
        ".caf",
        ".w64",
        ".rf64",
    ]
)


def add_parser(commands: Any) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "score",
        help="score many files into a table",
        description="Score the files of a list (one path per line, or a csv with a column 'path' or 'file', "
        "relative to the list) or of a folder into a csv table. A table that was begun is continued.",
    )
    parser.add_argument("source", metavar="LIST_OR_DIR")
    parser.add_argument("--output", required=True, metavar="CSV")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    add_model_options(parser)
    parser.set_defaults(func=run)


def run(options: argparse.Namespace) -> int:
    """Score what is not in the table yet. Returns 0 when every file has a row, with or without an
    error in it.
    """
    from core.examine import detector_for
    from models.registry import DEFAULT_MODEL

    entries = list(dict(list_files(Path(options.source))).items())
    if not entries:
        raise InvalidOption(f"There are no audio files in {options.source}; give another list or folder.")
    detector = detector_for(options.model or DEFAULT_MODEL, options.device)
    model = model_label(detector)
    with ScoreTable(Path(options.output)) as table:
        done = {row["path"] for row in table.begun if row["model"] == model}
        todo = [(text, path) for text, path in entries if text not in done]
        bar, failed = Bar(len(todo), quiet=options.quiet), 0
        for row in rows(todo, detector, model):
            table.write(row)
            failed += bool(row["error"])
            bar.step(str(row["path"]))
    if not options.quiet:
        print(f"{len(todo)} scored, {failed} with an error, {len(done)} were there already", file=sys.stderr)
    return 0


def model_label(detector: Detector) -> str:
    """The model's name and the digest of its files: a retrained model of the same name is another one."""
    return f"{detector.name}@{detector.content_sha256[:12]}"


# Which files


def list_files(source: Path) -> Iterator[tuple[str, Path]]:
    """(path as it stands in the table, path to open) of every file of a folder, list or single audio file.

    Raises InvalidOption where there is no such list or it can't be read.
    """
    if source.is_dir():
        for path in sorted(p for p in source.rglob("*") if p.suffix.lower() in ENDINGS and p.is_file()):
            yield str(path), path
    elif source.suffix.lower() in ENDINGS and source.is_file():
        yield str(source), source
    else:
        try:
            text = source.read_text(encoding="utf-8-sig", errors="surrogateescape")
        except (OSError, ValueError) as problem:
            raise InvalidOption(
                f"The list {source} can't be read; give a text or csv file of paths."
            ) from problem
        for entry in list_entries(text):
            yield entry, source.parent / entry


def list_entries(text: str) -> list[str]:
    """Paths of a list: the column `path` or `file` of a csv, or else every line that is not empty or
    a # comment.
    """
    lines = io.StringIO(text).readlines()
    header = next(csv.reader(lines[:1]), [])
    column = next((name for name in ("path", "file") if name in header), None)
    if column is not None:
        return [
            row[column].strip() for row in csv.DictReader(io.StringIO(text)) if (row[column] or "").strip()
        ]
    return [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]


# The rows


def rows(todo: Sequence[tuple[str, Path]], detector: Detector, model: str) -> Iterator[dict[str, Any]]:
    """One row per file in order; the next files are decoded meanwhile."""
    from core.batch import score_many

    known: dict[str, tuple[Recording, Quality, float]] = {}
    failed: dict[str, dict[str, Any]] = {}

    def decoded() -> Iterator[tuple[str, Recording, Quality]]:
        for text, problem, recording, quality, seconds in decoded_ahead(todo):
            if problem is None:
                known[text] = (recording, quality, seconds)
                yield text, recording, quality
            else:
                failed[text] = _row(text, model, seconds) | {"error": sentence_for(problem)}

    order = iter([text for text, _ in todo])
    for text, evidence in score_many(decoded(), detector):
        yield from (failed.pop(skipped) for skipped in _until(order, text))
        yield _scored(text, model, evidence, *known.pop(text), detector)
    yield from (failed.pop(skipped) for skipped in order)


def _until(order: Iterator[str], text: str) -> Iterator[str]:
    """The files before `text`: those that could not be decoded."""
    for other in order:
        if other == text:
            return
        yield other


def _row(text: str, model: str, seconds: float) -> dict[str, Any]:
    return dict.fromkeys(COLUMNS, "") | {"path": text, "model": model, "seconds": f"{seconds:.4f}"}


def _scored(
    text: str,
    model: str,
    evidence: ClipEvidence | Exception,
    recording: Recording,
    quality: Quality,
    seconds: float,
    detector: Detector,
) -> dict[str, Any]:
    """The row of a decoded file."""
    from core.finding import conclude

    row = _row(text, model, seconds)
    try:
        if isinstance(evidence, Exception):
            raise evidence
        finding = conclude(recording, quality, evidence, detector)
        return row | columns_of(finding, evidence) | {"seconds": f"{seconds + evidence.seconds:.4f}"}
    except Exception as problem:
        return row | {"error": sentence_for(problem)}


def columns_of(finding: Finding, evidence: ClipEvidence) -> dict[str, str]:
    """score, llr_* and abstain of a row."""
    codes = [reason.code for reason in finding.reasons]
    values = {
        "score": None if "silence" in codes else evidence.clip_score,
        "llr_log10": finding.llr_log10,
        "llr_low": finding.llr_low,
        "llr_high": finding.llr_high,
    }
    return {k: "" if v is None else f"{v:.6g}" for k, v in values.items()} | {"abstain": ";".join(codes)}


# Decoding ahead


def decoded_ahead(todo: Sequence[tuple[str, Path]]) -> Iterator[tuple]:
    """(text, exception or None, recording, quality, seconds) in order, decoded by a few threads ahead
    of use.
    """
    from concurrent.futures import ThreadPoolExecutor

    threads = max(2, (os.cpu_count() or 2) - 1)
    with ThreadPoolExecutor(threads, thread_name_prefix="decode") as pool:
        waiting: deque = deque()
        try:
            for text, path in todo:
                waiting.append((text, pool.submit(_decode, path)))
                if len(waiting) > 2 * threads:
                    yield _finished(*waiting.popleft())
            while waiting:
                yield _finished(*waiting.popleft())
        finally:
            for _, future in waiting:
                future.cancel()


def _finished(text: str, future: Future) -> tuple:
    return (text, *future.result())


def _decode(path: Path) -> tuple[Exception | None, Recording | None, Quality | None, float]:
    from core.audio import read_recording
    from core.quality import measure_quality

    began = time.perf_counter()
    try:
        recording = read_recording(path)
        quality = measure_quality(recording)
    except Exception as problem:
        return problem, None, None, time.perf_counter() - began
    return None, recording, quality, time.perf_counter() - began
