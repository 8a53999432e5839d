"""Small pieces that pages are built of: quality lights, fact lists, tables, charts, teaching
text.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

import streamlit as st

SIGNS = {
    "pass": ("✓", "passes"),
    "warn": ("!", "note"),
    "fail": ("✗", "fails"),
    "open": ("–", "not examined"),
}


def lights(checks: Iterable[Any]) -> str:
    """Quality checks as lines of sign, name and value; the sign says what the colour says."""
    lines = []
    for check in checks:
        grade = grade_of(check)
        value = "" if check.value is None else " " + escape(amount(check.value, check.unit))
        lines.append(
            f'<div class="ew-light ew-{grade}" title="{escape(check.message)}"><span class="ew-sign" '
            f'role="img" aria-label="{SIGNS[grade][1]}">{SIGNS[grade][0]}</span>'
            f"<span>{escape(check.label)}<b>{value}</b></span></div>"
        )
    return "".join(lines)


def grade_of(check: Any) -> str:
    """pass, warn (worth knowing), fail (no finding is given) or open (not examined, which is no pass)."""
    if check.passed is None:
        return "open"
    return "pass" if check.passed else ("fail" if check.fatal else "warn")


# ---- words and numbers -------------------------------------------------------------------------------------


def number(value: float) -> str:
    """Three significant digits at most and four decimals, a true minus, no exponents."""
    size = abs(value)
    if 0 < size < 0.00005:
        return "<0.0001"
    digits = (
        0
        if size >= 100 or value == int(value)
        else 1
        if size >= 10
        else 2
        if size >= 1
        else 3
        if size >= 0.01
        else 4
    )
    return f"{value:.{digits}f}".replace("-", "−")


def plain(text: str) -> str:
    """Words from a file or a name without what Markdown would act on."""
    return "".join(f"\\{c}" if c in "\\`*_[]<>#$~:!|" else c for c in text if c.isprintable())


def signed(value: float) -> str:
    """Two decimals with a true minus."""
    return f"{value:.2f}".replace("-", "−")


def amount(value: float | None, unit: str) -> str:
    """A measured value with its unit, or a dash."""
    if value is None:
        return "–"
    if unit == "share":
        return f"{100 * value:.{0 if value >= 0.1 or value == 0 else 1}f} %"
    return f"{number(value)} {unit}".strip()


def interval_text(finding: Any) -> str:
    """``−1.62 [−2.10, −1.04]``"""
    return f"{finding.llr_log10:.2f} [{finding.llr_low:.2f}, {finding.llr_high:.2f}]".replace("-", "−")


def side_sign(direction: str | None) -> str:
    """◆ where the evidence points to spoof, ● to bona fide, ■ to neither: the shapes of the figures."""
    return {"spoof": "◆", "bonafide": "●"}.get(direction or "", "■")


def facts(pairs: Iterable[tuple[str, Any]]) -> None:
    """A list of names and values; values may come from a file and are shown as plain text."""
    rows = "".join(f"<dt>{escape(str(name))}</dt><dd>{escape(str(value))}</dd>" for name, value in pairs)
    st.html(f'<dl class="ew-facts">{rows}</dl>')


def table(headers: Sequence[str], rows: Iterable[Sequence[Any]], *, numeric: Sequence[int] = ()) -> None:
    """A plain table that can be read aloud and copied; everything is shown as text."""

    def cells(values: Sequence[Any], tag: str) -> str:
        return "".join(
            f"<{tag}{' class=ew-number' if i in numeric else ''}>{escape(str(v))}</{tag}>"
            for i, v in enumerate(values)
        )

    body = "".join(f"<tr>{cells(row, 'td')}</tr>" for row in rows)
    st.html(
        f'<table class="ew-table"><thead><tr>{cells(headers, "th")}</tr></thead><tbody>{body}</tbody></table>'
    )


def checks(given: Iterable[Any]) -> None:
    """Checks with their values and limits; what did not pass explains itself."""
    rows = [
        (
            " ".join(SIGNS[grade_of(c)]),
            c.label,
            amount(c.value, c.unit),
            amount(c.limit, c.unit),
            "" if c.passed else c.message.removeprefix(f"{c.label}: "),
        )
        for c in given
    ]
    table(("", "check", "measured", "limit", ""), rows, numeric=(2, 3))


def propositions(bona: str, spoof: str) -> None:
    """The two propositions side by side, as they enter the likelihood ratio."""
    st.html(
        f'<div class="ew-props"><div><h5>● bona fide (numerator)</h5><p>{escape(bona)}</p></div>'
        f"<div><h5>◆ synthesis or conversion (denominator)</h5><p>{escape(spoof)}</p></div></div>"
    )


# ---- charts ------------------------------------------------------------------------------------------------


def dark() -> bool:
    """Whether the page is shown in its dark theme; only for pictures whose colours fill their area."""
    return getattr(st.context.theme, "type", None) == "dark"


def chart(
    figure: Any,
    name: str,
    *,
    table: Any = None,
    about: tuple[str, str] | None = None,
    paper: str = "arXiv 2504.10819",
    narrow: bool = False,
) -> None:
    """A figure, then its data and what it means and doesn't (collapsed; below each other where
    ``narrow``).
    """
    from core.figures.template import config

    st.plotly_chart(figure, key=f"chart-{name}", config=config(f"earwitness-{name}"), width="stretch")
    left, right = (st.container(), st.container()) if narrow else st.columns(2)
    if table is not None:
        with left.expander("Data behind this figure"):
            st.dataframe(table, hide_index=True, width="stretch", height=260)
    if about is not None:
        with right:
            teach(*about, paper=paper)


def teach(means: str, doesnt: str, *, paper: str = "arXiv 2504.10819") -> None:
    """What this means / what it doesn't, in three sentences, with the paper."""
    with st.expander("What this means / what it doesn't"):
        st.markdown(f"**It means:** {means}\n\n**It doesn't mean:** {doesnt}\n\nMethod: {paper}.")


def skeleton(words: str, height: int) -> None:
    """Keeps the place of what is still being computed, so that nothing below it moves when it comes."""
    st.html(f'<div class="ew-skeleton" style="height:{height}px">{escape(words)}</div>')


def empty(words: str, page: str | None = "pages/intake.py", link: str = "Go to Intake") -> None:
    """An empty state: what to do next."""
    st.info(words)
    if page is not None:
        st.page_link(page, label=link)


def decider(finding: Any) -> str:
    """What gave the finding's score: the panel, or the model by its name."""
    return finding.detectors[0].name.removesuffix(" (decides)")
