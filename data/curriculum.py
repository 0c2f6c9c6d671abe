"""A setting of the training videos that may change along the stream."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Table = Sequence[Sequence[float]]


class Curriculum:
    """A number, or a piecewise-linear function of the video's index given as (index, value) pairs.

    It depends on the index of the video alone, never on the step or the epoch of training, so that worker count,
    prefetching, resuming and the number of processes cannot change a video. Before the first pair and after the last
    one the value is constant. Values are kept in whole units of 1/`scale` and interpolated with integers (halves round
    up), so that they are equal on every machine; two pairs at neighbouring indices make a step.

    Args:
        value: The number, or the pairs with indices that grow.
        name: The name of the argument, for errors.
        low: The smallest value allowed.
        high: The largest value allowed.
        scale: The number of units in 1. With 1 the values must be integers.

    Raises:
        ValueError: If a value is out of range, or the table is empty or its indices do not grow.
        TypeError: If `value` is not a number or a list of pairs of numbers.
    """

    def __init__(self, value: float | Table, name: str, low: float, high: float, scale: int = 1) -> None:
        table = [(0, value)] if isinstance(value, (int, float)) else value
        kind = "an integer" if scale == 1 else "a number"
        described = f"'{name}' to be {kind} or a list of (index, value) pairs"
        if isinstance(value, (str, bytes)) or not isinstance(table, Sequence):
            raise TypeError(f"Expected {described} (got {value!r})")
        if len(table) == 0:
            raise ValueError(f"Expected {described}, at least one (got an empty list)")
        for pair in table:
            if not isinstance(pair, Sequence) or isinstance(pair, (str, bytes)) or len(pair) != 2:
                raise TypeError(f"Expected {described} (got {pair!r} in it)")
            index, number = pair
            if isinstance(index, bool) or not isinstance(index, int) or index < 0:
                raise TypeError(f"Expected the indices of '{name}' to be integers from 0 on (got {index!r})")
            if isinstance(number, bool) or not isinstance(number, int if scale == 1 else (int, float)):
                raise TypeError(f"Expected {described} (got the value {number!r})")
            if not low <= number <= high:
                bounds = f"at least {low}" if math.isinf(high) else f"between {low} and {high}"
                raise ValueError(f"Expected '{name}' to be {bounds} (got {number})")
        self.scale = scale
        self._index = np.array([index for index, _ in table], dtype=np.int64)
        self._units = np.array([round(number * scale) for _, number in table], dtype=np.int64)
        if (np.diff(self._index) <= 0).any():
            raise ValueError(f"Expected the indices of '{name}' to grow (got {self._index.tolist()})")
        self.last = table[-1][1]

    @property
    def max_units(self) -> int:
        """The largest value anywhere, in units."""
        return int(self._units.max())

    def units(self, indices: ArrayLike) -> NDArray[np.int64]:
        """The value at each index, in units of 1/`scale`."""
        at = np.asarray(indices, dtype=np.int64)
        left = np.clip(np.searchsorted(self._index, at, side="right") - 1, 0, None)
        right = np.minimum(left + 1, len(self._index) - 1)
        length = np.maximum(self._index[right] - self._index[left], 1)
        rise = (self._units[right] - self._units[left]) * np.clip(at - self._index[left], 0, length)
        return self._units[left] + (2 * rise + length) // (2 * length)
