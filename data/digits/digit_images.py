"""MNIST digits of one split, from the bundled subset or from a torchvision root."""

from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from torchvision.datasets import MNIST

from data.counter_rng import below
from data.npz_arrays import read_npz

Split = Literal["train", "val", "test"]
Source = Literal["bundled", "mnist"]
SPLITS: tuple[str, ...] = get_args(Split)
SOURCES: tuple[str, ...] = get_args(Source)

BUNDLED_FILE = Path(__file__).parent / "mnist_subset.npz"
NUM_VAL_IMAGES = 5_000
"""The last images of MNIST train are kept for validation."""


class DigitImages:
    """The digit images of one split; no two splits share an image.

    ``train`` is MNIST train without its last 5,000 images, ``val`` those 5,000, ``test`` is MNIST test. The source
    ``"bundled"`` holds a balanced part of each that ships with the repository (see ``data/digits/README.md``).

    Args:
        split: One of ``"train"``, ``"val"``, ``"test"``.
        source: ``"bundled"``, or ``"mnist"`` for the full data set.
        root: With ``"mnist"``, the root directory as torchvision lays it out (``<root>/MNIST/raw/...``).
        download: With ``"mnist"``, whether to download what `root` does not have.

    Attributes:
        images: uint8 (M, 28, 28), with ``"mnist"`` in the order of the files.
        labels: uint8 (M,), the digits 0-9.

    Raises:
        ValueError: If an argument is wrong or a file is damaged.
        FileNotFoundError: If a file is missing; the message says how to get it.
    """

    def __init__(
        self,
        split: Split,
        source: Source = "bundled",
        root: str | Path | None = None,
        download: bool = False,
    ) -> None:
        if split not in SPLITS:
            raise ValueError(f"Expected 'split' to be one of {list(SPLITS)} (got {split!r})")
        if source not in SOURCES:
            raise ValueError(f"Expected 'source' to be one of {list(SOURCES)} (got {source!r})")
        if source == "mnist" and root is None:
            raise ValueError("Expected 'root' to be a directory, since 'source' is 'mnist' (got None)")
        if source == "bundled" and (root is not None or download):
            raise ValueError(
                "Expected 'root' to be None and 'download' to be False, since 'source' is 'bundled' "
                f"(got {root!r} and {download}); for the full data set pass source='mnist'"
            )
        self.split = split
        self.source = source
        self.images, self.labels = _read_bundled(split) if root is None else _read_mnist(split, Path(root), download)
        # Images sorted by class: those of class c are _sorted[_first[c] : _first[c] + _count[c]].
        self._sorted = np.argsort(self.labels, kind="stable")
        self._count = np.bincount(self.labels, minlength=10)
        self._first = np.cumsum(self._count) - self._count
        if len(self._count) > 10 or (self._count == 0).any():
            raise ValueError(
                f"Expected the {split} split of the {source} digits to hold all ten classes 0-9 and no other "
                f"(got {np.unique(self.labels).tolist()})"
            )

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(split={self.split!r}, source={self.source!r}, num_images={len(self)})"

    def pick(self, classes: NDArray[np.int64], bits: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Picks an image of each class, uniformly by random bits; all three arrays have one shape."""
        return self._sorted[self._first[classes] + below(bits, self._count[classes])]


def _read_bundled(split: str) -> tuple[np.ndarray, np.ndarray]:
    images, labels = f"{split}_images", f"{split}_labels"
    arrays = read_npz(
        BUNDLED_FILE,
        {images: ("integer", (None, 28, 28)), labels: ("integer", (None,))},
        remedy="Restore it with `git checkout -- data/digits/mnist_subset.npz`, "
        "or make it with `python -m data.digits.make_subset --root <torchvision root>`.",
    )
    return arrays[images], arrays[labels]


def _read_mnist(split: str, root: Path, download: bool) -> tuple[np.ndarray, np.ndarray]:
    remedy = (
        "Pass download=True (on the command line `--data.download true`), or unpack there MNIST's four idx files "
        f"from {MNIST.mirrors[0]}."
    )
    if download:
        try:
            MNIST(str(root), download=True)
        except (RuntimeError, OSError) as error:
            raise RuntimeError(f"Expected to download MNIST to {root}, but: {error}") from error
    raw = root / "MNIST" / "raw"
    missing = [str(raw / name) for name in map(_raw_name, MNIST.resources) if not (raw / name).is_file()]
    if missing:
        raise FileNotFoundError(f"Expected the MNIST files {missing}, which do not exist. {remedy}")
    prefix = "t10k" if split == "test" else "train"
    for name in map(_raw_name, MNIST.resources):
        if name.startswith(prefix):
            _check_idx(raw / name, f"Delete it and get it again. {remedy}")
    mnist = MNIST(str(root), train=split != "test")
    images, labels = mnist.data.numpy(), mnist.targets.numpy().astype(np.uint8)
    if len(images) != len(labels):
        raise ValueError(
            f"Expected {raw} to hold as many {prefix} labels as images (got {len(labels)} and {len(images)}). {remedy}"
        )
    if split == "test":
        return images, labels
    if len(images) <= NUM_VAL_IMAGES:
        raise ValueError(
            f"Expected {raw} to hold more than {NUM_VAL_IMAGES} training images (got {len(images)}). {remedy}"
        )
    part = slice(None, -NUM_VAL_IMAGES) if split == "train" else slice(-NUM_VAL_IMAGES, None)
    return images[part], labels[part]


def _raw_name(resource: tuple[str, str]) -> str:
    return resource[0].removesuffix(".gz")


def _check_idx(path: Path, remedy: str) -> None:
    """Checks the magic number and the length of an idx file, which torchvision does not name when they are wrong."""
    num_dims = 3 if "images" in path.name else 1
    with path.open("rb") as file:
        start = file.read(4 + 4 * num_dims)
    header = np.frombuffer(start[: len(start) // 4 * 4], dtype=">i4")
    if (
        len(header) != 1 + num_dims
        or header[0] != 0x800 + num_dims
        or (num_dims == 3 and tuple(header[2:]) != (28, 28))
    ):
        raise ValueError(f"Expected {path} to be an idx file of MNIST, but its header is damaged. {remedy}")
    expected = 4 + 4 * num_dims + int(np.prod(header[1:], dtype=np.int64))
    if path.stat().st_size != expected:
        raise ValueError(
            f"Expected {path} to have {expected} bytes, but it is damaged (got {path.stat().st_size}). {remedy}"
        )
