"""`python -m core acorl train|evaluate`: complementary members and their alliance. Heavy modules load when run."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

INTO = Path(__file__).resolve().parents[2] / "models" / "weights" / "acorl-tiny"


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Register the command and its parts."""
    parser = subparsers.add_parser("acorl", help="complementary members: train, evaluate")
    parts = parser.add_subparsers(dest="part", required=True, metavar="PART")
    for name, words, func in (("train", "train members and alliance on the whole corpus", _train),
                              ("evaluate", "leave-source-out figures; writes fusion, calibrations and card", _evaluate)):
        part = parts.add_parser(name, help=words, description=words[0].upper() + words[1:] + ".")
        part.add_argument("--corpus", type=Path, metavar="DIR", help="folder with manifest.csv (facts of the clips)")
        part.add_argument("--work", type=Path, required=True, metavar="DIR", help="working folder of `core corpus`")
        part.add_argument("--into", type=Path, default=INTO, metavar="DIR", help="model folder to write")
        part.set_defaults(func=func)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _material(options: argparse.Namespace) -> tuple[Any, Any]:
    """The prepared corpus with its runs, and the default model."""
    from core.examine import detector_for
    from core.training.acorl_runs import Material
    from core.training.corpus import load_prepared
    from models.registry import DEFAULT_MODEL

    detector = detector_for(DEFAULT_MODEL, "cpu")
    return Material.load(options.work, load_prepared(options.work), detector.network, _say), detector


def _train(options: argparse.Namespace) -> int:
    from core.training.acorl_card import ship_networks

    ship_networks(_material(options)[0], options.into)
    print(f"wrote the networks into {options.into}; now run evaluate, which writes the rest of the folder")
    return 0


def _evaluate(options: argparse.Namespace) -> int:
    from core.errors import InvalidOption
    from core.training.acorl_card import finish

    if not (options.into / "alliance.safetensors").is_file():
        raise InvalidOption("There is no alliance.safetensors in --into: run `python -m core acorl train` first.")
    material, detector = _material(options)
    card = finish(material, detector, options.into, options.corpus)
    print(card["result"])
    return 0
