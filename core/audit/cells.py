"""The cells in which maps are compared and input is removed: patches of frequency and time.

Single values of a map are ragged and no detector uses one alone; every audit measurement pools them to cells of about
four mel bands by 50 ms (a phone lasts 50 to 100 ms), or 50 ms of samples.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from core.attribute.problem import HOP, Problem

if TYPE_CHECKING:
    import torch

ROWS, COLUMNS = 20, 5  # groups of rows on a plane; columns of 10 ms in a cell
COARSE = (10, 10)  # the same for comparing methods, whose own resolution may be eight bands by 100 ms


@dataclass(frozen=True, eq=False)
class Grid:
    """rows, columns : np.ndarray, the cell row of each map row [R] and the cell column of each map column [C]."""

    rows: np.ndarray
    columns: np.ndarray

    @property
    def shape(self) -> tuple[int, int]:
        return int(self.rows[-1]) + 1, int(self.columns[-1]) + 1

    def pool(self, values: np.ndarray) -> np.ndarray:
        """Sum a map (R, C) over its cells."""
        down = np.add.reduceat(values, np.flatnonzero(np.diff(self.rows, prepend=-1)), axis=0)
        return np.add.reduceat(down, np.flatnonzero(np.diff(self.columns, prepend=-1)), axis=1)

    def spread(self, cells: np.ndarray) -> np.ndarray:
        """Give every map value its cell's value: (..., r, c) -> (..., R, C)."""
        return cells[..., self.rows[:, None], self.columns[None, :]]


def grid_of(shape: tuple[int, int], n_rows: int = ROWS, width: int = COLUMNS) -> Grid:
    """The cells of a map of R rows and C columns: at most ``n_rows`` rows of cells, each ``width`` columns wide."""
    rows = np.arange(shape[0]) * min(n_rows, shape[0]) // shape[0]
    columns = np.minimum(np.arange(shape[1]) // width, max(0, shape[1] // width - 1))
    return Grid(rows, columns)


def removed(problem: Problem, baseline: torch.Tensor, masks: np.ndarray) -> torch.Tensor:
    """Copies of a problem's input in which masked map values are the baseline's: masks (B, R, C) -> (B, *shape)."""
    import torch

    mask = torch.from_numpy(input_masks(problem, masks)).to(problem.x.device)
    return torch.where(mask, baseline, problem.x)


def input_masks(problem: Problem, masks: np.ndarray) -> np.ndarray:
    """Masks over a map, (B, R, C) bool -> over the input, (B, *shape)."""
    if problem.plane == "waveform":
        return np.repeat(masks[:, 0], HOP, axis=-1)[:, : problem.shape[-1]]
    return masks if len(problem.shape) == 2 else masks[:, None]


def level_map(problem: Problem) -> np.ndarray:
    """How loud each value of the map is, (R, C): the log-mel or the levels, or the power of the spectrum or samples."""
    if problem.plane in ("log-mel", "levels"):
        return problem.x[0].detach().cpu().double().numpy()
    return problem.to_map(problem.x[0].square())
