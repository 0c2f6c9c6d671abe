"""The frames of a SyncMNIST test video as images, such as ``main.py stream`` reads.

python -m data.write_clip FOLDER [--index 0] [--num_digits 3]
"""

import argparse
from pathlib import Path

from torchvision.io import write_png

from data.digits import DigitImages
from data.pair_labels import class_names
from data.syncmnist import SyncMNIST


def main() -> None:
    """Write the frames and print the video's class."""
    parser = argparse.ArgumentParser(prog="python -m data.write_clip", description=__doc__)
    parser.add_argument("folder", type=Path, help="folder to write 00001.png... to")
    parser.add_argument("--index", type=int, default=0, help="number of the video")
    parser.add_argument("--num_digits", type=int, default=3, help="digits in it")
    options = parser.parse_args()
    label = write_clip(options.folder, options.index, options.num_digits)
    print(f"Wrote {options.folder}: the pair in step is {class_names()[label]}")


def write_clip(folder: Path, index: int = 0, num_digits: int = 3) -> int:
    """Write the frames of a test video made of the bundled digits.

    Args:
        folder: Where to write ``00001.png``...; frames there already are replaced.
        index: Number of the video.
        num_digits: Digits in it.

    Returns:
        The label of the video.

    Raises:
        ValueError: If an argument is out of range.
        IndexError: If there is no such video.
    """
    video, label = SyncMNIST(DigitImages("test"), num_digits)[index]
    folder.mkdir(parents=True, exist_ok=True)
    for number, frame in enumerate(video, start=1):
        write_png(frame, str(folder / f"{number:05}.png"))
    return label


if __name__ == "__main__":
    main()
