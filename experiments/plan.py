"""Which runs the table is made of, in the order of what they need of each other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from experiments.protocol import DIGITS, LEARNING_RATES, ROWS, SEARCH_VIDEOS, TRAIN_VIDEOS, TRANSFER_ROW
from experiments.runs import Figures, Run


@dataclass(frozen=True)
class Plan:
    """The runs of some rows.

    Args:
        row_names: Keys of the rows.
    """

    row_names: Sequence[str]

    def searches(self) -> list[Run]:
        """A short run of each row and learning rate, on the first number of digits."""
        return [
            Run(row, DIGITS[0], SEARCH_VIDEOS, rate, search=True) for row in self.row_names for rate in LEARNING_RATES
        ]

    def rows(self, searched: Mapping[Run, Figures]) -> list[Run]:
        """The runs of the table: first each row once, one number of digits after the other, then further seeds."""
        first, further = [], []
        for digits in DIGITS:
            for row in self.row_names:
                rate = best_rate(row, searched)
                runs = [Run(row, digits, TRAIN_VIDEOS, rate, seed) for seed in range(ROWS[row].num_seeds)]
                first.append(runs[0])
                further += runs[1:]
        return first + further

    def transfers(self, searched: Mapping[Run, Figures]) -> list[Run]:
        """The run on more digits that starts from the weights of the one on fewer."""
        if TRANSFER_ROW not in self.row_names:
            return []
        rate = best_rate(TRANSFER_ROW, searched)
        few, many = DIGITS
        return [Run(TRANSFER_ROW, many, TRAIN_VIDEOS, rate, start=Run(TRANSFER_ROW, few, TRAIN_VIDEOS, rate))]


def best_rate(row: str, searched: Mapping[Run, Figures]) -> float:
    """The learning rate with the lowest validation loss in a row's search."""
    found = {run.rate: figures.loss[-1] for run, figures in searched.items() if run.row == row}
    return min(found, key=lambda rate: found[rate])
