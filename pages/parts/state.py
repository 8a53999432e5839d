"""The one typed object kept per browser session. Small facts only: recordings and results live in ``cache``
and jobs.

Pages read and change it through ``session()``; no other key of ``st.session_state`` is used by hand.
"""

from __future__ import annotations

import itertools
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import streamlit as st

_KEY = "earwitness"
_commands = itertools.count(1)


@dataclass(frozen=True)
class Opinion:
    """What the examiner wrote before seeing any score, in blind mode."""

    verdict: str
    words: str
    heard_s: float
    written: str


@dataclass(frozen=True)
class Command:
    """Something the player is to do once: seek, select, play. Samples at 16 kHz."""

    id: str
    seek: int | None = None
    select: tuple[int, int] | None = None
    play: bool = False


@dataclass
class Opened:
    """One recording that this session has opened, by the sha256 of its original bytes."""

    digest: str
    name: str
    path: Path | None = None  # bundled examples only: where to read it again
    notice: str = ""  # bundled examples only: what there is to notice
    made: tuple[tuple[str, str], ...] = ()  # bundled examples only: how it was made, source, licence
    selection: tuple[int, int] | None = None  # samples
    clicked: int | None = None  # sample of the last click
    wanted: int = 0  # sample around which a long recording's sound is served
    heard_s: float = 0.0
    opinion: Opinion | None = None
    command: Command | None = None
    adapters_asked: bool = False  # the second encoding, without adapters, was asked for

    @property
    def selection_s(self) -> tuple[float, float] | None:
        return None if self.selection is None else (self.selection[0] / 16_000, self.selection[1] / 16_000)


@dataclass
class Session:
    """Everything a browser session remembers between reruns."""

    opened: dict[str, Opened] = field(default_factory=dict)
    current: str | None = None
    blind: bool = False
    device: str = "auto"
    refused: dict[str, tuple[str, str]] = field(
        default_factory=dict
    )  # upload id -> (name, one-sentence reason)
    seen: dict[str, str] = field(default_factory=dict)  # upload id -> digest, so nothing is hashed twice

    @property
    def recording(self) -> Opened | None:
        """The recording under examination."""
        return self.opened.get(self.current) if self.current else None

    def open(self, opened: Opened, *, make_current: bool = True) -> None:
        """Add a recording, or come back to it; what was known about it is kept."""
        self.opened.setdefault(opened.digest, opened)
        if make_current:
            self.current = opened.digest

    def close(self, digest: str) -> None:
        """Forget a recording; the next open one takes its place."""
        self.opened.pop(digest, None)
        if self.current == digest:
            self.current = next(iter(self.opened), None)

    def scores_hidden(self) -> bool:
        """True while blind mode keeps every score of the current recording from the examiner."""
        return self.blind and self.recording is not None and self.recording.opinion is None


def session() -> Session:
    """This browser session's state."""
    if _KEY not in st.session_state:
        st.session_state[_KEY] = Session()
    return st.session_state[_KEY]


def order(opened: Opened, **what: object) -> None:
    """Have the player do something at the next drawing: ``order(opened, select=(a, b), play=True)``."""
    opened.command = Command(id=f"{uuid.uuid4().hex[:8]}-{next(_commands)}", **what)  # type: ignore[arg-type]
    if opened.command.select is not None:
        opened.selection = opened.command.select


def write_opinion(opened: Opened, verdict: str, words: str) -> None:
    """Note the examiner's own opinion; from now on blind mode no longer hides this recording's scores."""
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    opened.opinion = Opinion(verdict, words.strip(), round(opened.heard_s, 1), now)


__all__ = ["Command", "Opened", "Opinion", "Session", "order", "session", "write_opinion"]
