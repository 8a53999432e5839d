"""Detectors that give an opinion of their own beside the default finding. See ``base`` for the contract.

A family is one module here with ``names() -> tuple[str, ...]``, ``recognises(name_or_path) -> bool`` and
``load(name_or_path, device) -> ClipDetector``, and one line in ``FAMILIES``; the first that recognises a name loads it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from core.detectors.base import ClipDetector, Opinion
from core.errors import Cancelled, EarwitnessError, ModelUnavailable

if TYPE_CHECKING:
    from core.audio import Recording
    from core.encode import Encoding

FAMILIES = (
    "core.detectors.finfoed",  # shipped and trained here
    "core.detectors.panel",  # what decides in the default finding, to be explained
    "core.detectors.rad",  # retrieval, with a reference library
    "core.detectors.acorl",  # complementary members, their alliance and fusion
    "core.detectors.aasist",  # a weights file of AASIST or AASIST-L
    "core.detectors.external",  # a folder of an audio classifier of transformers
)


def _families() -> list[ModuleType]:
    return [import_module(name) for name in FAMILIES]


def names() -> tuple[str, ...]:
    """All detectors that can be loaded by name: shipped ones first, then those that the user opened before."""
    found = [name for family in _families() for name in family.names()]
    return tuple(dict.fromkeys(found))


def load(name_or_folder: str | Path, device: str = "auto") -> ClipDetector:
    """A detector by name, weights file or folder. Raises ModelUnavailable with one sentence.

    One that a user brought gives no score before its polarity is verified; its ``opinion`` then says why.
    """
    for family in _families():
        if family.recognises(name_or_folder):
            return family.load(name_or_folder, device)
    known = ", ".join(names()) or "none"
    raise ModelUnavailable(f"There is no detector {str(name_or_folder)[:200]!r}; give a model folder, a safetensors file "
                           f"or one of: {known}.")


def opinions(recording: Recording, encoding: Encoding | None = None, names: Sequence[str | Path] = (),
             device: str = "auto", *, on_progress: Callable[[float, str], Any] | None = None,
             cancelled: Callable[[], bool] | None = None) -> list[Opinion]:
    """What each detector says of one recording, in the order of ``names``.

    One that can't be loaded or fails gives an opinion without a score whose note says why. Raises Cancelled.
    """
    found = []
    for place, name in enumerate(names):
        def tell(share: float, place: int = place, name: str | Path = name) -> None:
            if on_progress is not None:
                on_progress((place + share) / len(names), f"{Path(name).name} is listening")

        tell(0.0)
        try:
            found.append(load(name, device).opinion(recording, encoding, on_progress=tell, cancelled=cancelled))
        except Cancelled:
            raise
        except EarwitnessError as problem:
            found.append(refused(str(name), problem.message))
    return found


def refused(name: str, why: str) -> Opinion:
    """An opinion without a score."""
    return Opinion(name, Path(name).name, "", None, None, None, (), np.zeros(0), notes=(why,))
