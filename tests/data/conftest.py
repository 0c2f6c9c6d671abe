import os
from pathlib import Path

import numpy as np
import pytest

from data import DigitImages


@pytest.fixture(scope="session")
def digits():
    return DigitImages("train")


def write_idx(path, array):
    header = np.array([0x800 + array.ndim, *array.shape], dtype=">i4").tobytes()
    path.write_bytes(header + array.astype(np.uint8).tobytes())


@pytest.fixture(scope="session")
def fake_mnist_root(tmp_path_factory):
    """A torchvision root whose images are the bundled ones: 5,100 to train, 200 to test, labels 0-9 in turn."""
    bundled = DigitImages("train")
    root = tmp_path_factory.mktemp("mnist")
    raw = root / "MNIST" / "raw"
    raw.mkdir(parents=True)
    by_class = [np.flatnonzero(bundled.labels == c) for c in range(10)]
    order = np.stack([rows[:530] for rows in by_class], axis=1).ravel()  # 0, 1, .. 9, 0, 1, ..
    for prefix, part in (("train", order[:5100]), ("t10k", order[5100:])):
        write_idx(raw / f"{prefix}-images-idx3-ubyte", bundled.images[part])
        write_idx(raw / f"{prefix}-labels-idx1-ubyte", bundled.labels[part])
    return root


@pytest.fixture(scope="session")
def mnist_root():
    root = os.environ.get("RSTG_MNIST_ROOT")
    if not root or not (Path(root) / "MNIST" / "raw").is_dir():
        pytest.skip("needs the full MNIST: set RSTG_MNIST_ROOT to a torchvision root that holds MNIST/raw")
    return root
