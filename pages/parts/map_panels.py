"""The panels of the Map page: the picture, its trust, what is selected on it, and fitting it anew."""

from __future__ import annotations

from typing import Any

import streamlit as st

from core import jobs
from core.figures.map import library_map
from core.figures.template import config
from core.frames import format_time
from core.jobs import Job
from pages.parts import cache, neighbour_panels, progress, shelf, widgets
from pages.parts.desk import Desk
from pages.parts.player import player
from pages.parts.state import Opened

COLOURS = {
    "label": "kind",
    "system": "system",
    "family": "family",
    "speaker": "speaker",
    "language": "language",
    "codec": "codec",
    "source": "source",
}
PAPER = "McInnes et al., arXiv 1802.03426 (UMAP)"


def warm(known: Any) -> Job:
    """The job that reads the library and its frozen map and places one point, so that the page never waits for either."""

    def work(job: Job) -> Any:
        from core.project import load_map, place

        job.report(0.1, "reading the library's map")
        found = load_map(known)
        place(found, known, known.segments.vectors[:1, 0], 0)
        return found

    key = ("library map", str(known.folder), known.snapshot.id, _stamp(known))
    return jobs.find(key) or jobs.submit(key, work, lane="quick")


def _stamp(known: Any) -> int:
    from core.project import MAP_FILE

    path = known.folder / MAP_FILE
    return path.stat().st_mtime_ns if path.is_file() else 0


def draw(found: Desk, known: Any, plan: Any, query: Any, kind: str, layer: int, colour: str) -> None:
    """The answer in a sentence, the map, what is selected, the windows with their trust, and what a map is."""
    from core.project import LOW_TRUST, place

    windows = [query.windows[i] for i in query.lasting]
    placed = place(plan, known, query.vectors[query.lasting][:, layer], layer, kind)
    low = int((placed.trust < LOW_TRUST).sum())
    words = (
        f"{len(windows)} window{'s' if len(windows) != 1 else ''} placed; on average "
        f"{placed.trust.mean():.0%} of each one's nearest known segments are also nearest on the map."
    )
    st.markdown(f"##### {words}")
    if low:
        st.warning(
            f"{low} of {len(windows)} places can't be trusted: fewer than {LOW_TRUST:.0%} of their nearest segments are "
            "near on this map, so what lies around them there is mostly not what they resemble (hollow stars). The "
            "Neighbours page searches the full space."
        )
    st.caption(
        "Stars: this recording's windows, numbered in the order of time. Draw a box to list clips; click one to open "
        "it beside the recording."
    )
    figure = _figure(found, known, plan, placed, windows, kind, layer, colour)
    key = f"chart-map-{found.opened.digest[:12]}-{kind}-{layer}"
    options = config(f"earwitness-map-{kind}") | {"modeBarButtonsToRemove": ["sendDataToCloud", "autoScale2d"]}
    event = st.plotly_chart(
        figure, key=key, width="stretch", config=options, on_select="rerun", selection_mode=("points", "box", "lasso")
    )
    _selected(found, known, event)
    _windows(found, placed, windows, LOW_TRUST)
    _about(plan, kind, layer)


def _figure(found: Desk, known: Any, plan: Any, placed: Any, windows: Any, kind: str, layer: int, colour: str) -> Any:
    from core.project import LOW_TRUST

    s = known.segments

    def make() -> Any:
        values = [getattr(s.clips[i], colour) for i in s.owner]
        words = [_words(s.clips[i], t) for i, t in zip(s.owner, plan.trust[layer], strict=True)]
        own = [
            f"window {n}, {format_time(w.start / 16_000)} to {format_time(w.stop / 16_000)}<br>trust {t:.0%}"
            for n, (w, t) in enumerate(zip(windows, placed.trust, strict=True), 1)
        ]
        return library_map(
            plan.places(kind)[layer],
            values,
            words,
            s.owner,
            path=placed.xy,
            path_words=own,
            trust=placed.trust,
            low_trust=LOW_TRUST,
            by_label=colour == "label",
            kind=kind,
            provenance=f"{found.provenance} · library {known.snapshot.id[:12]}",
        )

    return cache.figure("map", (found.key, known.snapshot.id, kind, layer, colour, _stamp(known)), make)


def _words(clip: Any, trust: float) -> str:
    parts = (f"{neighbour_panels.SIGN[clip.bonafide]} {clip.title}", clip.name, clip.source, f"own trust {trust:.0%}")
    return "<br>".join(part.replace("<", "‹") for part in parts if part)


def _selected(found: Desk, known: Any, event: Any) -> None:
    """The clips in a box or lasso, as a table; one of them can be played and opened as a neighbour."""
    points = event["selection"]["points"] if event else []
    owners = list(dict.fromkeys(int(_first(p.get("customdata"))) for p in points if p.get("customdata") is not None))
    clips = [known.clips[i] for i in owners if i >= 0]
    if not clips:
        st.caption("Nothing is selected on the map.")
        return
    st.markdown(f"**{len(clips)} clip{'s' if len(clips) != 1 else ''} selected**")
    rows = [
        {
            "": neighbour_panels.SIGN[c.bonafide],
            "who or what": c.title,
            "clip": c.name,
            "language": c.language,
            "seconds": c.seconds,
            "source": c.source,
            "licence": c.licence,
            "plays here": _plays(c),
        }
        for c in clips
    ]
    key = f"map-table-{found.opened.digest[:12]}"
    chosen = st.dataframe(
        rows,
        hide_index=True,
        width="stretch",
        height=min(38 + 35 * len(rows), 290),
        key=key,
        on_select="rerun",
        selection_mode="single-row",
    )["selection"]["rows"]
    clip = clips[chosen[0]] if chosen and chosen[0] < len(clips) else (clips[0] if len(clips) == 1 else None)
    if clip is None:
        st.caption("Select a row to open its clip.")
        return
    _open(found, clip)


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, (list, tuple)) else value


def _plays(clip: Any) -> str:
    from core.library import audio_path

    return "yes" if audio_path(clip) is not None else "no"


def _open(found: Desk, clip: Any) -> None:
    neighbour_panels.choose(found, clip.sha256)
    job = shelf.neighbour_recording(clip)
    if job is not None and job.wait(5.0) and job.result is not None:
        opened = shelf.shelf().heard.setdefault(clip.sha256, Opened(clip.sha256, clip.name))
        player(cache.under_name(job.result[0], clip.name), opened)
    else:
        st.caption(
            f"{widgets.plain(clip.name)} can't be played here; its source: {widgets.plain(clip.origin or clip.source)}."
        )
    st.page_link("pages/neighbours.py", label="See it beside the recording on the Neighbours page")


def _windows(found: Desk, placed: Any, windows: Any, low: float) -> None:
    with st.expander("The recording's windows, their places and their trust"):
        st.dataframe(
            [
                {
                    "window": n,
                    "from": format_time(w.start / 16_000),
                    "to": format_time(w.stop / 16_000),
                    "x": round(float(x), 3),
                    "y": round(float(y), 3),
                    "trust": round(float(t), 3),
                    "": "" if t >= low else "not to be trusted",
                }
                for n, (w, (x, y), t) in enumerate(zip(windows, placed.xy, placed.trust, strict=True), 1)
            ],
            hide_index=True,
            width="stretch",
        )


def _about(plan: Any, kind: str, layer: int) -> None:
    """What distances mean here, and how good the whole picture is."""
    about = plan.about["layers"][layer]
    figures = about if kind == "umap" else about["pca"]
    if kind == "umap":
        widgets.teach(
            "segments that are near in the full space were pulled together, so tight groups are mostly real groups. A "
            "recording is placed by its nearest known segments.",
            "the distance between groups, their size and their order in the picture mean nothing, and a point between "
            "two groups is no mixture of them. A place with a low trust figure is only a guess.",
            paper=PAPER,
        )
    else:
        share = about["pca_variance_share"]
        widgets.teach(
            "a linear view: the two directions in which the library varies most. Distances here are never larger "
            f"than in the full space, and these two directions hold {share:.0%} of the variance.",
            "near on this view is not near in the full space: all other directions are folded away.",
            paper="principal component analysis, exact",
        )
    st.caption(
        f"Of this picture as a whole: trustworthiness {figures['trustworthiness']:.2f} (1 is best), "
        f"{figures['neighbours_preserved']:.0%} of every segment's nearest are kept. Fitted once on snapshot "
        f"{plan.about['snapshot'][:12]} with umap-learn {plan.about['umap_learn']}, seed {plan.about['seed']}, "
        f"{', '.join(f'{name} {value}' for name, value in plan.about['parameters'].items())}."
    )


def refit(found: Desk, known: Any) -> None:
    """Fit the map again as a job, for libraries other than the shipped one, whose map stays as it is."""
    from core.library import DEFAULT
    from core.project import MAP_FILE

    with st.expander("Fit the map again"):
        if known.folder == DEFAULT:
            st.caption(
                "The shipped library's map is frozen, so that a place means the same in every report. A library of your "
                "own (`python -m core library build`) gets its own map here or with `python -m core rad map --library`."
            )
            return
        seed = int(st.number_input("Seed", 0, 10_000, 0))

        def work(job: Job) -> bool:
            from core.project import fit_map, save_map

            save_map(fit_map(known, seed=seed, on_progress=job.report), known.folder / MAP_FILE)
            return True

        key = ("fit map", known.snapshot.id, seed)
        job = jobs.find(key)
        if job is not None and not job.ended:
            found.places.append(progress.show(job, "Fitting the map", key="refit"))
            return
        if job is not None and job.reason:
            st.error(job.reason)
        if st.button("Fit"):
            jobs.forget(key)
            jobs.submit(key, work)
            st.rerun()


__all__ = ["COLOURS", "draw", "refit", "warm"]
