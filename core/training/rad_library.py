"""What the default library is made of: the training corpus, without its audio, and the bundled examples, which play."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path

from core.library.records import Wanted
from core.training.corpus import CorpusError

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def corpus_clips(corpus: Path) -> list[Wanted]:
    """Every clip of the corpus, with the public address it came from. Raises CorpusError without a manifest."""
    path = corpus / "manifest.csv"
    if not path.is_file():
        raise CorpusError(f"{path} is missing: give the folder that holds manifest.csv.")
    with path.open(newline="", encoding="utf-8") as file:
        return [Wanted(corpus / row["file"], _facts(row)) for row in csv.DictReader(file)]


def _facts(row: dict[str, str]) -> dict[str, str]:
    origin = row.get("source_path", "")
    if row.get("source_commit"):
        origin = f"https://github.com/{row['source']}/blob/{row['source_commit']}/{origin}"
    names = ("label", "system", "family", "speaker", "language", "partial", "licence", "source")
    facts = {name: row.get(name, "") for name in names}
    return facts | {"name": row["clip"], "codec": row.get("source_codec", ""), "origin": origin}


def example_clips() -> Iterator[Wanted]:
    """The bundled examples with what is known of them."""
    for entry in json.loads((EXAMPLES / "examples.json").read_text(encoding="utf-8")):
        bonafide = entry["truth"] == "bona fide"
        spliced = "; ".join(f"{a:g}-{b:g} s" for a, b in entry.get("spliced_s", ()))
        yield Wanted(
            EXAMPLES / entry["file"],
            {
                "name": entry["file"],
                "label": "bonafide" if bonafide else "spoof",
                "system": entry.get("system", ""),
                "family": "human" if bonafide else entry.get("family", ""),
                "partial": spliced,
                "source": "bundled example",
                "speaker": _speaker(entry.get("attribution", "")),
                "language": entry.get("language", ""),
                "licence": entry.get("licence", ""),
                "origin": entry.get("attribution", ""),
            },
        )


def _speaker(attribution: str) -> str:
    """The person whose voice an example has, where its attribution begins with one."""
    return "" if attribution.startswith("made for") else attribution.split(" (", maxsplit=1)[0]
