"""Make the table: train and test its rows, or finish what was stopped, and write ``docs/results.md``.

python -m experiments [ROW ...] --mnist DIR
"""

import argparse
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from experiments.plan import best_rate, few_digits, from_scratch, further_seeds, many_digits, searches
from experiments.protocol import ROWS
from experiments.report import write_report
from experiments.runs import REPOSITORY, RUNS, Figures, Run, Workshop


def main() -> None:
    """Run the rows asked for and write the report of all there are."""
    parser = argparse.ArgumentParser(prog="python -m experiments", description=__doc__)
    names = ", ".join(ROWS)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"some of {names}, or report; default: all rows")
    parser.add_argument("--mnist", type=Path, help="folder of the full MNIST as torchvision lays it out (MNIST/raw)")
    parser.add_argument("--runs", type=Path, default=REPOSITORY / RUNS, help="folder of the trainings")
    parser.add_argument("--jobs", type=int, default=1, help="trainings at a time, which share the cores")
    options = parser.parse_args()
    unknown = set(options.rows) - {*ROWS, "report"}
    if unknown:
        parser.error(f"Expected ROW to be one of {[*ROWS, 'report']} (got {sorted(unknown)})")
    rows = [row for row in dict.fromkeys(options.rows or ROWS) if row != "report"]  # a report is always written
    if options.jobs < 1:
        parser.error(f"Expected '--jobs' to be positive (got {options.jobs})")
    if rows:
        if options.mnist is None or not (options.mnist / "MNIST" / "raw").is_dir():
            parser.error(
                "Expected '--mnist' to be a folder that holds MNIST/raw, in which the published test paths count "
                f"(got {options.mnist}); with make: make table1 MNIST=DIR"
            )
        threads = max(1, (os.cpu_count() or 1) // options.jobs)
        workshop = Workshop(options.runs.resolve(), options.mnist.resolve(), threads)
        make(rows, announced(workshop.figures), options.jobs)
    print(f"Wrote {write_report()}")


def make(rows: Sequence[str], figures: Callable[[Run], Figures], jobs: int) -> None:
    """Make all runs of some rows: each row once on three digits, then on five, then what stands beside."""
    rates: dict[str, float] = {}

    def begin(row: str) -> None:
        rates[row] = best_rate([figures(run) for run in searches(row)])
        figures(few_digits(row, rates[row]))

    def go_on(row: str) -> None:
        figures(many_digits(row, rates[row]))

    def complete(row: str) -> None:
        for run in [*from_scratch(row, rates[row]), *further_seeds(row, rates[row])]:
            figures(run)

    with ThreadPoolExecutor(jobs) as pool:
        for stage in (begin, go_on, complete):
            list(pool.map(stage, rows))


def announced(figures: Callable[[Run], Figures]) -> Callable[[Run], Figures]:
    """Say what is being made, and what came of it."""

    def make_and_say(run: Run) -> Figures:
        print(f"{run.name} ...", flush=True)
        made = figures(run)
        test = "" if made.test_accuracy is None else f", test {100 * made.test_accuracy:.1f} %"
        print(f"{run.name}: validation {100 * max(made.accuracy):.1f} %{test}", flush=True)
        return made

    return make_and_say


if __name__ == "__main__":
    main()
