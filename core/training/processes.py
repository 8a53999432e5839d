"""Processes that compute beside each other: one thread each, so that they don't get in each other's way."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import torch


def processes(workers: int) -> ProcessPoolExecutor:
    """So many fresh processes, at least one; what they are given and give back is pickled among themselves alone."""
    return ProcessPoolExecutor(max(1, workers), get_context("spawn"), torch.set_num_threads, (1,))
