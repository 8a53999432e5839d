"""`python -m core examine FILE...`: the finding of each file, as text or as one JSON object per line."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.commands.common import add_model_options, printable, sentence_for
from core.errors import EarwitnessError

if TYPE_CHECKING:
    from core.examine import Examination

OK, FAILED, ABSTAINED = 0, 2, 3


def add_parser(commands: Any) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "examine",
        help="print the finding of each file",
        description="Print the finding of each file. Exit status: 0 findings, 3 at least one abstained, "
        "2 at least one file could not be examined.",
    )
    parser.add_argument("files", nargs="+", metavar="FILE")
    parser.add_argument("--json", action="store_true", help="one JSON object per line and file")
    parser.add_argument("--no-curves", action="store_true", help="leave the curves over time out of the JSON")
    add_model_options(parser)
    parser.set_defaults(func=run)


def run(options: argparse.Namespace) -> int:
    """Examine the files one after the other; returns the gravest status (2 over 3 over 0)."""
    from core.examine import detector_for, examine
    from models.registry import DEFAULT_MODEL

    model = options.model or DEFAULT_MODEL
    detector_for(model, options.device)  # a missing model is one error, not one per file
    statuses = set()
    for file in options.files:
        try:
            examination = examine(Path(file), model=model, device=options.device)
        except Exception as problem:
            statuses.add(FAILED)
            print_failure(file, problem, options.json)
        else:
            statuses.add(ABSTAINED if examination.finding.abstained else OK)
            _print_examination(file, examination, options)
        sys.stdout.flush()
    return next(status for status in (FAILED, ABSTAINED, OK) if status in statuses)


def print_failure(file: str, problem: Exception, as_json: bool) -> None:
    """Why a file gave nothing: one sentence on stderr, or as JSON on stdout."""
    words = sentence_for(problem)
    if as_json:
        code = problem.code if isinstance(problem, EarwitnessError) else "fault"
        print(json.dumps({"file": printable(file), "error": {"code": code, "message": words}}))
    else:
        print(f"{printable(file)}: {words}", file=sys.stderr)


def _print_examination(file: str, examination: Examination, options: argparse.Namespace) -> None:
    if options.json:
        from core.report_json import to_dict

        report = {"file": printable(file), **to_dict(examination, curves=not options.no_curves)}
        print(json.dumps(report, ensure_ascii=False, allow_nan=False))
    else:
        print("\n".join(text_lines(file, examination)))


def text_lines(file: str, examination: Examination) -> list[str]:
    """The finding as lines for a terminal."""
    from core.frames import format_time

    recording, finding = examination.recording, examination.finding
    lines = [printable(file), f"  {finding.sentence}"]
    if finding.number_line:
        lines.append(f"  {finding.number_line}")
    shown = finding.regions[:5]
    for region in shown:
        start, stop = region.samples
        lines.append(
            f"  lead: {format_time(region.start_s)} to {format_time(region.stop_s)} "
            f"(samples {start} to {stop}) supports synthesis or conversion"
        )
    if len(finding.regions) > len(shown):
        lines.append(f"  and {len(finding.regions) - len(shown)} more stretches (--json lists all)")
    lines += [f"  note: {words}" for words in finding.advice]
    lines.append(
        f"  {format_time(recording.duration_s)}, sha256 {recording.sha256[:12]}, "
        f"model {Path(examination.model).name} ({examination.weights_sha256[:12]}) on {examination.device}, "
        f"{examination.seconds:.2f} s"
    )
    return lines
