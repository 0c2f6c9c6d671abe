"""Which runs a row of the table is made of."""

import math
from collections.abc import Sequence

from experiments.protocol import FEW, LEARNING_RATES, MANY, ROWS, SEARCH_VIDEOS, SLOWER, TRAIN_VIDEOS, TRANSFER_ROW
from experiments.runs import Figures, Run


def searches(row: str) -> list[Run]:
    """A short run with each learning rate, on three digits."""
    return [Run(row, FEW, SEARCH_VIDEOS, rate, search=True) for rate in LEARNING_RATES]


def best_rate(searched: Sequence[Figures]) -> float:
    """The learning rate with the lowest validation loss at the end of a row's search; NaN is the highest."""
    return min(searched, key=lambda figures: math.inf if math.isnan(figures.loss[-1]) else figures.loss[-1]).rate


def few_digits(row: str, rate: float, seed: int = 0) -> Run:
    """The run on three digits."""
    return Run(row, FEW, TRAIN_VIDEOS[FEW], rate, seed)


def many_digits(row: str, rate: float, seed: int = 0) -> Run:
    """The run on five digits, which goes on more slowly from the weights of the one on three, of rate ``rate``."""
    return Run(row, MANY, TRAIN_VIDEOS[MANY], rate / SLOWER, seed, start=few_digits(row, rate, seed))


def further_seeds(row: str, rate: float) -> list[Run]:
    """The runs that only other seeds tell from the first ones, each after the one that it starts from."""
    seeds = range(1, ROWS[row].num_seeds)
    return [run for seed in seeds for run in (few_digits(row, rate, seed), many_digits(row, rate, seed))]


def from_scratch(row: str, rate: float) -> list[Run]:
    """Of the row that shows the transfer, the run on five digits that starts from nothing."""
    return [Run(row, MANY, TRAIN_VIDEOS[MANY], rate)] if row == TRANSFER_ROW else []
