"""What must be known of a detector before its score means anything: its card, read strictly, drafted, merged.

A card is a small JSON file, ``earwitness.json`` beside the weights (for a weights file among others
``NAME.earwitness.json``), or what the user fills in. Everything in it is hostile input and checked.

    {"schema": "earwitness/detector/1", "title": "...", "spoof_index": 0, "sample_rate_hz": 16000,
     "crop": {"policy": "tiled", "seconds": 4.0375}, "normalisation": "none",
     "exposure": "ASVspoof 2019 LA, training part", "licence": "MIT"}

Which logit means what is named by ``spoof_index`` or ``bonafide_index``, never guessed from a label's name: a draft
may suggest one, and it stays a suggestion until known clips confirm it (``core.detectors.polarity``).
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from core.errors import ModelUnavailable

SCHEMA = "earwitness/detector/1"
FILE = "earwitness.json"
CROPS = {
    "tiled": "windows one after the other; a shorter one is repeated until it is full",
    "windows": "windows one after the other; a shorter recording is heard as it is",
    "whole": "the whole recording in one go, cut only beyond one minute",
}  # fmt: skip
NORMALISATIONS = {
    "none": "samples as they are",
    "zero-mean-unit-variance": "each window to zero mean and unit variance",
    "feature-extractor": "as the feature extractor's own file says",
}
MOST_BYTES = 1_000_000
WORDS = 2_000  # characters kept of any text
WHOLE_S = 60.0  # of a recording heard in one go at most
RATES_HZ = (4_000, 192_000)
SECONDS = (0.1, 60.0)


@dataclass(frozen=True)
class Card:
    """A card; None where it doesn't say. ``bonafide_index`` and ``spoof_index`` count logits from 0."""

    title: str = ""
    spoof_index: int | None = None
    bonafide_index: int | None = None
    sample_rate_hz: int | None = None
    crop: str | None = None  # one of CROPS
    crop_s: float | None = None  # seconds of a window; not for "whole"
    normalisation: str | None = None  # one of NORMALISATIONS
    exposure: str = ""  # what it was trained on, in words
    licence: str = ""
    source: str = ""
    pool_ratios: tuple[float, ...] | None = None  # AASIST only
    temperatures: tuple[float, ...] | None = None  # AASIST only

    def merged(self, other: Card) -> Card:
        """This card with whatever ``other`` says put over it; an index given by ``other`` replaces both."""
        said = {k: v for k, v in asdict(other).items() if v not in (None, "")}
        if "spoof_index" in said or "bonafide_index" in said:
            said = {"spoof_index": None, "bonafide_index": None} | said
        if said.get("crop") == "whole":
            said["crop_s"] = None
        return replace(self, **said)

    def missing(self, n_logits: int) -> tuple[str, ...]:
        """What is still to be said before the detector can be checked, in plain words."""
        wanted = {
            "sample rate": self.sample_rate_hz,
            "crop policy": self.crop,
            "window length": 0 if self.crop in (None, "whole") else self.crop_s,
            "normalisation": self.normalisation,
        }
        gaps = [name for name, value in wanted.items() if value is None]
        if n_logits > 2 and self.bonafide_index is None:
            gaps.append("which logit means bona fide")
        return tuple(gaps)

    def unsaid(self) -> tuple[str, ...]:
        """What the card should say and doesn't, though a score can do without."""
        return tuple(n for n, v in (("training exposure", self.exposure), ("licence", self.licence)) if not v)

    def bona_fide_logit(self, n_logits: int) -> int | None:
        """The logit that is higher for bona fide speech; None where the card doesn't say. -1: the only logit, negated.

        Raises ModelUnavailable where its indices and the number of logits contradict each other.
        """
        for index in (self.spoof_index, self.bonafide_index):
            if index is not None and not 0 <= index < n_logits:
                raise ModelUnavailable(f"The card names logit {index}, but the network has {n_logits}, counted from 0; "
                                       "correct the card.")
        if self.spoof_index is not None and self.spoof_index == self.bonafide_index:
            raise ModelUnavailable("The card gives the same logit to bona fide and to spoof; correct the card.")
        if self.bonafide_index is not None:
            return self.bonafide_index
        if self.spoof_index is None or n_logits > 2:
            return None
        return -1 if n_logits == 1 else 1 - self.spoof_index

    @property
    def scoring_sha256(self) -> str:
        """Digest of the fields that the score depends on."""
        fields = asdict(self)
        for name in ("title", "exposure", "licence", "source"):
            fields.pop(name)
        return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """As it stands in the file; what it doesn't say is left out."""
        fields = {k: v for k, v in asdict(self).items() if v not in (None, "")}
        crop = {k: fields.pop(f) for k, f in (("policy", "crop"), ("seconds", "crop_s")) if f in fields}
        return {"schema": SCHEMA, **fields, **({"crop": crop} if crop else {})}


def parse_card(data: Any, name: str = "The card") -> Card:
    """A card from parsed JSON. Raises ModelUnavailable with a sentence that names the field."""
    if not isinstance(data, Mapping):
        raise ModelUnavailable(f"{name} isn't a JSON object; write it as the README shows.")
    if data.get("schema", SCHEMA) != SCHEMA:
        raise ModelUnavailable(f"{name} has another schema than {SCHEMA}; write it as the README shows.")
    crop = data.get("crop") or {}
    if not isinstance(crop, Mapping):
        raise _wrong(name, "crop", 'an object such as {"policy": "tiled", "seconds": 4.04}')
    policy = {"first": "tiled"}.get(crop.get("policy"), crop.get("policy")) if _text_or_none(crop) else _no(name)
    card = Card(
        spoof_index=_integer(data, "spoof_index", 0, 9_999, name),
        bonafide_index=_integer(data, "bonafide_index", 0, 9_999, name),
        sample_rate_hz=_integer(data, "sample_rate_hz", *RATES_HZ, name),
        crop=_choice(policy, "crop policy", CROPS, name),
        crop_s=None if policy == "whole" else _real(crop, "seconds", *SECONDS, name),
        normalisation=_choice(data.get("normalisation"), "normalisation", NORMALISATIONS, name),
        pool_ratios=_reals(data, "pool_ratios", 0.0, 1.0, name),
        temperatures=_reals(data, "temperatures", 1e-3, 1e4, name),
        **{key: _words(data, key, name) for key in ("title", "exposure", "licence", "source")},
    )
    if card.spoof_index is not None and card.spoof_index == card.bonafide_index:
        raise ModelUnavailable(f"{name} gives the same logit to bona fide and to spoof; correct it.")
    return card


def read_json(path: Path, what: str) -> Any:
    """A small JSON file, or None where there is none. Raises ModelUnavailable."""
    try:
        if not path.is_file():
            return None
        if path.stat().st_size > MOST_BYTES:
            raise ModelUnavailable(f"{what} is larger than {MOST_BYTES // 1_000_000} MB and isn't read.")
        return json.loads(path.read_text(encoding="utf-8"), parse_constant=_not_a_number)
    except (OSError, ValueError, RecursionError) as problem:
        raise ModelUnavailable(f"{what} can't be read as JSON; correct or remove it.") from problem


def card_beside(weights: Path) -> Card | None:
    """The card beside a model folder's or a single file's weights; None where there is none."""
    if weights.is_dir():
        places = [weights / FILE]
    else:
        alone = len(list(weights.parent.glob("*.safetensors"))) == 1
        places = [weights.with_name(f"{weights.stem}.{FILE}"), *([weights.parent / FILE] if alone else [])]
    for place in places:
        data = read_json(place, f"The card {place.name}")
        if data is not None:
            return parse_card(data, f"The card {place.name}")
    return None


def _not_a_number(name: str) -> float:
    raise ValueError(f"{name} is no JSON")


def _wrong(name: str, field: str, wanted: str) -> ModelUnavailable:
    return ModelUnavailable(f"{name}: {field} must be {wanted}.")


def _no(name: str) -> None:
    raise _wrong(name, "crop policy", f"one of {', '.join(CROPS)}")


def _text_or_none(crop: Mapping[str, Any]) -> bool:
    return crop.get("policy") is None or isinstance(crop["policy"], str)


def _integer(data: Mapping[str, Any], key: str, low: int, high: int, name: str) -> int | None:
    value = data.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise _wrong(name, key, f"a whole number from {low} to {high}")
    return value


def _real(data: Mapping[str, Any], key: str, low: float, high: float, name: str) -> float | None:
    value = data.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not (math.isfinite(value) and
                                                                             low <= value <= high):
        raise _wrong(name, key, f"a number from {low:g} to {high:g}")
    return float(value)


def _reals(data: Mapping[str, Any], key: str, low: float, high: float, name: str) -> tuple[float, ...] | None:
    values = data.get(key)
    if values is None:
        return None
    if not isinstance(values, list | tuple) or len(values) < 3:
        raise _wrong(name, key, "a list of three numbers")
    return tuple(_real({key: v}, key, low, high, name) or low for v in values[:3])


def _choice(value: Any, field: str, choices: Mapping[str, str], name: str) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or value not in choices:
        raise _wrong(name, field, f"one of {', '.join(choices)}")
    return value


def _words(data: Mapping[str, Any], key: str, name: str) -> str:
    value = data.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise _wrong(name, key, "text")
    return "".join(" " if c.isspace() else c for c in value if c.isprintable() or c.isspace())[:WORDS].strip()
