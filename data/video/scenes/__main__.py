"""Write a small set of videos that only time can tell apart: ``python -m data.video.scenes --out DIR``."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from data.video.scenes.scene_set import SceneSet
from data.video.scenes.writing import check_nothing_there, write_v1, write_v2


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the set as versions 1 and 2, or one of them."""
    parser = argparse.ArgumentParser(prog="python -m data.video.scenes", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument("--version", choices=("v1", "v2"), help="the layout; default: both, of the same videos")
    parser.add_argument("--train", type=int, default=800, help="training videos (default: %(default)s)")
    parser.add_argument("--val", type=int, default=160, help="validation videos (default: %(default)s)")
    parser.add_argument("--test", type=int, default=16, help="test videos, without labels (default: %(default)s)")
    parser.add_argument("--height", type=int, default=96, help="height of the frames in pixels (default: %(default)s)")
    parser.add_argument(
        "--seconds", type=float, nargs=2, default=(2.0, 6.0), metavar=("MIN", "MAX"), help="lengths (default: 2 6)"
    )
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    numbers = {"train": options.train, "val": options.val, "test": options.test}
    sets = {
        split: SceneSet(split, number, options.height, tuple(options.seconds), seed=options.seed)  # type: ignore[arg-type]
        for split, number in numbers.items()
    }
    writers = {"v1": write_v1, "v2": write_v2}
    versions = [options.version] if options.version else list(writers)
    for version in versions:
        check_nothing_there(options.out, version)
    for version in versions:
        writers[version](sets, options.out)


if __name__ == "__main__":
    main()
