"""Checks of arguments that several datasets share."""

from data.rendering import DIGIT_SIZE


def check_seed(seed: int) -> None:
    """Raises ValueError unless `seed` is an integer in [0, 2^64)."""
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**64:
        raise ValueError(f"Expected 'seed' to be an integer in [0, 2^64) (got {seed!r})")


def check_sizes(**sizes: int) -> None:
    """Raises ValueError unless sizes are integers of at least 1, `num_workers` 0.

    `canvas_size` must leave a digit room to move.
    """
    lowest = {"canvas_size": DIGIT_SIZE + 2, "num_workers": 0}
    for name, size in sizes.items():
        if isinstance(size, bool) or not isinstance(size, int) or size < lowest.get(name, 1):
            raise ValueError(f"Expected '{name}' to be an integer of at least {lowest.get(name, 1)} (got {size!r})")


def check_index(index: int, length: int) -> None:
    """Raises IndexError unless `index` is in [0, length); that also ends a plain ``for`` loop over a dataset."""
    if not 0 <= index < length:
        raise IndexError(f"Expected the index to be between 0 and {length - 1} (got {index})")
