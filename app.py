"""Earwitness: the list of pages in the order of an examination. Start with ``streamlit run app.py``."""

from __future__ import annotations

import streamlit as st

from pages.parts import cache, sidebar

st.set_page_config(page_title="Earwitness", page_icon="👂", layout="wide", initial_sidebar_state="expanded")
# The addresses differ from the file names on purpose: before its first run Streamlit takes a folder named
# pages for its older kind of app, and a link that names one of the files would open that script alone,
# without this one.
page = st.navigation(
    [
        st.Page("pages/intake.py", title="Intake", url_path="start", default=True),
        st.Page("pages/finding.py", title="Finding", url_path="findings"),
        st.Page("pages/frame_entropy.py", title="Frame entropy", url_path="frame-entropy"),
        st.Page("pages/detectors.py", title="Other detectors", url_path="other-detectors"),
        st.Page("pages/neighbours.py", title="Neighbours", url_path="known-company"),
        st.Page("pages/map.py", title="Map", url_path="library-map"),
        st.Page("pages/attribution.py", title="Attribution", url_path="attribution"),
        st.Page("pages/complementarity.py", title="Complementarity", url_path="complementarity"),
        st.Page("pages/speaker.py", title="Speaker", url_path="whose-voice"),
        st.Page("pages/model_card.py", title="Model card", url_path="model-card"),
    ]
)
sidebar.sidebar()
page.run()
cache.warm_up()
