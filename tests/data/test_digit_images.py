import hashlib
import shutil

import numpy as np
import pytest

from data import DigitImages
from data.digits import SPLITS, digit_images
from data.digits.make_subset import make_subset


def image_hashes(digits):
    return {hashlib.sha256(image.tobytes()).digest() for image in digits.images}


def assert_disjoint(splits):
    hashes = [image_hashes(digits) for digits in splits]
    assert len(set.union(*hashes)) == sum(map(len, hashes))


def test_bundled_digits_are_balanced_and_splits_share_no_image():
    splits = [DigitImages(split) for split in SPLITS]
    for digits, per_class in zip(splits, (900, 100, 100), strict=True):
        assert digits.images.shape == (10 * per_class, 28, 28)
        assert digits.images.dtype == np.uint8
        assert np.bincount(digits.labels).tolist() == [per_class] * 10
        assert digits.images.max(axis=(1, 2)).min() >= 200  # no empty image
    assert_disjoint(splits)


def test_bundled_file_is_small():
    assert digit_images.BUNDLED_FILE.stat().st_size < 2e6


def test_splits_of_a_mnist_root(fake_mnist_root):
    train, val, test = (DigitImages(split, "mnist", root=fake_mnist_root) for split in SPLITS)
    assert [len(train), len(val), len(test)] == [100, 5000, 200]
    assert_disjoint([train, val, test])
    bundled = DigitImages("train")
    fourth = np.flatnonzero(bundled.labels == 4)
    np.testing.assert_array_equal(train.images[4], bundled.images[fourth[0]])  # the order of the file
    np.testing.assert_array_equal(val.images[4], bundled.images[fourth[10]])
    np.testing.assert_array_equal(test.images[4], bundled.images[fourth[510]])
    assert test.labels.tolist() == list(range(10)) * 20


def test_full_mnist_and_the_bundled_subset_made_from_it(mnist_root, tmp_path):
    splits = [DigitImages(split, "mnist", root=mnist_root) for split in SPLITS]
    assert list(map(len, splits)) == [55_000, 5_000, 10_000]
    for digits in splits:
        assert image_hashes(DigitImages(digits.split)) <= image_hashes(digits)
    make_subset(mnist_root, tmp_path / "subset.npz")
    assert (tmp_path / "subset.npz").read_bytes() == digit_images.BUNDLED_FILE.read_bytes()


def test_pick_gives_every_image_of_a_class(digits):
    bits = np.random.default_rng(0).integers(0, 2**64, (20_000,), dtype=np.uint64)
    index = digits.pick(np.full(20_000, 7), bits)
    assert set(index.tolist()) == set(np.flatnonzero(digits.labels == 7).tolist())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"split": "training"}, r"'split' to be one of \['train', 'val', 'test'\] \(got 'training'\)"),
        ({"split": "train", "source": "emnist"}, r"'source' to be one of \['bundled', 'mnist'\] \(got 'emnist'\)"),
        ({"split": "train", "source": "mnist"}, r"'root' to be a directory, since 'source' is 'mnist' \(got None\)"),
        ({"split": "train", "root": "somewhere"}, r"'root' to be None .* 'source' is 'bundled' \(got 'somewhere'"),
        ({"split": "train", "download": True}, r"'download' to be False, since 'source' is 'bundled'"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        DigitImages(**arguments)


def test_missing_bundled_file_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(digit_images, "BUNDLED_FILE", tmp_path / "gone.npz")
    with pytest.raises(FileNotFoundError, match=r"gone.npz, which does not exist. Restore it with `git checkout"):
        DigitImages("train")


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.999])
def test_truncated_bundled_file_is_named(monkeypatch, tmp_path, share):
    whole = digit_images.BUNDLED_FILE.read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: int(share * len(whole))])
    monkeypatch.setattr(digit_images, "BUNDLED_FILE", tmp_path / "cut.npz")
    with pytest.raises(ValueError, match=r"cut.npz to be a whole npz file, but it is damaged .* Restore it with"):
        DigitImages("train")


def test_flipped_byte_in_bundled_file_is_noticed(monkeypatch, tmp_path):
    data = bytearray(digit_images.BUNDLED_FILE.read_bytes())
    data[len(data) // 3] ^= 0xFF
    (tmp_path / "flipped.npz").write_bytes(data)
    monkeypatch.setattr(digit_images, "BUNDLED_FILE", tmp_path / "flipped.npz")
    with pytest.raises(ValueError, match=r"flipped.npz to be a whole npz file, but it is damaged"):
        DigitImages("train")


def test_missing_mnist_files_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"t10k-labels-idx1-ubyte.*do not exist. Pass download=True"):
        DigitImages("test", "mnist", root=tmp_path)


@pytest.mark.parametrize(
    ("name", "damage", "message"),
    [
        (
            "train-images-idx3-ubyte",
            lambda data: data[:-1],
            r"to have 3998416 bytes, but it is damaged \(got 3998415\)",
        ),
        ("train-labels-idx1-ubyte", lambda data: data[:5], r"an idx file of MNIST, but its header is damaged"),
        (
            "train-labels-idx1-ubyte",
            lambda data: b"\x1f\x8b" + data[2:],
            r"header is damaged. Delete it and get it again",
        ),
        (
            "train-labels-idx1-ubyte",
            lambda data: data[:6] + b"\x13\x88" + data[8:5008],
            r"as many train labels as images",
        ),
        ("train-labels-idx1-ubyte", lambda data: data.replace(b"\x04", b"\x05"), r"hold all ten classes 0-9"),
    ],
)
def test_damaged_mnist_files_are_named(fake_mnist_root, tmp_path, name, damage, message):
    shutil.copytree(fake_mnist_root, tmp_path, dirs_exist_ok=True)
    file = tmp_path / "MNIST" / "raw" / name
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(ValueError, match=message):
        DigitImages("train", "mnist", root=tmp_path)


def test_failed_download_is_reported(monkeypatch, tmp_path):
    def refuse(*args, **kwargs):
        raise RuntimeError("Error downloading train-images-idx3-ubyte.gz")

    monkeypatch.setattr(digit_images.MNIST, "download", refuse)
    with pytest.raises(RuntimeError, match=r"Expected to download MNIST to .*: Error downloading train-images"):
        DigitImages("test", "mnist", root=tmp_path, download=True)
