"""Earwitness: the list of pages in the order of an examination. Start with ``streamlit run app.py``."""

from __future__ import annotations

import streamlit as st

from pages.parts import cache, widgets

st.set_page_config(page_title="Earwitness", page_icon="👂", layout="wide", initial_sidebar_state="expanded")
page = st.navigation([
    st.Page("pages/intake.py", title="Intake", default=True),
    st.Page("pages/finding.py", title="Finding"),
    st.Page("pages/frame_entropy.py", title="Frame entropy"),
])
widgets.sidebar()
page.run()
cache.warm_up()
