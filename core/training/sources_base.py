"""What a source of training material is: options in, items out, one small file per kind.

A source is a function ``items(options, context)`` that yields one :class:`SourceItem` per clip it could give, and tells
``context.report`` about everything it can't. It decodes nothing: the builder reads the audio, or has it spoken, later and
in parallel. A source that is not on this machine raises :class:`SourceAbsent`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.training.corpus import Clip, CorpusError

if TYPE_CHECKING:
    from core.training.synthesisers import Utterance

PROJECT = Path(__file__).resolve().parents[2]
BESIDE = PROJECT.parent / "shared" / "corpus"  # the openly licensed corpus beside the project


class SourceAbsent(CorpusError):
    """The source is not on this machine; the message says what is missing and how to get it."""

    code = "source-absent"


@dataclass(frozen=True)
class Dropped:
    """One thing that could not be used. kind: wrong-row, missing, unreadable, unusable, not-spoken, contradiction."""

    clip: str
    source: str
    kind: str
    reason: str


@dataclass(frozen=True)
class SourceItem:
    """One clip to be made: from an audio file, a stretch of one (``cut``, seconds), or an utterance to be spoken."""

    clip: Clip
    path: Path | None = None
    cut: tuple[float, float] | None = None
    speech: Utterance | None = None


@dataclass(frozen=True)
class Context:
    """What a source may know: the folder that relative paths start from, the corpus beside the project, where to report,
    the seed, and the longest clip in seconds.
    """

    folder: Path
    corpus: Path = BESIDE
    report: Callable[[Dropped], None] = lambda dropped: None
    seed: int = 0
    max_seconds: float = 8.0
    told: dict[str, str] = field(default_factory=dict)  # plain sentences for the build's report, by source

    def path(self, text: str) -> Path:
        """A folder named in a recipe: ``{corpus}`` stands for the corpus beside the project, ``~`` for the home."""
        return (self.folder / Path(text.replace("{corpus}", str(self.corpus))).expanduser()).resolve()


Source = Callable[[Mapping[str, Any], Context], Iterator[SourceItem]]


def option(options: Mapping[str, Any], name: str, kind: type, default: Any = None) -> Any:
    """One option of the right type. Raises CorpusError where it is missing (no default) or of another type."""
    value = options.get(name, default)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if value is None and name not in options:
        raise CorpusError(f"A source of kind {options.get('kind')!r} needs the option {name!r}.")
    if not isinstance(value, kind):
        raise CorpusError(f"The option {name!r} of a source must be of type {kind.__name__}, not {value!r}.")
    return value
