import numpy as np
import pytest
import torch

from data import NO_PAIR, PUBLISHED_TEST_PATHS, DigitImages, SyncMNIST, pair_to_label


@pytest.fixture(scope="module")
def mnist_test_digits(fake_mnist_root):
    return DigitImages("test", "mnist", root=fake_mnist_root)


@pytest.fixture
def arrays():
    """Two videos of three digits in four frames; in the small MNIST image k is a digit k % 10."""
    rng = np.random.default_rng(0)
    return {
        "coords": rng.integers(0, 72, (2, 4, 3, 2)).astype(np.uint8),
        "digit_index": np.array([[13, 129, 54], [7, 7, 7]], dtype=np.uint16),
        "synchronous": np.array([True, False]),
    }


@pytest.fixture
def save(tmp_path):
    def save(arrays):
        np.savez_compressed(tmp_path / "paths.npz", **arrays)
        return tmp_path / "paths.npz"

    return save


def test_recorded_videos(arrays, save, mnist_test_digits):
    dataset = SyncMNIST.from_paths(save(arrays), mnist_test_digits)
    assert len(dataset) == 2
    assert dataset.num_frames == 4
    paths = dataset.paths([1, 0])
    np.testing.assert_array_equal(paths.coords, arrays["coords"][::-1])
    np.testing.assert_array_equal(paths.digit_index, arrays["digit_index"][::-1])
    assert paths.classes.tolist() == [[7, 7, 7], [3, 9, 4]]
    assert paths.label.tolist() == [NO_PAIR, 9 * 8 // 2 + 3]
    videos, labels = dataset.batch([0, 1])
    assert videos.shape == (2, 4, 1, 64, 64)
    assert labels.tolist() == [39, NO_PAIR]
    assert torch.equal(dataset[1][0], videos[1])
    # The pixels of a lone digit: the resized picture of that digit at that place.
    canvas = np.zeros((100, 100))
    row, column = (int(c) for c in arrays["coords"][1, 2, 0])
    arrays["coords"][1, :, 1:] = arrays["coords"][1, :, :1]
    canvas[row : row + 28, column : column + 28] = np.where(
        mnist_test_digits.images[7] >= 10, mnist_test_digits.images[7], 0
    )
    reference = torch.nn.functional.interpolate(
        torch.from_numpy(canvas)[None, None], size=64, mode="bilinear", antialias=True
    )[0, 0]
    frame = SyncMNIST.from_paths(save(arrays), mnist_test_digits)[1][0][2, 0].double()
    torch.testing.assert_close(frame, reference, atol=0.5 + 1e-9, rtol=0)


def test_published_test_set(mnist_root):
    digits = DigitImages("test", "mnist", root=mnist_root)
    dataset = SyncMNIST.from_paths(PUBLISHED_TEST_PATHS, digits)
    with np.load(PUBLISHED_TEST_PATHS) as published:
        coords, digit_index, synchronous = (published[k] for k in ("coords", "digit_index", "synchronous"))
    paths = dataset.paths(range(10_000))
    np.testing.assert_array_equal(paths.coords, coords)
    np.testing.assert_array_equal(paths.digit_index, digit_index)
    labels = digits.labels[digit_index[:, :2]]
    expected = np.where(synchronous, pair_to_label(labels[:, 0], labels[:, 1]), NO_PAIR)
    np.testing.assert_array_equal(paths.label, expected)
    assert (paths.label == NO_PAIR).sum() == (~synchronous).sum() == 123
    move = np.diff(paths.coords, axis=1)
    np.testing.assert_array_equal((move[:, :, 0] == move[:, :, 1]).all(axis=(1, 2)), synchronous)
    assert dataset[9_999][0].shape == (10, 1, 64, 64)


def test_published_file_shows_the_synchrony_it_records():
    with np.load(PUBLISHED_TEST_PATHS) as published:
        coords, synchronous = published["coords"].astype(int), published["synchronous"]
    move = np.diff(coords, axis=1)
    np.testing.assert_array_equal((move[:, :, 0] == move[:, :, 1]).all(axis=(1, 2)), synchronous)
    assert np.abs(move).max() == 10
    assert (~synchronous).sum() == 123


def test_published_paths_need_the_full_test_set(fake_mnist_root, digits):
    for wrong in (digits, DigitImages("test"), DigitImages("val", "mnist", root=fake_mnist_root)):
        with pytest.raises(ValueError, match=r"'digits' to be the full MNIST test set.*--data.source mnist"):
            SyncMNIST.from_paths(PUBLISHED_TEST_PATHS, wrong)


def test_missing_file_is_named(tmp_path, mnist_test_digits):
    with pytest.raises(FileNotFoundError, match=r"gone.npz, which does not exist. The published test set can be"):
        SyncMNIST.from_paths(tmp_path / "gone.npz", mnist_test_digits)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.95])
def test_truncated_file_is_named(tmp_path, mnist_test_digits, share):
    whole = PUBLISHED_TEST_PATHS.read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(ValueError, match=r"cut.npz to be a whole npz file, but it is damaged"):
        SyncMNIST.from_paths(tmp_path / "cut.npz", mnist_test_digits)


@pytest.mark.parametrize("content", [b"no archive at all", np.lib.format.magic(1, 0), b"PK\x03\x04"])
def test_other_files_are_named(tmp_path, mnist_test_digits, content):
    (tmp_path / "other.npz").write_bytes(content)
    with pytest.raises(ValueError, match=r"other.npz to be a whole npz file, but it is damaged"):
        SyncMNIST.from_paths(tmp_path / "other.npz", mnist_test_digits)


def test_plain_npy_is_named(tmp_path, mnist_test_digits):
    np.save(tmp_path / "array.npy", np.zeros(3))
    with pytest.raises(ValueError, match=r"array.npy to be a whole npz file"):
        SyncMNIST.from_paths(tmp_path / "array.npy", mnist_test_digits)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"synchronous": None}, r"hold the array 'synchronous' \(got only \['coords', 'digit_index'\]\)"),
        (
            {"coords": np.zeros((2, 4, 3), np.uint8)},
            r"'coords' of .* integer \[\*, \*, \*, 2\] \(got uint8 \[2, 4, 3\]\)",
        ),
        ({"coords": np.zeros((2, 4, 3, 2))}, r"'coords' of .* to be integer .* \(got float64 \[2, 4, 3, 2\]\)"),
        ({"synchronous": np.ones(2, np.uint8)}, r"'synchronous' of .* to be bool \[\*\] \(got uint8 \[2\]\)"),
        ({"coords": np.zeros((2, 4, 1, 2), np.uint8)}, r"'coords' .* 2 to 10 digits \(got \[2, 4, 1, 2\]\)"),
        ({"digit_index": np.ones((2, 5), np.uint16)}, r"'digit_index' of .* to be \[2, 3\], since .* \(got \[2, 5\]\)"),
        ({"synchronous": np.ones(3, bool)}, r"'synchronous' of .* to be \[2\], since .* \(got \[3\]\)"),
        ({"digit_index": np.full((2, 3), 200, np.uint16)}, r"'digit_index' .* between 0 and 199 \(got 200\)"),
        ({"digit_index": np.full((2, 3), -4)}, r"'digit_index' .* between 0 and 199 \(got -4\)"),
        ({"coords": np.full((2, 4, 3, 2), 73, np.uint8)}, r"'coords' .* between 0 and 72 \(got 73\)"),
        ({"synchronous": np.ones(2, bool)}, r"synchronous video .* of different classes \(got 7 twice in video 1\)"),
        ({"coords": np.array([None])}, r"to be a whole npz file, but it is damaged \(Object arrays"),
    ],
)
def test_what_does_not_fit_is_named(arrays, save, mnist_test_digits, changes, message):
    kept = {name: array for name, array in (arrays | changes).items() if array is not None}
    with pytest.raises(ValueError, match=message):
        SyncMNIST.from_paths(save(kept), mnist_test_digits)
