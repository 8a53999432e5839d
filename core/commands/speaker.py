"""`python -m core verify TEST... --enrol REFERENCE...`: is the enrolled voice in these files, and where?"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.commands.common import printable
from core.commands.examine import ABSTAINED, FAILED, OK, print_failure
from core.errors import EarwitnessError, InvalidOption

if TYPE_CHECKING:
    from core.audio import Recording
    from core.speaker.enrol import Enrolment
    from core.speaker.networks import SpeakerNetworks
    from core.speaker.verdict import Verdict
    from core.speaker.verify import Verification


def add_parser(commands: Any) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "verify",
        help="is the enrolled voice in these files, and where",
        description="Compare files with an enrolled voice. Exit status: 0 verdicts, 3 at least one abstained, 2 at least "
        "one file could not be compared.",
    )
    parser.add_argument("files", nargs="+", metavar="TEST")
    parser.add_argument("--enrol", nargs="+", required=True, metavar="REFERENCE", help="recordings of the voice alone")
    parser.add_argument("--threshold", type=float, default=0.5, metavar="T", help="on the gate, 0 to 1 (default: 0.5)")
    parser.add_argument("--json", action="store_true", help="one JSON object per line and file")
    parser.add_argument("--no-curves", action="store_true", help="leave gate, shift and attribution out of the JSON")
    parser.add_argument("--into", type=Path, metavar="DIR", help="write kept and rejected: CSV, RTTM, labels, WAV")
    parser.add_argument("--only", action="store_true", help="examine the kept speech alone, too: is this voice real")
    parser.add_argument("--also", metavar="MODEL", help="ask another speaker encoder, too: folder or hub id of a WavLM, "
                        "UniSpeech-SAT or wav2vec 2.0 x-vector model; it gives uncalibrated cosines")
    parser.add_argument("--download", action="store_true", help="fetch MODEL where it isn't on this machine")
    parser.add_argument("--device", default="auto", metavar="D", help="auto, cpu, cuda or mps (default: auto)")
    parser.set_defaults(func=run)


def run(options: argparse.Namespace) -> int:
    """Compare the files one after the other; returns the gravest status (2 over 3 over 0)."""
    from core.audio import read_recording
    from core.speaker.enrol import enrol
    from core.speaker.networks import shipped

    if not 0 <= options.threshold <= 1:
        raise InvalidOption("The threshold must be between 0 and 1.")
    networks = shipped(options.device)
    enrolled = enrol([read_recording(Path(file)) for file in options.enrol], networks)
    second = None
    if options.also:
        from core.speaker.second import load_second

        second = load_second(options.also, allow_download=options.download, device=networks.device)
    statuses = set()
    for file in options.files:
        try:
            statuses.add(_one(file, enrolled, networks, second, options))
        except Exception as problem:
            statuses.add(FAILED)
            print_failure(file, problem, options.json)
        sys.stdout.flush()
    return next(status for status in (FAILED, ABSTAINED, OK) if status in statuses)


def _one(file: str, enrolled: Enrolment, networks: SpeakerNetworks, second: Any, options: argparse.Namespace) -> int:
    from core.audio import read_recording
    from core.speaker.second import second_opinion
    from core.speaker.verdict import segments, verdict
    from core.speaker.verify import verify

    recording = read_recording(Path(file))
    v = verify(recording, enrolled, networks)
    given, (kept, rejected) = verdict(v, networks, options.threshold), segments(v, options.threshold)
    if options.into is not None:
        _write(options.into, recording, {"kept": kept, "rejected": rejected})
    alone = _alone(recording, kept, options.device) if options.only else None
    other = None if second is None else second_opinion(second, enrolled, recording, kept, rejected)
    if options.json:
        from core.speaker.report import to_dict

        report = {"file": printable(file), **to_dict(v, networks, options.threshold, curves=not options.no_curves)}
        if options.only:
            report["only_this_speaker"] = alone
        if other is not None:
            report["second_encoder"] = other.to_dict()
        print(json.dumps(report, ensure_ascii=False, allow_nan=False))
    else:
        print("\n".join(text_lines(file, v, given, len(kept), alone)))
        if other is not None:
            said = ", ".join(f"{'–' if x is None else f'{x:.3f}'} {name}" for name, x in
                             (("kept", other.kept), ("rejected", other.rejected), ("as recorded", other.whole)))
            print(f"  second encoder {printable(other.name)}, uncalibrated cosine: {said}")
    return ABSTAINED if given.abstained or given.kept.llr is None else OK


def _alone(recording: Recording, kept: tuple, device: str) -> dict[str, Any]:
    """The finding of the kept speech, or why there is none."""
    from core.report_json import clean, finding_dict
    from core.speaker.parts import examine_only

    try:
        return clean(finding_dict(examine_only(recording, kept, device=device).finding))
    except EarwitnessError as problem:
        return {"sentence": f"No finding: {problem.message}", "abstained": True, "llr_log10": None}


def _write(folder: Path, recording: Recording, sides: dict[str, tuple]) -> None:
    """The stretches of either side as CSV, RTTM, Audacity labels and sound."""
    from core.segments import to_audacity, to_csv, to_rttm
    from core.speaker.parts import wav

    folder.mkdir(parents=True, exist_ok=True)
    for name, chosen in sides.items():
        stem = f"{recording.sha256[:12]}.{name}"
        (folder / f"{stem}.csv").write_bytes(to_csv(chosen, name=recording.name, sha256=recording.sha256))
        (folder / f"{stem}.rttm").write_bytes(to_rttm(chosen, name=recording.name))
        (folder / f"{stem}.txt").write_bytes(to_audacity(chosen))
        if chosen:
            (folder / f"{stem}.wav").write_bytes(wav(recording.samples, chosen))


def text_lines(file: str, v: Verification, given: Verdict, stretches: int, alone: dict[str, Any] | None) -> list[str]:
    """The verdict as lines for a terminal."""
    from core.frames import format_time
    from core.speaker.several import row_of

    lines, llr = [printable(file), f"  {given.sentence}"], given.kept.llr
    if llr is not None and not given.abstained:
        bound = " (at the bound of what the calibration data support)" if llr.bounded else ""
        flips = ", ".join(f"{t:.2f}" for t in given.flips) or "none"
        lines.append(f"  log10 LR = {llr.value:+.2f}{bound} [{llr.low:+.2f}, {llr.high:+.2f}], same over different "
                     f"speaker; thresholds at which it changes sign: {flips}")
    lines.append(f"  cosine: {_cosine(given.kept)} kept ({given.kept.seconds:.1f} s in {stretches} stretches at "
                 f"{given.threshold:.2f}), {_cosine(given.rejected)} rejected ({given.rejected.seconds:.1f} s), "
                 f"{_cosine(given.gated)} soft gate, {_cosine(given.raw)} as recorded")
    lines.append(f"  {row_of(v.speakers).message}")
    if alone is not None:
        number = "" if alone["llr_log10"] is None else f"  log10 LR = {alone['llr_log10']:+.2f} (bona fide over spoof)"
        lines.append(f"  this speaker only: {alone['sentence']}{number}")
    lines += [f"  note: {words}" for words in (*given.notes, *v.advice)]
    lines.append(f"  {format_time(v.duration_s)}, sha256 {v.sha256[:12]}, enrolment {v.enrolment.key[:12]}, "
                 f"networks {v.networks_sha256[:12]} on {v.device}")
    return lines


def _cosine(given: Any) -> str:
    return "–" if given.cosine is None else f"{given.cosine:.3f}"
