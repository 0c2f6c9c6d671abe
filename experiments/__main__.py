"""Make the table: train and test its rows, or finish what was stopped, and write ``docs/results.md``.

python -m experiments [ROW ...] --mnist DIR
"""

import argparse
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from experiments.plan import Plan
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
    if options.jobs < 1:
        parser.error(f"Expected '--jobs' to be positive (got {options.jobs})")
    if options.rows != ["report"]:
        if options.mnist is None or not (options.mnist / "MNIST" / "raw").is_dir():
            parser.error(
                "Expected '--mnist' to be a folder that holds MNIST/raw, in which the published test paths count "
                f"(got {options.mnist}); with make: make table1 MNIST=DIR"
            )
        threads = max(1, (os.cpu_count() or 1) // options.jobs)
        workshop = Workshop(options.runs.resolve(), options.mnist.resolve(), threads)
        make(Plan([row for row in ROWS if not options.rows or row in options.rows]), workshop, options.jobs)
    print(f"Wrote {write_report()}")


def make(plan: Plan, workshop: Workshop, jobs: int) -> None:
    """Make all runs of a plan, stage by stage."""
    with ThreadPoolExecutor(jobs) as pool:

        def run_all(runs: Iterable[Run]) -> dict[Run, Figures]:
            runs = list(runs)
            return dict(zip(runs, pool.map(announced(workshop.figures), runs), strict=True))

        searched = run_all(plan.searches())
        run_all(plan.rows(searched))
        run_all(plan.transfers(searched))


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
