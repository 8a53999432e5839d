"""The one template: margins that line up with the player's lanes, colours with a fixed meaning, the
provenance line.

Colours are Okabe and Ito's (2008). Blue supports bona fide, vermilion supports spoof, grey is neutral or
abstained, yellow is the current selection, reddish purple is entropy. Hatching or shape says it a second
time.
"""

from __future__ import annotations

import plotly.graph_objects as go

BLUE = "#0072B2"
VERMILION = "#D55E00"
GREY = "#8A8D97"
YELLOW = "#F0E442"
PURPLE = "#C2649B"
GUTTER, MARGIN = 64, 14  # px left and right of the plot, the same as in the player
FONT_SIZE = 13


def new_figure(*, height: int, provenance: str = "", bottom: int = 52, top: int = 30) -> go.Figure:
    """An empty figure of ``height`` px with the shared margins and, below the axis, where its data come
    from.
    """
    return dress(go.Figure(), height=height, provenance=provenance, bottom=bottom, top=top)


def dress(
    figure: go.Figure,
    *,
    height: int,
    provenance: str = "",
    bottom: int = 52,
    top: int = 30,
    right: int = MARGIN,
) -> go.Figure:
    """Give a figure, or a set of panels, the shared look; returns it."""
    figure.update_layout(
        height=height + (18 if provenance else 0),
        margin={"l": GUTTER, "r": right, "t": top, "b": bottom + (18 if provenance else 0), "pad": 0},
        font={"size": FONT_SIZE},
        showlegend=False,
        hovermode="closest",
        dragmode="zoom",
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        barmode="overlay",
        bargap=0,
        uirevision="keep",
    )
    figure.update_xaxes(automargin=False, zeroline=False, title_standoff=8)
    figure.update_yaxes(automargin=False, zeroline=False, title_standoff=6)
    if provenance:
        figure.add_annotation(
            text=provenance,
            xref="paper",
            yref="paper",
            x=0,
            y=0,
            xshift=-GUTTER,
            yshift=-(bottom + 8),
            xanchor="left",
            yanchor="middle",
            showarrow=False,
            font={"size": 10.5, "color": GREY},
            name="provenance",
        )
    return figure


def label(
    figure: go.Figure,
    text: str,
    x: float | str,
    y: float,
    *,
    colour: str | None = None,
    xanchor: str = "left",
    yanchor: str = "middle",
    row: int | None = None,
    paper: bool = False,
    size: int = 12,
    dx: int = 0,
    dy: int = 0,
) -> None:
    """A direct label in the plot, in data or (``paper``) plot coordinates, moved by ``dx``, ``dy`` px."""
    font = {"size": size} | ({"color": colour} if colour else {})
    place = {"xref": "paper", "yref": "paper"} if paper else {}
    where = {"row": row, "col": 1} if row else {}
    figure.add_annotation(
        text=text,
        x=x,
        y=y,
        showarrow=False,
        xanchor=xanchor,
        yanchor=yanchor,
        font=font,
        xshift=dx,
        yshift=dy,
        **place,
        **where,
    )


def legend(figure: go.Figure, entries: list[tuple[str, str, str]]) -> None:
    """One line above the plot that names marks by showing them: (mark, name, colour of the mark)."""
    words = " &nbsp; ".join(
        f'<span style="color:{colour}"><b>{mark}</b></span> {name}' for mark, name, colour in entries
    )
    label(figure, words, 0, 1, paper=True, yanchor="bottom", dy=3)


def time_axis(figure: go.Figure, duration_s: float, *, most: int = 12) -> None:
    """Seconds from 0 to the end, at most ``most`` ticks as m:ss; the axis lies exactly under the player's."""
    steps = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1200, 3600)
    step = next((s for s in steps if duration_s / s <= most), steps[-1])
    places = [i * step for i in range(int(duration_s / step + 1e-6) + 1)]
    digits = 1 if step < 1 else 0
    names = [f"{int(t // 60)}:{t % 60:0{3 + digits if digits else 2}.{digits}f}" for t in places]
    figure.update_xaxes(range=[0, duration_s], tickvals=places, ticktext=names)


def config(filename: str) -> dict:
    """Options for the chart's own toolbar: exports as SVG under a telling name, nothing that leads off the
    machine.
    """
    return {
        "displaylogo": False,
        "responsive": True,
        "scrollZoom": False,
        "modeBarButtonsToRemove": ["sendDataToCloud", "lasso2d", "select2d", "autoScale2d"],
        "toImageButtonOptions": {"format": "svg", "filename": filename},
    }
