"""The memory that a bench reports is its own process's, not its parent's."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np

from core.commands.common import peak_bytes

ASK = "from core.commands.common import peak_bytes; print(peak_bytes())"


def test_a_child_does_not_count_what_its_parent_held():
    held = np.ones(40_000_000)  # 320 MB
    assert peak_bytes() > held.nbytes
    done = subprocess.run([sys.executable, "-c", ASK], cwd=Path(__file__).parents[2], capture_output=True, text=True,
                          check=True)
    assert 1e6 < int(done.stdout) < 0.5 * held.nbytes


def test_it_grows_by_what_is_held():
    before = peak_bytes()
    held = np.ones(int(before / 8 + 10_000_000))
    assert peak_bytes() >= held.nbytes
