"""The 46 classes of SyncMNIST: 45 unordered pairs of digits, and "no pair"."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

NO_PAIR = 45
NUM_CLASSES = 46


def pair_to_label(first: ArrayLike, second: ArrayLike) -> NDArray[np.int64]:
    """The label i(i-1)/2 + j of the pair of digits (i, j), i > j, given in either order.

    Args:
        first: Digits 0-9, of any shape.
        second: Digits 0-9, different from `first`, of the same shape.

    Returns:
        Labels 0-44, of the same shape.

    Raises:
        ValueError: If a digit is out of range or a pair has two equal digits.
    """
    a, b = np.broadcast_arrays(np.asarray(first, dtype=np.int64), np.asarray(second, dtype=np.int64))
    high, low = np.maximum(a, b), np.minimum(a, b)
    wrong = (low < 0) | (high > 9) | (high == low)
    if wrong.any():
        raise ValueError(
            f"Expected 'first' and 'second' to be different digits 0-9 (got {a[wrong].flat[0]} and {b[wrong].flat[0]})"
        )
    return high * (high - 1) // 2 + low


def label_to_pair(label: int) -> tuple[int, int] | None:
    """The pair (i, j), i > j, that a label stands for, or None for "no pair".

    Raises:
        ValueError: If `label` is not in 0-45.
    """
    if not 0 <= label < NUM_CLASSES:
        raise ValueError(f"Expected 'label' to be between 0 and {NUM_CLASSES - 1} (got {label})")
    if label == NO_PAIR:
        return None
    high = next(i for i in range(9, 0, -1) if i * (i - 1) // 2 <= label)
    return high, label - high * (high - 1) // 2


def class_names() -> list[str]:
    """The names of the 46 classes by label, such as "9-3", the last one "no pair"."""
    return [f"{i}-{j}" for i in range(10) for j in range(i)] + ["no pair"]
