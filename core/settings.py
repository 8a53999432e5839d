"""Every limit of the workbench in one place. No behaviour, no environment variables, no paths.

Change a limit by passing another ``Limits`` to the function that takes one, or by
``dataclasses.replace(LIMITS, ...)``; never by typing a number elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Bounds on what is read and how much memory it may take."""

    max_bytes: int = 2 * 1024**3        # a file larger than this isn't opened
    max_duration_s: float = 4 * 3600.0  # declared or decoded, whichever shows first
    min_decodable_s: float = 0.1        # less than this is refused: not even one analysis frame worth hearing
    min_rate_hz: int = 4_000            # below this no speech band is left
    max_rate_hz: int = 768_000          # above this the header is taken to be wrong
    max_channels: int = 64
    max_abs_sample: float = 65_536.0    # floats at 16-bit integer scale pass with a warning
    in_memory_bytes: int = 64 * 1024**2  # larger files are read from disk while decoding instead of held
    in_memory_s: float = 20 * 60.0      # longer recordings live in a private temporary file (np.memmap)
    states_in_memory_bytes: int = 256 * 1024**2  # more hidden states than this go to a private temporary file
    block_values: int = 1 << 20         # float32 values decoded at a time (4 MiB)
    max_damaged_share: float = 0.5      # of compressed packets; beyond it the file counts as damaged
    max_name_chars: int = 120
    max_tags: int = 32
    max_tag_chars: int = 200


LIMITS = Limits()
