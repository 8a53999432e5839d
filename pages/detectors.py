"""Other detectors: what else says something of this recording, and how to bring a detector of one's own."""

from __future__ import annotations

import streamlit as st

from core.detectors.standing import all_standing
from pages.parts import progress
from pages.parts.desk import blind_gate, desk, examination_place
from pages.parts.detector_bench import bench
from pages.parts.detector_opinions import opinions


def main() -> None:
    found = desk("Other detectors")
    own = all_standing()
    places = [] if found is None else found.places
    if found is not None and not blind_gate(found):
        examination_place(found)
        if found.examination is not None:
            opinions(found, own)
    st.divider()
    bench(own, places)
    progress.follow(places)


main()
