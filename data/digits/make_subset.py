"""Makes the bundled subset of MNIST: ``python -m data.digits.make_subset --root <torchvision root>``.

The first images of each class, in the order of MNIST's files, are taken from each split of
:class:`~data.digits.DigitImages`, so the same root gives the same file, byte for byte.
"""

import argparse
from pathlib import Path

import numpy as np

from data.digits.digit_images import BUNDLED_FILE, SPLITS, DigitImages

IMAGES_PER_CLASS = {"train": 900, "val": 100, "test": 100}


def make_subset(root: str | Path, path: str | Path = BUNDLED_FILE) -> None:
    """Writes the subset of the MNIST at `root` (torchvision's layout) to `path`."""
    arrays = {}
    for split in SPLITS:
        digits = DigitImages(split, "mnist", root=root)  # type: ignore[arg-type]
        per_class = [np.flatnonzero(digits.labels == c)[: IMAGES_PER_CLASS[split]] for c in range(10)]
        chosen = np.sort(np.concatenate(per_class))
        arrays[f"{split}_images"] = digits.images[chosen]
        arrays[f"{split}_labels"] = digits.labels[chosen]
    np.savez_compressed(path, **arrays)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=make_subset.__doc__)
    parser.add_argument("--root", required=True, help="a torchvision root that holds MNIST/raw")
    parser.add_argument("--path", default=BUNDLED_FILE, help="the file to write")
    make_subset(**vars(parser.parse_args()))
