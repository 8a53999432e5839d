"""How a detector of the user's own stands, told from files alone: its card, what is missing, verdict, calibration.

For lists and pages: nothing here loads a network.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.calibrate import Calibration
from core.detectors import aasist, external, store
from core.detectors.card import Card
from core.detectors.clip import refusal_of, scoring_digest
from core.detectors.loading import Inspection
from core.detectors.polarity import Polarity
from core.errors import EarwitnessError, InvalidOption

NOTHING_SAID = Card()


@dataclass(frozen=True, eq=False)
class Standing:
    """One remembered detector. ``problem``: why its files can't be used any more; then the rest is empty."""

    name: str
    path: Path
    files_sha256: str
    seen: Inspection | None = None
    terms: Card = NOTHING_SAID
    polarity: Polarity | None = None
    calibration: Calibration | None = None
    measured: dict[str, Any] | None = None
    stamp: str = ""  # changes whenever its opinion would
    problem: str = ""

    @property
    def refusal(self) -> str:
        """Why it gives no score yet; empty where it does."""
        if self.problem or self.seen is None:
            return self.problem or "Its files can't be read."
        return refusal_of(self.terms, self.seen.n_logits, self.polarity)


def inspect(path: Path | str) -> Inspection:
    """What a folder or weights file says about itself. Raises ModelUnavailable, InvalidOption with one sentence."""
    place = Path(str(path).strip()).expanduser()
    if not str(path).strip() or not place.exists():
        raise InvalidOption("There is no such file or folder on this machine; give the whole path.")
    if aasist.recognises(place):
        return aasist.inspect(place)
    if place.is_file():
        raise InvalidOption("This file is no AASIST in safetensors; for other families give the model's folder.")
    return external.inspect(place)


def open_detector(path: Path | str) -> Standing:
    """Inspect a detector and remember where it lies. Raises ModelUnavailable, InvalidOption."""
    seen = inspect(path)
    return standing(store.remember(seen.path, seen.files_sha256))


def standing(record: store.Record) -> Standing:
    """How a remembered detector stands; never raises for its files."""
    try:
        seen = inspect(record.path)
        if seen.files_sha256 != record.files_sha256:
            raise InvalidOption("Its files have changed since it was opened; open it again.")
        terms = seen.terms
        terms.bona_fide_logit(seen.n_logits)
        scoring = scoring_digest(record.files_sha256, terms)
        polarity = Polarity.from_json(store.read_checked(record.files_sha256, "polarity.json", scoring))
        kept = store.read_calibration(record.files_sha256, scoring)
    except EarwitnessError as problem:
        return Standing(record.name, record.path, record.files_sha256, problem=problem.message)
    except OSError:
        return Standing(record.name, record.path, record.files_sha256, problem="Its files can't be read.")
    measured = store.read_checked(record.files_sha256, "measured.json", scoring) if kept else None
    state = f"{scoring}\n{polarity.state if polarity else ''}\n{kept[1] if kept else ''}"
    return Standing(record.name, record.path, record.files_sha256, seen, terms, polarity, kept[0] if kept else None,
                    measured, hashlib.sha256(state.encode()).hexdigest())


def all_standing() -> tuple[Standing, ...]:
    """Every detector that the user opened, by name."""
    return tuple(standing(record) for record in store.records())
