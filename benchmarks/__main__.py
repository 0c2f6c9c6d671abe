"""Run benchmarks and write the report: ``python -m benchmarks all``, or some by name."""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from benchmarks import (
    generator,
    graph_stack,
    network_costs,
    scaling,
    space_memory,
    streaming,
    training_step,
    video_data,
    video_step,
)
from benchmarks.report import read_results, write_report, write_results
from benchmarks.results import Result
from benchmarks.settings import Settings, describe_machine

BENCHMARKS: dict[str, Callable[[Settings], Result]] = {
    "graph_stack": graph_stack.run,
    "space_memory": space_memory.run,
    "scaling": scaling.run,
    "streaming": streaming.run,
    "long_stream": streaming.run_long,
    "training_step": training_step.run,
    "generator": generator.run,
    "video_data": video_data.run,
    "video_step": video_step.run,
    "network_costs": network_costs.run,
}
REPOSITORY = Path(__file__).parent.parent


def main(arguments: Sequence[str] | None = None) -> None:
    """Run benchmarks, keep their results beside those of other runs and devices, and write the report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "names",
        nargs="+",
        choices=("all", *BENCHMARKS, "report"),
        metavar="NAME",
        help=f"all, or some of: {', '.join(BENCHMARKS)}; report: only write the report of the results there are",
    )
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--rounds", type=int, help="rounds to take medians over; default: each benchmark's own")
    parser.add_argument("--frames", type=int, help="frames of the long stream; default: 1,000,000")
    parser.add_argument("--force-bf16", action="store_true", help="measure bfloat16 where it is emulated, too")
    parser.add_argument("--quick", action="store_true", help="tiny sizes and two rounds: see that everything runs")
    parser.add_argument("--out", type=Path, help="folder of the report; default: docs, or runs/benchmarks if --quick")
    options = parser.parse_args(arguments)
    if options.rounds is not None and options.rounds < 2:
        parser.error(f"Expected '--rounds' to be at least 2 (got {options.rounds})")

    # float32 is float32 on every device.
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    settings = Settings(torch.device(options.device), options.quick, options.force_bf16, options.rounds, options.frames)
    out = options.out or REPOSITORY / ("runs/benchmarks" if options.quick else "docs")
    flags = f"--device {options.device}"
    flags += f" --rounds {options.rounds}" if options.rounds else ""
    flags += f" --frames {options.frames}" if options.frames else ""
    flags += " --force-bf16" if options.force_bf16 else ""
    flags += " --quick" if options.quick else ""

    for name, run in BENCHMARKS.items():
        if name in options.names or "all" in options.names:
            torch.manual_seed(0)
            result = replace(
                run(settings), command=f'make bench ARGS="{name} {flags}"', machine=describe_machine(settings)
            )
            results = {**read_results(out, options.device), name: result}
            write_results(out, options.device, {name: results[name] for name in BENCHMARKS if name in results})
    print(f"Wrote {write_report(out)}")


if __name__ == "__main__":
    main()
