"""Random numbers as a pure function of where they are used: no generator object, no state.

A draw is named by (seed, stream, index, counter) and computed by mixing those four numbers, so any worker, in any order
and on any machine, gets the same draw, and a whole batch is drawn at once. Only integer arithmetic is used.
"""

import zlib

import numpy as np
from numpy.typing import ArrayLike, NDArray

_GOLDEN = 0x9E3779B97F4A7C15
_MASK = (1 << 64) - 1


def _mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finaliser of SplitMix64 (Steele, Lea and Flood, 2014), a bijection of 64-bit words."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def random_bits(seed: int, stream: str, indices: ArrayLike, counters: ArrayLike) -> NDArray[np.uint64]:
    """Draws 64 random bits for every index and counter.

    For fixed (seed, stream, index) this is the SplitMix64 sequence whose start is a hash of the three, read at
    `counters`.

    Args:
        seed: The seed, in [0, 2^64).
        stream: The name of the stream, such as ``"syncmnist/train"``; streams of different names share no draws.
        indices: Item indices, of shape (B,).
        counters: Which draws of each item, of any shape (*).

    Returns:
        Bits of shape (B, *).
    """
    key = _mix(np.array([(zlib.crc32(stream.encode()) * _GOLDEN + seed) & _MASK], dtype=np.uint64))
    items = np.asarray(indices, dtype=np.uint64)
    counts = np.asarray(counters, dtype=np.uint64)
    start = _mix(_mix(items + np.uint64(1)) + key)
    steps = counts[None] + np.uint64(1)  # an array even of one counter: numpy warns where single numbers overflow
    return _mix(start.reshape(-1, *[1] * counts.ndim) + steps * np.uint64(_GOLDEN))


def below(bits: NDArray[np.uint64], bound: ArrayLike) -> NDArray[np.int64]:
    """Maps random bits to integers in [0, bound) by multiply and shift; `bound` is 1 to 2^32 and broadcasts."""
    return (((bits >> np.uint64(32)) * np.asarray(bound, dtype=np.uint64)) >> np.uint64(32)).astype(np.int64)
