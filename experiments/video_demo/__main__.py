"""Make the videos, train and test rows of the table, or finish what was stopped, and write the table and its pictures.

python -m experiments.video_demo [ROW ...] [--runs DIR] [--out DIR]
"""

import argparse
from pathlib import Path

from experiments.resumable import REPOSITORY
from experiments.video_demo.report import write_report
from experiments.video_demo.rows import DEMO, TITLES, make_row, make_scenes

RUNS = REPOSITORY / "runs" / "video-demo"


def main() -> None:
    """Run the rows asked for and write the report of all there are."""
    parser = argparse.ArgumentParser(prog="python -m experiments.video_demo", description=__doc__)
    parser.add_argument(
        "rows", nargs="*", metavar="ROW", help=f"some of {', '.join(TITLES)}, or all; default: {', '.join(DEMO)}"
    )
    parser.add_argument("--runs", type=Path, default=RUNS, help="folder of the videos and the trainings")
    parser.add_argument("--out", type=Path, help="folder of the table and its pictures; default: that of the runs")
    options = parser.parse_args()
    unknown = set(options.rows) - {*TITLES, "all"}
    if unknown:
        parser.error(f"Expected ROW to be one of {[*TITLES, 'all']} (got {sorted(unknown)})")
    runs = options.runs.resolve()
    make_scenes(runs / "scenes")
    for row in TITLES if "all" in options.rows else options.rows or DEMO:
        make_row(row, runs)
    out = (options.out or runs).resolve()
    print(f"\n{write_report(runs, out)}\nTable, curves, confusion matrices and the attention over a clip: {out}")


if __name__ == "__main__":
    main()
