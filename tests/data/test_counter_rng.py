import warnings
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.counter_rng import below, random_bits

WORDS = st.integers(0, 2**64 - 1)
GOLDEN = 0x9E3779B97F4A7C15


def mix(x):
    """SplitMix64's finaliser on Python's integers."""
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB % 2**64
    return x ^ (x >> 31)


def split_mix_64(state, number):
    """The first numbers of the sequence that begins at a state, one after the other."""
    for _ in range(number):
        state = (state + GOLDEN) % 2**64
        yield mix(state)


def test_split_mix_64_as_published():
    # The first numbers from state 1234567, as listed for the generator on Rosetta Code.
    assert list(split_mix_64(1234567, 2)) == [6457827717110365317, 3203168211198807973]


@given(seed=WORDS, index=WORDS)
def test_draws_of_an_item_are_the_sequence_from_its_start(seed, index):
    key = mix((zlib.crc32(b"a/stream") * GOLDEN + seed) % 2**64)
    start = mix((mix((index + 1) % 2**64) + key) % 2**64)
    bits = random_bits(seed, "a/stream", [index], np.arange(5))
    assert bits.tolist() == [list(split_mix_64(start, 5))]


@pytest.mark.parametrize("counter", [0, 1, 2**40])
def test_a_single_counter_gives_a_draw_an_item(counter):
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # of the overflow that is meant
        bits = random_bits(3, "a/stream", [5, 6], counter)
    assert bits.tolist() == random_bits(3, "a/stream", [5, 6], [counter])[:, 0].tolist()


@given(bits=WORDS, bound=st.integers(1, 2**32))
def test_below_scales_the_upper_half(bits, bound):
    assert below(np.array([bits], dtype=np.uint64), bound).tolist() == [(bits >> 32) * bound >> 32]
