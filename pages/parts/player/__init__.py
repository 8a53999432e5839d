"""The synchronised player: sound, waveform, spectrogram and a page's own lanes on one time axis.

A components-v2 component without a build step; its JavaScript and CSS lie beside this file. What is heard and
drawn is the 16 kHz working copy. The sound goes through Streamlit's own media endpoint in reels of five
minutes, and the browser fetches the ten seconds it needs by range, so an hour weighs no more on a page than a
minute. The component reports back the selection, the clicked sample, how much was heard and, for long
recordings, which reel is wanted next; it never causes a rerun while sound is playing, except for that last
one.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st
from streamlit.runtime import Runtime

from core.spectrum import CEILING_DB, FLOOR_DB, N_ROWS, pool, pool_map
from pages.parts import cache
from pages.parts.state import Opened

_HERE = Path(__file__).parent
_SCRIPTS = (
    "time.js",
    "spectrum.js",
    "audio.js",
    "theme.js",
    "lanes.js",
    "bench.js",
    "hands.js",
    "player.js",
)  # joined in this order into one module
_HEIGHTS = {"line": 92, "image": 132, "steps": 22}
_BARS = 40 + 12 + 22  # the rows above and below the lanes, in px
_LANE_EXTRA = 19 + 3  # title and gap, as in lanes.js
_BASE = 74 + 150 + 2 * _LANE_EXTRA + 27  # waveform, spectrogram and the time axis


@lru_cache(maxsize=1)
def _sources() -> tuple[str, str]:
    return "\n".join((_HERE / name).read_text() for name in _SCRIPTS), (_HERE / "player.css").read_text()


_mount = st.components.v2.component("earwitness_player", js=_sources()[0], css=_sources()[1])


@dataclass(frozen=True)
class Span:
    """A marked stretch in a lane; ``kind`` is spoof, bonafide, lead or neutral. Seconds."""

    start_s: float
    stop_s: float
    kind: str
    lane: str


def line_lane(
    name: str,
    label: str,
    values: np.ndarray,
    *,
    hop_s: float,
    start_s: float,
    unit: str = "",
    note: str = "",
    short: str = "",
    low: float | None = None,
    high: float | None = None,
    **look: Any,
) -> dict:
    """A curve. values : np.ndarray [shape=(T,)], NaN for gaps; ``start_s`` is the time of the centre of frame
    0.

    ``look`` may hold band=(low, high), diverging=True, above="words", below="words", colour="purple" |
    "grey".
    """
    pooled = pool(values)
    finite = pooled.mean[np.isfinite(pooled.mean)] if len(pooled.mean) else np.zeros(1)
    finite = finite if len(finite) else np.zeros(1)
    lowest, highest = float(finite.min()), float(finite.max())
    if look.get("band") is not None:
        lowest, highest = min(lowest, look["band"][0]), max(highest, look["band"][1])
    if look.get("diverging"):
        highest = max(abs(lowest), abs(highest), 1.0)
        lowest = -highest
    room = max(1e-3, highest - lowest) * 0.06
    return {
        "id": name,
        "kind": "line",
        "label": label,
        "note": note,
        "short": short or label,
        "unit": unit,
        "values": _floats(pooled.mean),
        "lows": _floats(pooled.low),
        "highs": _floats(pooled.high),
        "hop_s": hop_s * pooled.factor,
        "start_s": start_s + (pooled.factor - 1) / 2 * hop_s,
        "low": lowest - room if low is None else low,
        "high": highest + room if high is None else high,
        **look,
    }


def image_lane(
    name: str,
    label: str,
    values: np.ndarray,
    *,
    hop_s: float,
    start_s: float,
    note: str = "",
    top_label: str = "",
    bottom_label: str = "",
) -> dict:
    """A map over time. values : np.ndarray [shape=(T, D)], row 0 is drawn on top; the 1st to 99th percentile
    is shown.
    """
    pooled, factor = pool_map(values)
    low, high = np.percentile(pooled, [1, 99]) if pooled.size else (0.0, 1.0)
    pixels = np.clip((pooled - low) / max(1e-6, high - low) * 255, 0, 255).astype(np.uint8).T  # (D, C)
    return {
        "id": name,
        "kind": "image",
        "label": label,
        "note": note,
        "rows": pixels.shape[0],
        "columns": pixels.shape[1],
        "values": _base64(np.ascontiguousarray(pixels)),
        "hop_s": hop_s * factor,
        "start_s": start_s + (factor - 1) / 2 * hop_s,
        "top_label": top_label,
        "bottom_label": bottom_label,
    }


def steps_lane(
    name: str, label: str, values: np.ndarray, *, hop_s: float, start_s: float, note: str = ""
) -> dict:
    """Yes or no over time, drawn as blocks. values : np.ndarray [shape=(T,)] of 0 and 1."""
    pooled = pool(values)
    return {
        "id": name,
        "kind": "steps",
        "label": label,
        "note": note,
        "values": _floats(pooled.mean),
        "lows": "",
        "highs": "",
        "hop_s": hop_s * pooled.factor,
        "start_s": start_s + (pooled.factor - 1) / 2 * hop_s,
    }


def pending_lane(name: str, label: str, kind: str = "line", note: str = "computing …") -> dict:
    """A lane of the right height whose values are still being computed, so that nothing moves when they
    come.
    """
    return {"id": name, "kind": "pending", "label": label, "note": note, "height": _HEIGHTS[kind]}


def player(
    recording: Any,
    opened: Opened,
    *,
    lanes: Sequence[dict] = (),
    spans: Sequence[Span] = (),
    report_click: bool = False,
    report_heard: bool = False,
) -> None:
    """Draw the player and take over into ``opened`` what the examiner did with it.

    recording : core.audio.Recording;  lanes : from ``line_lane`` and its kin;  spans : marked stretches in
    those lanes
    """
    duration = recording.duration_s
    data = {
        "id": opened.digest,
        "n": len(recording.samples),
        "overview": cache.player_overview(opened.digest, recording)
        | {"rows": N_ROWS, "floor_db": FLOOR_DB, "ceiling_db": CEILING_DB},
        "reels": _reels(recording, opened),
        "bandwidth_hz": _round(recording.facts.bandwidth_hz),
        "lanes": list(lanes),
        "selection": list(opened.selection) if opened.selection else None,
        "spans": [
            {"start_s": s.start_s, "stop_s": min(s.stop_s, duration), "kind": s.kind, "lane": s.lane}
            for s in spans
        ],
        "report_click": report_click,
        "report_heard": report_heard,
        "command": _command(opened),
    }
    height = (
        _BARS
        + _BASE
        + sum(lane.get("height", _HEIGHTS.get(lane["kind"], 92)) + _LANE_EXTRA for lane in lanes)
    )
    key = f"player-{opened.digest[:16]}"
    _mount(
        key=key,
        data=data,
        height=height,
        **{
            f"on_{name}_change": partial(_take, key, opened, name)
            for name in ("selection", "clicked", "heard", "wanted")
        },
    )


def _take(key: str, opened: Opened, name: str) -> None:
    """Store one thing that the component reports; called by Streamlit before the page runs again."""
    value = st.session_state[key].get(name)
    if not value or value.get("id") != opened.digest:
        return
    if name == "selection":
        opened.selection = tuple(value["range"]) if value["range"] else None
    elif name == "clicked":
        opened.clicked = int(value["sample"])
    elif name == "heard":
        opened.heard_s = max(opened.heard_s, float(value["seconds"]))
    else:
        opened.wanted = int(value["sample"])


def _reels(recording: Any, opened: Opened) -> list[dict]:
    """Media addresses of the sound around what is wanted: the reel it lies in and the one after it.

    Streamlit names a media file beyond 1 MiB after its length and three short excerpts only, so that two
    recordings differing elsewhere would get each other's sound; the digest in the file name keeps them apart.
    """
    n, first = len(recording.samples), opened.wanted // cache.REEL
    out = []
    for index in (first, first + 1):
        start = index * cache.REEL
        if start >= n:
            break
        stop = min(n, start + cache.REEL)
        url = (
            Runtime.instance().media_file_mgr.add(
                cache.reel(opened.digest, index, recording),
                "audio/wav",
                f"earwitness-{opened.digest}-{index}",
                file_name=f"{opened.digest}-{index}.wav",
            )
            if Runtime.exists()
            else ""
        )
        out.append({"start": start, "n": stop - start, "url": url})
    return out


def _command(opened: Opened) -> dict | None:
    if opened.command is None:
        return None
    order = opened.command
    return {
        "id": order.id,
        "seek": order.seek,
        "select": list(order.select) if order.select else None,
        "play": order.play,
    }


def _round(value: float | None) -> float | None:
    return None if value is None or not np.isfinite(value) else round(float(value), 1)


def _base64(array: np.ndarray) -> str:
    return base64.b64encode(array.tobytes()).decode()


def _floats(values: np.ndarray | None) -> str:
    return "" if values is None else _base64(np.ascontiguousarray(values, "<f4"))
