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
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.commands.common import Bar, add_model_options, sentence_for
from core.errors import EarwitnessError, InvalidOption

if TYPE_CHECKING:
    from core.examine import Examination
    from models.registry import Detector

COLUMNS = ("path", "score", "llr_log10", "llr_low", "llr_high", "abstain", "seconds", "model", "error")
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
    output = Path(options.output)
    done = {row["path"] for row in resume(output) if row["model"] == model}
    todo = [(text, path) for text, path in entries if text not in done]
    bar, failed = Bar(len(todo), quiet=options.quiet), 0
    with open_table(output) as table:
        writer = csv.DictWriter(table, COLUMNS, lineterminator="\n")
        for row in rows(todo, detector, model, options):
            writer.writerow(row)
            table.flush()
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


# The table


def resume(output: Path) -> list[dict[str, str]]:
    """Whole rows of a table that was begun; a torn end is cut off. Raises InvalidOption for another
    kind of file.
    """
    try:
        text = output.read_bytes().decode("utf-8", errors="surrogateescape")
    except FileNotFoundError:
        return []
    except OSError as problem:
        raise InvalidOption(f"The table {output} can't be read; choose another --output.") from problem
    records = list(whole_records(text))
    header = ",".join(COLUMNS)
    if text and not (records and records[0].rstrip("\r\n") == header) and not header.startswith(text.strip()):
        raise InvalidOption(f"{output} is not a table of scores; choose another --output.")
    parsed = [(record, next(csv.reader(io.StringIO(record, newline="")), [])) for record in records[1:]]
    good = [
        (record, fields) for record, fields in parsed if len(fields) == len(COLUMNS) and "\0" not in record
    ]
    kept = header + "\n" + "".join(record for record, _ in good)
    if text and kept != text:
        replacement = output.with_name(output.name + ".part")
        replacement.write_text(kept, encoding="utf-8", errors="surrogateescape", newline="")
        os.replace(replacement, output)
    return [dict(zip(COLUMNS, fields, strict=True)) for _, fields in good]


def whole_records(text: str) -> Iterator[str]:
    """Records of a csv text with their line ends, quoted line breaks inside; an unfinished last one
    is left out.
    """
    record = ""
    for line in text.split("\n")[:-1]:
        record += line + "\n"
        if record.count('"') % 2 == 0:
            yield record
            record = ""


def open_table(output: Path) -> Any:
    """The table, open for appending, with its header written. Raises InvalidOption where that is
    impossible.
    """
    try:
        table = output.open("a", encoding="utf-8", errors="surrogateescape", newline="")
    except OSError as problem:
        raise InvalidOption(f"The table {output} can't be written; choose another --output.") from problem
    if table.tell() == 0:
        table.write(",".join(COLUMNS) + "\n")
    return table


# The rows


def rows(
    todo: Sequence[tuple[str, Path]], detector: Detector, model: str, options: argparse.Namespace
) -> Iterator[dict[str, Any]]:
    """One row per file in order, the next files being decoded meanwhile."""
    from core.examine import examine

    name = options.model
    for text, decoded, seconds in decoded_ahead(todo):
        row: dict[str, Any] = dict.fromkeys(COLUMNS, "") | {"path": text, "model": model}
        began = time.perf_counter()
        try:
            if isinstance(decoded, Exception):
                raise decoded
            row |= columns_of(examine(decoded, model=name, device=options.device))
        except Exception as problem:
            row["error"] = sentence_for(problem)
        yield row | {"seconds": f"{seconds + time.perf_counter() - began:.4f}"}


def decoded_ahead(todo: Iterable[tuple[str, Path]]) -> Iterator[tuple[str, Any, float]]:
    """(text, recording or exception, seconds) in order, decoded by two threads a few files ahead."""
    from collections import deque
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(2, thread_name_prefix="decode") as pool:
        waiting: deque = deque()
        try:
            for text, path in todo:
                waiting.append((text, pool.submit(_decode, path)))
                if len(waiting) > 4:
                    yield _ready(waiting.popleft())
            while waiting:
                yield _ready(waiting.popleft())
        finally:
            for *_, future in waiting:
                future.cancel()


def _decode(path: Path) -> tuple[Any, float]:
    from core.audio import read_recording
    from core.examine import quality_of

    began = time.perf_counter()
    try:
        recording = read_recording(path)
        quality_of(recording)
        return recording, time.perf_counter() - began
    except Exception as problem:
        return problem, time.perf_counter() - began


def _ready(item: tuple[str, Any]) -> tuple[str, Any, float]:
    text, future = item
    return (text, *future.result())


def columns_of(examination: Examination) -> dict[str, str]:
    """score, llr_* and abstain of a row."""
    finding = examination.finding
    codes = [reason.code for reason in finding.reasons]
    silent = "silence" in codes
    values = {
        "score": None if silent else examination.entropy.clip_score,
        "llr_log10": finding.llr_log10,
        "llr_low": finding.llr_low,
        "llr_high": finding.llr_high,
    }
    return {k: "" if v is None else f"{v:.6g}" for k, v in values.items()} | {"abstain": ";".join(codes)}


__all__ = ["COLUMNS", "EarwitnessError", "add_parser", "list_files", "resume", "run"]
