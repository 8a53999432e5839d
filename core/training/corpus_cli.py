"""``python -m core corpus``: build a corpus from a recipe, say what is on this machine, train a vocoder for copies.

Without an action it prepares one folder with a manifest, as ``train`` and ``evaluate`` do by themselves.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

ACTIONS = ("build", "sources", "vocoder")


def add_parser(subparsers: argparse._SubParsersAction, prepare: Callable[[argparse.Namespace], int]) -> None:
    """Register the command; ``prepare`` is what it does without an action."""
    parser = subparsers.add_parser(
        "corpus", help="build or prepare a corpus for training (sources, copies, degraded views)",
        description="build: assemble a corpus from a recipe, resumably. sources: say which sources, synthesisers and "
                    "copiers are on this machine. vocoder: train a small vocoder on bona fide clips, for copies. Without "
                    "an action: prepare the folder --corpus in --work.")
    parser.add_argument("action", nargs="?", choices=ACTIONS)
    parser.add_argument("--corpus", type=Path, metavar="DIR", help="folder with manifest.csv (default: beside us)")
    parser.add_argument("--work", type=Path, metavar="DIR", help="working folder, resumable")
    parser.add_argument("--workers", type=int, default=2, help="processes that prepare the corpus")
    parser.add_argument("--into", type=Path, metavar="DIR", help="build, vocoder: folder to write, resumable")
    parser.add_argument("--from", dest="recipe", default="default", metavar="RECIPE",
                        help="build: a TOML or JSON file, or a shipped recipe (default, full)")
    parser.add_argument("--kind", default="istft", help="vocoder: istft, hifigan, nsf or vq")
    parser.add_argument("--steps", type=int, default=4000, help="vocoder: training steps")
    parser.add_argument("--minutes", type=float, help="vocoder: stop after so long; a second call goes on")
    parser.add_argument("--seed", type=int, default=0, help="vocoder: seed")
    parser.set_defaults(func=lambda options: _run(options, prepare))


def _run(options: argparse.Namespace, prepare: Callable[[argparse.Namespace], int]) -> int:
    from core.errors import InvalidOption
    from core.training.sources_base import BESIDE

    if options.action == "sources":
        return _sources()
    if options.action:
        options.corpus = options.corpus or BESIDE
        if options.action == "build":
            options.into = options.into or Path("runs") / "corpus"
            return _build(options)
        options.into = options.into or Path("runs") / "vocoders" / options.kind
        return _vocoder(options)
    if options.corpus is None or options.work is None:
        raise InvalidOption("Give --corpus and --work, or the action build with --into.")
    return prepare(options)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _build(options: argparse.Namespace) -> int:
    from core.training.corpus_build import build
    from core.training.recipes import load_recipe

    def progress(done: int, total: int) -> None:
        if done % 200 == 0 or done == total:
            _say(f"made {done} of {total} clips")

    report = build(load_recipe(options.recipe), options.into, corpus=options.corpus, workers=options.workers,
                   on_progress=progress)
    for name, said in report.told.items():
        print(f"{name}: {said}")
    for kind, count in report.summary["dropped"]["by_kind"].items():
        print(f"dropped, {kind}: {count}")
    print(f"{len(report.clips)} clips, {report.summary['hours']:.1f} h, ready in {options.into}; "
          f"{len(report.dropped)} dropped, each named in dropped.csv")
    return 0


def _sources() -> int:
    from core.corpora import TITLES
    from core.training.copies import COPIERS, absent
    from core.training.recipes import shipped
    from core.training.sources_packages import PACKAGES, how_to_get, package_files
    from core.training.synthesisers import synthesisers

    print(f"recipes: {', '.join(shipped())}")
    print(f"published layouts: {', '.join(TITLES.values())}")
    for name in COPIERS:
        print(f"copier {name}: {absent(name) or 'present'}")
    print("copier neural: with the vocoders that `corpus vocoder` trains")
    for name, engine in synthesisers().items():
        missing = engine.absent()
        print(f"synthesiser {name}: {missing or f'present, {len(engine.voices())} voices'}")
    for name in PACKAGES:
        count = len(package_files(name))
        print(f"package {name}: {f'present, {count} files' if count else f'absent: {how_to_get(name)}'}")
    return 0


def _vocoder(options: argparse.Namespace) -> int:
    from core.training.corpus import read_manifest
    from core.training.corpus_make import read_sound
    from core.training.vocoders import recipe_for, train_vocoder

    recipe = recipe_for(options.kind, options.steps)
    clips, skipped = [], 0
    for clip in read_manifest(options.corpus):
        if clip.bonafide:
            try:
                clips.append(read_sound(options.corpus / clip.file))
            except (OSError, RuntimeError):
                skipped += 1

    def progress(step: int, steps: int, loss: float) -> None:
        if step % 50 == 0 or step == steps:
            _say(f"{options.kind}: step {step} of {steps}, spectral loss {loss:.3f}")

    stages = train_vocoder(clips, options.into, recipe, seed=options.seed, minutes=options.minutes, on_step=progress)
    print(f"trained on {len(clips)} clips ({skipped} could not be read); stages: {', '.join(p.name for p in stages)}")
    return 0
