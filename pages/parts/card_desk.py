"""Which detector's card is open, what its files are, and the job that measures its held-out table."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import streamlit as st

from core import jobs
from core.jobs import Job

PLAIN = re.compile(r"[\w-][\w.-]{0,80}\.csv")


@dataclass(frozen=True)
class Card:
    """A model's card and folder. table: the held-out scores, None where there are none to be used; why: the reason."""

    name: str
    title: str
    folder: Path
    card: Mapping[str, Any]
    table: bytes | None
    table_sha256: str
    file: str
    why: str = ""
    digest: str = ""  # of the card's content
    unnamed: bool = False  # there is a table, but the card doesn't say that it belongs to these weights


def choose() -> str | None:
    """The chosen detector's registry name (or folder); None where none is installed."""
    from models import registry

    names = list(registry.detector_names())
    names += [n for n in sorted(p.parent.name for p in registry.WEIGHTS.glob("*/card.json")) if n not in names]
    if registry.DEFAULT_MODEL not in names and Path(registry.DEFAULT_MODEL).is_dir():
        names.insert(0, registry.DEFAULT_MODEL)
    if len(names) < 2:
        return names[0] if names else None
    return st.selectbox("Detector", names, format_func=lambda n: Path(n).name, key="card-detector")


def open_card(name: str) -> Card | str:
    """The card and the held-out table beside it, or one sentence about why there is none."""
    from models import registry

    try:
        folder, card = _read(name)
    except (registry.DetectorUnavailable, FileNotFoundError) as problem:
        return str(problem)
    except RecursionError:
        return f"The card of {Path(name).name} can't be read; fetch the model again."
    stated = card.get("validation") if isinstance(card.get("validation"), Mapping) else {}
    file = stated.get("file", "validation.csv")
    table, digest, why = _table(folder, file, stated.get("sha256"))
    title = card.get("name") if isinstance(card.get("name"), str) else folder.name
    content = hashlib.sha256(json.dumps(card, sort_keys=True).encode("utf-8", "replace")).hexdigest()
    return Card(name, title[:80], folder, card, table, digest, str(file)[:80], why, content,
                unnamed=table is not None and not isinstance(stated.get("sha256"), str))


def _read(name: str) -> tuple[Path, dict[str, Any]]:
    """Folder and card; also of a model whose network is of another kind than the registry's. Raises as the registry."""
    from models import registry

    folder = registry.WEIGHTS / name
    if name in registry.detector_names() or not (folder / "card.json").is_file():
        return registry.model_folder(name), registry.read_card(name)
    try:
        card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        card = None
    if not isinstance(card, dict):
        raise registry.DetectorUnavailable(f"The card of {folder.name} can't be read; fetch the model again.")
    return folder, card


def _table(folder: Path, file: Any, expected: Any) -> tuple[bytes | None, str, str]:
    """(bytes, sha256, reason there are none). Only a plain file name beside the card is opened."""
    from core.validation import MAX_BYTES

    if not isinstance(file, str) or not PLAIN.fullmatch(file):
        return None, "", "The card names its table of held-out scores by something that is no plain file name."
    path = folder / file
    try:
        if not path.is_file():
            return None, "", f"There is no table of held-out scores ({file}) beside this card."
        if path.stat().st_size > MAX_BYTES:
            return None, "", f"{file} is too large to be read here."
        body = path.read_bytes()
    except OSError as problem:
        return None, "", f"{file} can't be read ({problem.strerror})."
    digest = hashlib.sha256(body).hexdigest()
    if isinstance(expected, str) and expected != digest:
        return None, digest, f"{file} is not the table that the card names, so nothing is drawn from it."
    return body, digest, ""


def validating(found: Card, *, again: bool = False) -> Job:
    """The job that reads and measures the held-out table; its result is ``(HeldOutScores, Validation)``. One that failed
    or was cancelled is only run anew where ``again`` is asked for.
    """
    key = ("validation", found.table_sha256, found.title)
    known = jobs.find(key)
    if known is not None and not again:
        return known
    body, file, name = found.table, found.file, found.title

    def work(job: Job) -> tuple:
        from core.validation import HeldOutScores
        from core.validation_tables import validate

        job.report(0.02, "reading the table")
        held = HeldOutScores.from_csv(body or b"", file)
        return held, validate(held, name, on_progress=lambda share, words: job.report(0.05 + 0.95 * share, words))

    return jobs.submit(key, work, lane="quick", weigh=lambda result: 1_500 * len(result[0]))
