"""`python -m core rad ...`: make the default library, its map, and RAD; evaluate. Heavy modules are imported when run."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

MODEL = Path(__file__).resolve().parents[2] / "models" / "weights" / "rad-whisper-tiny"


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Register the command and its parts."""
    parser = subparsers.add_parser("rad", help="retrieval-augmented detector: default library, map, train, evaluate")
    parts = parser.add_subparsers(dest="part", required=True, metavar="PART")
    for name, words, func in (
        ("library", "make the default library from a corpus and the bundled examples", _library),
        ("map", "fit the default library's map", _map),
        ("train", "train the shipped network on the whole corpus", _train),
        ("evaluate", "leave-source-out figures; writes calibrations and the card", _evaluate),
    ):
        part = parts.add_parser(name, help=words, description=words[0].upper() + words[1:] + ".")
        part.add_argument("--library", type=Path, metavar="DIR", help="library folder (default: the shipped one)")
        part.set_defaults(func=func)
        if name != "map":
            part.add_argument(
                "--corpus", type=Path, required=name == "library", metavar="DIR", help="folder with manifest.csv"
            )
            part.add_argument("--work", type=Path, required=True, metavar="DIR", help="working folder of `core corpus`")
            part.add_argument("--into", type=Path, default=MODEL, metavar="DIR", help="model folder to write")
        part.add_argument("--seed", type=int, default=0)
        if name == "evaluate":
            part.add_argument(
                "--variants", default="rad,without-retrieval", metavar="LIST", help="comma-separated, or all"
            )
            part.add_argument("--seeds", type=int, default=1, help="seeds of rad and without-retrieval (default: 1)")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _place(options: argparse.Namespace) -> Path:
    from core.library import DEFAULT

    return options.library or DEFAULT


def _prepared(options: argparse.Namespace):
    """(detector, clips, views, shifts) of the working folder; what isn't encoded yet is."""
    from core.examine import detector_for
    from core.training.corpus import load_prepared
    from core.training.rad import RadRecipe
    from core.training.rad_copies import FITTED
    from core.training.rad_features import load_windows
    from core.training.rad_shelf import Facts, shifts_of
    from models.registry import DEFAULT_MODEL

    detector = detector_for(DEFAULT_MODEL)
    clips = load_prepared(options.work)
    views = [load_windows(options.work, clips, detector, view, _say) for view in range(RadRecipe().views)]
    copies = [load_windows(options.work, clips, detector, name, _say) for name in FITTED]
    return detector, clips, views, shifts_of(views[0], [*copies, views[-1]], Facts(clips))


def _library(options: argparse.Namespace) -> int:
    import numpy as np

    from core.library.build import build
    from core.library.geometry import encoder_digest
    from core.training.rad_library import corpus_clips, example_clips
    from core.training.rad_shelf import Facts, fit_to

    detector, clips, views, shifts = _prepared(options)
    geometry = fit_to(views[0], shifts, Facts(clips), np.ones(len(clips), bool), encoder_digest(detector))
    folder = _place(options)
    for name, wanted, keep in (("corpus", corpus_clips(options.corpus), False), ("examples", example_clips(), True)):
        report = build(folder, wanted, detector, geometry=geometry, keep_audio=keep, note=name)
        for refusal in report.refused:
            _say(f"left out: {refusal.what}: {refusal.reason}")
        print(f"{name}: {report.added} added, {report.known} known; snapshot {report.snapshot.id[:12]}")
    return 0


def _map(options: argparse.Namespace) -> int:
    from core.library import open_library
    from core.project import MAP_FILE, fit_map, save_map

    folder = _place(options)
    fitted = fit_map(
        open_library(folder), seed=options.seed, on_progress=lambda share, words: _say(f"{share:.0%} {words}")
    )
    save_map(fitted, folder / MAP_FILE)
    print(json.dumps(fitted.about, indent=1))
    return 0


def _train(options: argparse.Namespace) -> int:
    from core.library import open_library
    from core.training.rad import RadRecipe, ground, train_rad
    from models.rad import save_rad

    _, clips, views, shifts = _prepared(options)
    geometry = open_library(_place(options)).geometry
    recipe = RadRecipe()
    trained = train_rad(clips, ground(clips, views, shifts, clips, recipe.tau, geometry), recipe, seed=options.seed)
    options.into.mkdir(parents=True, exist_ok=True)
    save_rad(trained.model, options.into / "rad.safetensors")
    print(
        f"wrote {options.into / 'rad.safetensors'}, last loss {sum(trained.losses[-50:]) / 50:.3f}; now run rad evaluate"
    )
    return 0


def _evaluate(options: argparse.Namespace) -> int:
    from core.library import open_library
    from core.training.rad import RadRecipe, rad_variants
    from core.training.rad_evaluate import evaluate

    detector, clips, views, shifts = _prepared(options)
    known = rad_variants(RadRecipe())
    names = list(known) if options.variants == "all" else [n for n in options.variants.split(",") if n in known]
    card = evaluate(
        options.work,
        clips,
        views,
        shifts,
        detector,
        open_library(_place(options)),
        names,
        options.seeds,
        options.into,
        _say,
    )
    print(json.dumps(card["metrics"]["leave_source_out"], indent=1))
    return 0
