"""`python -m core calibrate MODEL LABELLED`: polarity verdict, error rates and calibration of a detector of your own.

Exit status: 0 calibrated, 3 the polarity can't be told or contradicts the card (the detector stays unused), 2 it could
not be done.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from core.commands.common import printable
from core.detectors.card import CROPS, NORMALISATIONS, Card, parse_card, read_json
from core.errors import InvalidOption, ModelUnavailable

OK, UNTOLD = 0, 3


def add_parser(commands: Any) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "calibrate",
        help="check and calibrate a detector of your own on labelled clips",
        description="Check which way a detector of your own points, measure it and calibrate it on labelled clips: a "
        "folder with bonafide/ and spoof/, or a CSV path,label[,speaker][,system]. The result goes to your data folder "
        "($EARWITNESS_HOME, by default ~/.local/share/earwitness), never beside the model. Exit status: 0 calibrated, 3 "
        "the polarity can't be told or contradicts the card, 2 it could not be done.",
    )
    parser.add_argument("model", metavar="MODEL", help="a folder (AST, wav2vec 2.0, HuBERT, WavLM), an AASIST "
                        "safetensors file, or the name of one opened before")
    parser.add_argument("labelled", metavar="LABELLED", help="a labelled folder or CSV")
    index = parser.add_mutually_exclusive_group()
    index.add_argument("--spoof-index", type=int, metavar="I", help="the logit that means spoof, counted from 0")
    index.add_argument("--bonafide-index", type=int, metavar="I", help="the logit that means bona fide")
    parser.add_argument("--card", metavar="JSON", help="a card to put over the one beside the weights")
    parser.add_argument("--sample-rate", type=int, metavar="HZ")
    parser.add_argument("--crop", choices=tuple(CROPS))
    parser.add_argument("--window", type=float, metavar="S", help="seconds of a window")
    parser.add_argument("--normalisation", choices=tuple(NORMALISATIONS))
    parser.add_argument("--exposure", metavar="WORDS", help="what it was trained on")
    parser.add_argument("--licence", metavar="WORDS")
    parser.add_argument("--most", type=int, metavar="N", help="clips of each class at most (default: all)")
    parser.add_argument("--dry-run", action="store_true", help="print everything, keep nothing")
    parser.add_argument("--download", action="store_true", help="MODEL is a hub id: fetch its configuration and "
                        "safetensors first (the only step that uses the network)")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of text")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    parser.add_argument("--device", default="auto", metavar="D", help="auto, cpu, cuda or mps (default: auto)")
    parser.set_defaults(func=run)


def run(options: argparse.Namespace) -> int:
    """Calibrate one detector; 3 where its polarity keeps it unused."""
    from core.detectors.calibration import calibrate
    from core.detectors.labelled import read_labelled, thinned

    own = card_of(options)
    clips = read_labelled(options.labelled)
    if options.most is not None:
        if options.most < 1:
            raise InvalidOption("--most must be at least 1.")
        clips = thinned(clips, options.most)
    detector = _load(options, own)
    found = calibrate(detector, clips, own=own, save=not options.dry_run, on_progress=_progress(options))
    if options.json:
        print(json.dumps({"detector": found.detector.name, **found.to_json()}, ensure_ascii=False, allow_nan=False))
    else:
        print(f"{printable(found.detector.name)} ({found.detector.family}, on {found.detector.device})")
        print("\n".join(f"  {printable(line)}" for line in found.sentences()))
        print(f"  {_kept(found)}")
    for name, reason in found.scored.dropped:
        print(f"left out: {printable(name)}: {printable(reason)}", file=sys.stderr)
    return OK if found.polarity.usable else UNTOLD


def card_of(options: argparse.Namespace) -> Card:
    """What the options say of the card, checked like a card. Raises ModelUnavailable, InvalidOption."""
    given = Card()
    if options.card:
        data = read_json(Path(options.card).expanduser(), f"The card {Path(options.card).name}")
        if data is None:
            raise InvalidOption(f"There is no card {options.card}; give a JSON file.")
        given = parse_card(data, f"The card {Path(options.card).name}")
    crop = {k: v for k, v in (("policy", options.crop), ("seconds", options.window)) if v is not None}
    said = {"spoof_index": options.spoof_index, "bonafide_index": options.bonafide_index, "crop": crop or None,
            "sample_rate_hz": options.sample_rate, "normalisation": options.normalisation,
            "exposure": options.exposure, "licence": options.licence}
    return given.merged(parse_card({k: v for k, v in said.items() if v is not None}, "An option"))


def _load(options: argparse.Namespace, own: Card) -> Any:
    from core.detectors import aasist, external

    if options.download:
        return external.load(external.fetch(options.model), options.device, own)
    if aasist.recognises(options.model):
        return aasist.load(options.model, options.device, own)
    if external.recognises(options.model):
        return external.load(options.model, options.device, own)
    raise ModelUnavailable(f"There is no detector of yours {options.model[:200]!r}; give a local model folder or an "
                           "AASIST safetensors file (a hub id needs --download).")


def _progress(options: argparse.Namespace) -> Any:
    if options.quiet or options.json:
        return None
    shown = [-1]

    def tell(share: float) -> None:
        if int(10 * share) > shown[0]:
            shown[0] = int(10 * share)
            print(f"{share:.0%} of the clips heard", file=sys.stderr)

    return tell


def _kept(found: Any) -> str:
    if found.saved is not None:
        return f"Kept in {found.saved.parent}; the detector can now be loaded as {printable(found.detector.name)}."
    return "Nothing was kept." if found.polarity.usable else "It stays unused."
