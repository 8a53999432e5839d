"""Bringing a detector: open it, see its card and what is missing, check its polarity, calibrate it, let it go."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st

from core import jobs
from core.detectors import store
from core.detectors.card import CROPS, NORMALISATIONS, Card, parse_card
from core.detectors.standing import Standing, open_detector
from core.errors import EarwitnessError
from core.jobs import Job
from pages.parts import progress, widgets
from pages.parts.state import session

NOT_SAID = "not said"


def bench(own: tuple[Standing, ...], places: list) -> None:
    """The whole section; running jobs go into ``places``."""
    st.header("Bring your own detector")
    st.caption("AST, wav2vec 2.0, HuBERT and WavLM classifiers from a local folder, AASIST from its safetensors file. "
               "Nothing is downloaded, no program of the folder runs, pickled weights are refused. What you add is "
               f"kept in {store.home()}, never beside the model.")
    _open()
    if not own:
        st.caption("No detector of yours is open yet.")
        return
    names = [s.name for s in own]
    name = st.selectbox("Your detectors", names, key="detector-chosen")
    one = own[names.index(name)]
    if one.problem:
        st.error(f"{widgets.plain(one.name)} can't be used: {one.problem}")
    else:
        _card(one)
        _form(one)
        _check(one, places)
    if st.button("Let go of this detector", key=f"forget-{one.files_sha256[:12]}"):
        store.forget(one.files_sha256)
        st.rerun()
    st.caption("Letting go removes its card, verdict and calibration from your data folder; its own files stay.")


def _open() -> None:
    with st.form("open-detector", border=False):
        left, right = st.columns([6, 1], vertical_alignment="bottom")
        path = left.text_input("Model folder, or safetensors file of an AASIST", key="detector-path")
        asked = right.form_submit_button("Open", width="stretch")
    if asked:
        try:
            open_detector(path)
        except EarwitnessError as problem:
            st.error(problem.message)
        else:
            st.rerun()


# ---- the card ----------------------------------------------------------------------------------------------------------


def _card(one: Standing) -> None:
    seen, terms = one.seen, one.terms
    window = "" if terms.crop_s is None else f"{terms.crop_s:.2f} s: "
    crop = "not said" if terms.crop is None else f"{window}{CROPS[terms.crop]}"
    widgets.facts([
        ("family", seen.family), ("files", str(seen.path)), ("sha256", seen.files_sha256[:16]),
        ("card beside it", "yes" if seen.beside else "no; what is shown is drafted from its configuration"),
        ("logits", f"{seen.n_logits}" + (f" ({', '.join(seen.labels)})" if any(seen.labels) else "")),
        ("bona fide logit", _index_words(one)), ("sample rate", f"{terms.sample_rate_hz} Hz"), ("heard in", crop),
        ("normalisation", NORMALISATIONS.get(terms.normalisation or "", "not said")),
        ("trained on", terms.exposure or "not said"), ("licence", terms.licence or "not said"),
    ])  # fmt: skip
    index = () if terms.bona_fide_logit(seen.n_logits) is not None or seen.n_logits > 2 else (
        "which logit means bona fide (known clips can settle it)",)
    missing = (*index, *terms.missing(seen.n_logits), *(f"{n} (only readers need it)" for n in terms.unsaid()))
    if missing:
        st.markdown("**Still missing on the card:** " + "; ".join(missing) + ".")
    if one.refusal:
        st.warning(f"Not in use: {one.refusal}")
    else:
        words = "calibrated" if one.calibration is not None else "not calibrated, so its scores are shown as raw"
        st.success(f"{one.polarity.sentence} In use, {words}.")
    if one.measured:
        _measured(one.measured)


def _index_words(one: Standing) -> str:
    index = one.terms.bona_fide_logit(one.seen.n_logits)
    if index == -1:
        return "the only logit means spoof"
    if index is not None:
        return f"{index}"
    hint = one.seen.suggested_bonafide
    return "not said" + ("" if hint is None else f"; labels or convention suggest {hint}, which is no evidence")


def _measured(m: dict[str, Any]) -> None:
    eer, bounds = m.get("eer"), m.get("bounds_log10")

    def number(key: str) -> str:
        return "not measured" if m.get(key) is None else f"{m[key]:.3f}"

    clips = f"{m.get('n_bonafide')} bona fide, {m.get('n_spoof')} spoofed, {m.get('n_dropped', 0)} left out"
    rows = [("clips", clips, "")]
    if eer and None not in eer:
        rows.append(("equal error rate", f"{eer[0]:.1%}", f"{eer[1]:.1%} … {eer[2]:.1%}"))
    rows += [("Cllr of the raw score", number("cllr_before"), ""),
             ("Cllr calibrated, cross-validated", number("cllr_after"), ""), ("Cllr at best", number("cllr_min"), "")]
    if bounds:
        rows.append(("log10 LRs supported", f"{widgets.signed(bounds[0])} … {widgets.signed(bounds[1])}", ""))
    widgets.table(("measured on your clips", "value", "95 % interval"), rows, numeric=(1, 2))
    st.caption("Cllr: 0 is perfect, 1 says nothing. These figures hold for clips like yours and for nothing else; if "
               "it was trained on them, they flatter it.")


def _form(one: Standing) -> None:
    terms, key, n = one.terms, one.files_sha256[:12], one.seen.n_logits
    with st.expander("Complete or correct the card"), st.form(f"card-{key}", border=False):
        current = terms.bona_fide_logit(n)
        choices: list[Any] = [NOT_SAID, *range(n)] if n > 1 else [NOT_SAID, "bona fide", "spoof"]
        at = 0 if current is None else (current + 1 if n > 1 else (2 if current == -1 else 1))
        logit = st.radio("Which logit means bona fide? (the only logit means)" if n == 1 else
                         "Which logit means bona fide?", choices, index=at, horizontal=True)
        left, middle, right = st.columns(3)
        rate = left.number_input("Sample rate, Hz", 4_000, 192_000, terms.sample_rate_hz or 16_000, 1_000)
        crop = middle.selectbox("Heard in", list(CROPS), index=list(CROPS).index(terms.crop or "windows"),
                                format_func=lambda c: "tiled windows" if c == "tiled" else c)
        seconds = right.number_input("Window, s", 0.1, 60.0, terms.crop_s or 4.0, 0.1, format="%.4f")
        normalisation = st.selectbox("Normalisation", list(NORMALISATIONS),
                                     index=list(NORMALISATIONS).index(terms.normalisation or "none"),
                                     format_func=NORMALISATIONS.get)
        exposure = st.text_input("Trained on", terms.exposure)
        licence = st.text_input("Licence", terms.licence)
        if st.form_submit_button("Keep this card"):
            _keep(one, {"sample_rate_hz": int(rate), "crop": {"policy": crop, "seconds": float(seconds)},
                        "normalisation": normalisation, "exposure": exposure, "licence": licence, **_index(logit)})
        st.caption("Kept in your data folder. Another logit, rate, window or normalisation undoes the check.")


def _index(logit: Any) -> dict[str, int]:
    if logit == NOT_SAID:
        return {}
    return {"spoof_index": 0} if logit == "spoof" else {"bonafide_index": 0 if logit == "bona fide" else int(logit)}


def _keep(one: Standing, data: dict[str, Any]) -> None:
    try:
        mine = store.read_card(one.files_sha256) or Card()
        store.write_card(one.files_sha256, mine.merged(parse_card(data)))
    except EarwitnessError as problem:
        st.error(problem.message)
    else:
        st.rerun()


# ---- polarity and calibration ------------------------------------------------------------------------------------------


def _check(one: Standing, places: list) -> None:
    st.subheader("Which way it points, and how strongly")
    st.caption("Known clips decide. The bundled examples are too few to settle it; give a folder with bonafide/ and "
               "spoof/ (speakers and systems as subfolders), or a CSV path,label,speaker,system.")
    where = st.text_input("Labelled folder or CSV", key="detector-labelled").strip()
    left, right, _ = st.columns([2, 2, 3])
    if left.button("Check the polarity", width="stretch"):
        _start("check", one, where)
    if right.button("Calibrate on these clips", width="stretch"):
        if where:
            _start("calibrate", one, where)
        else:
            st.error("Calibration needs labelled clips; give a folder or a CSV.")
    for kind, words in (("check", "Checking the polarity"), ("calibrate", "Calibrating")):
        job = jobs.find(_key(kind, one, where))
        if job is None:
            continue
        if not job.ended:
            places.append(progress.show(job, words, key=kind))
        elif job.result is None:
            st.error(job.reason)
        else:
            st.caption(" ".join(widgets.plain(line) for line in job.result))
    st.caption("The same from a terminal: `python -m core calibrate MODEL LABELLED`.")


def _key(kind: str, one: Standing, where: str) -> tuple:
    return ("detector", kind, one.files_sha256, where, session().device)


def _start(kind: str, one: Standing, where: str) -> None:
    key = _key(kind, one, where)
    jobs.forget(key)
    jobs.submit(key, _work(kind, one.name, where, session().device))


def _work(kind: str, name: str, where: str, device: str) -> Callable[[Job], list[str]]:
    def work(job: Job) -> list[str]:
        from core import detectors
        from core.detectors.calibration import calibrate
        from core.detectors.labelled import read_labelled
        from core.detectors.loading import check

        job.report(0.0, "loading the detector")
        clips = read_labelled(where) if where else []
        detector = detectors.load(name, device)
        options = {"on_progress": lambda share: job.report(share, "listening to known clips"), "cancelled": job.cancelled}
        if kind == "calibrate":
            return calibrate(detector, clips, **options).sentences()
        return [check(detector, clips, **options)[1].sentence]

    return work
