"""`python -m core library ...`: build, add, remove, list, verify and export reference libraries; and what is near."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from core.commands.common import Bar, add_model_options, printable


def add_parser(commands: Any) -> None:
    """Register the command and its parts."""
    parser = commands.add_parser(
        "library",
        help="reference library: build, add, list, verify, export, neighbours",
        description="The reference library of known recordings.",
    )
    parts = parser.add_subparsers(dest="part", required=True, metavar="PART")
    for name, words in (("build", "make a library from a folder, or go on with one"), ("add", "add a folder's clips")):
        part = _part(parts, name, words, _add)
        part.add_argument("source", type=Path, metavar="FOLDER", help="with manifest.csv, or a corpus in its own layout")
        part.add_argument("--layout", default="auto", metavar="NAME", help="manifest or a corpus layout (default: auto)")
        part.add_argument("--no-audio", action="store_true", help="don't note where the clips can be played")
        add_model_options(part)
    _part(parts, "remove", "take clips out, by sha256", _remove).add_argument("digests", nargs="+", metavar="SHA256")
    listing = _part(parts, "list", "snapshots and counts", _list)
    listing.add_argument("--clips", action="store_true", help="every clip, one line each")
    add_model_options(_part(parts, "verify", "check every file against its digest; exit 2 where one is wrong", _verify))
    export = _part(parts, "export", "write the facts as CSV and JSON", _export)
    export.add_argument("into", type=Path, metavar="DIR")
    export.add_argument("--numbers", action="store_true", help="vectors and segments too")
    near = _part(parts, "neighbours", "the nearest known recordings of a file", _neighbours)
    near.add_argument("file", type=Path, metavar="FILE")
    near.add_argument("-k", type=int, default=5, metavar="K", help="neighbours per layer (default: 5)")
    near.add_argument("--index", default="exact", choices=("exact", "ivf", "hnsw"), help="for very large libraries")
    near.add_argument("--json", action="store_true", help="one JSON object, with the provenance of every neighbour")
    add_model_options(near)


def _part(parts: Any, name: str, words: str, func: Any) -> argparse.ArgumentParser:
    part = parts.add_parser(name, help=words, description=words[0].upper() + words[1:] + ".")
    part.add_argument("--library", type=Path, metavar="DIR", help="library folder (default: the shipped one)")
    part.set_defaults(func=func)
    return part


def _folder(options: argparse.Namespace) -> Path:
    from core.library import DEFAULT

    return options.library or DEFAULT


def _add(options: argparse.Namespace) -> int:
    from core.errors import InvalidOption
    from core.examine import detector_for
    from core.library import DEFAULT, open_library
    from core.library.build import Report, build
    from core.library.geometry import encoder_digest
    from core.library.records import read_source
    from models.registry import DEFAULT_MODEL

    if options.library is None:
        raise InvalidOption("Name a folder with --library: the shipped library stays as it is.")
    detector, report = detector_for(options.model or DEFAULT_MODEL, options.device), Report()
    wanted = list(read_source(options.source, options.layout, report.refused))
    geometry = None
    if (DEFAULT / "geometry.safetensors").is_file():  # the shipped map, so that RAD can use the library
        shipped = open_library().geometry
        geometry = shipped if shipped.encoder_sha256 == encoder_digest(detector) else None
    bar = Bar(len(wanted))
    build(
        options.library,
        wanted,
        detector,
        geometry=geometry,
        keep_audio=not options.no_audio,
        note=f"{options.part} {printable(str(options.source))}",
        on_progress=lambda _, name: bar.step(name),
        report=report,
    )
    for refusal in report.refused:
        print(f"left out: {printable(refusal.what)}: {printable(refusal.reason)}", file=sys.stderr)
    s = report.snapshot
    print(
        f"{report.added} added, {report.known} were there already, {len(report.refused)} left out; "
        f"snapshot {s.id[:12]} of {s.clips} clips, {s.segments} segments"
    )
    return 0


def _remove(options: argparse.Namespace) -> int:
    from core.errors import InvalidOption
    from core.library.upkeep import remove

    if options.library is None:
        raise InvalidOption("Name a folder with --library: the shipped library stays as it is.")
    s = remove(options.library, options.digests, "remove")
    print(f"snapshot {s.id[:12]} of {s.clips} clips, {s.segments} segments")
    return 0


def _list(options: argparse.Namespace) -> int:
    from core.library import open_library
    from core.library.upkeep import counts

    library = open_library(_folder(options))
    if options.clips:
        for c in library.clips:
            print(
                f"{c.sha256[:12]}  {c.label:<8}  {c.seconds:6.2f} s  {printable(c.title)}  {printable(c.name)}  "
                f"{printable(c.source)}  {printable(c.licence)}"
            )
        return 0
    for s in library.store.snapshots():
        print(f"{s.id[:12]}  {s.created}  {s.clips} clips, {s.segments} segments  {printable(s.note)}")
    if waiting := library.store.waiting():
        print(f"{waiting} clips of an unfinished build wait; run the same build again")
    for name, found in counts(library).items():
        words = ", ".join(f"{printable(value) or 'not stated'} {n}" for value, n in list(found.items())[:12])
        print(f"{name} ({len(found)}): {words}{' ...' if len(found) > 12 else ''}")
    return 0


def _verify(options: argparse.Namespace) -> int:
    from core.examine import detector_for
    from core.library.geometry import encoder_digest
    from core.library.upkeep import verify
    from models.registry import DEFAULT_MODEL

    detector = detector_for(options.model or DEFAULT_MODEL, options.device)
    faults = verify(_folder(options), encoder_digest(detector))
    for fault in faults:
        print(f"{fault.file}: {fault.message}")
    print("the library is sound" if not faults else f"{len(faults)} faults")
    return 2 if faults else 0


def _export(options: argparse.Namespace) -> int:
    from core.library import open_library
    from core.library.upkeep import export

    for path in export(open_library(_folder(options)), options.into, numbers=options.numbers):
        print(path)
    return 0


def _neighbours(options: argparse.Namespace) -> int:
    from core.audio import read_recording
    from core.examine import detector_for
    from core.library import open_library
    from core.library.compare import View, compare, encoded
    from models.registry import DEFAULT_MODEL

    detector = detector_for(options.model or DEFAULT_MODEL, options.device)
    library, recording = open_library(_folder(options)), read_recording(options.file)
    found = compare(encoded(recording, detector), View(library, index=options.index), k=options.k)
    if options.json:
        print(json.dumps({"file": printable(str(options.file)), **found.to_dict()}, ensure_ascii=False))
        return 0
    print(f"{printable(recording.name)}, library snapshot {library.snapshot.id[:12]}")
    for neighbours in found.layers:
        for n in neighbours:
            print(
                f"layer {n.layer}  {n.rank:2d}  cosine {n.cosine:.3f}  {n.clip.label:<8}  {printable(n.clip.title)}  "
                f"{printable(n.clip.name)}  {printable(n.clip.source)}"
            )
    return 0
