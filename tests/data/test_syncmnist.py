import hashlib

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from data import NO_PAIR, DigitImages, SyncMNIST, collate_stacked, pair_to_label
from data.curriculum import Curriculum

PINNED_LABELS = [33, 44, 35, 36, 6, 33, 40, 36]
PINNED_HASH = "d09cff1553e62f84"


@pytest.fixture(scope="module")
def dataset(digits):
    return SyncMNIST(digits, num_digits=3, num_videos=10**6)


@pytest.fixture(scope="module")
def first_videos(dataset):
    return dataset.batch(range(48))


# --- one video is a pure function of (seed, split, index)


def test_items(dataset):
    video, label = dataset[7]
    assert video.shape == (10, 1, 64, 64)
    assert video.dtype == torch.uint8
    assert isinstance(label, int)
    assert video.amax(dim=(1, 2, 3)).gt(200).all()  # there are digits on every frame


def test_the_videos_are_those_of_this_release(first_videos):
    """The generator's numbers may not drift: published checkpoints and tables rest on them."""
    video, label = first_videos
    assert label[:8].tolist() == PINNED_LABELS
    assert hashlib.sha256(video[:8].numpy().tobytes()).hexdigest()[:16] == PINNED_HASH


def test_boxes_hold_all_ink_and_leave_the_videos_as_they_are(digits):
    curriculum = [[0, 2], [1, 2], [2, 3]]  # two digits in the first two videos
    plain, boxed = (SyncMNIST(digits, curriculum, frame_size=100, num_videos=6, boxes=b) for b in (False, True))
    video, boxes, label = boxed.batch(range(6))
    assert torch.equal(video, plain.batch(range(6))[0])
    assert torch.equal(label, plain.batch(range(6))[1])
    assert boxes.shape == (6, 10, 3, 4)
    assert boxes.isnan().all(dim=(1, 3)).nonzero().tolist() == [[0, 2], [1, 2]]
    inside = torch.zeros(6, 10, 100, 100, dtype=torch.bool)
    for b, t, k in (~boxes.isnan().any(dim=-1)).nonzero().tolist():
        y0, x0, y1, x1 = (boxes[b, t, k] * 100).round().int().tolist()
        inside[b, t, y0:y1, x0:x1] = True
        assert video[b, t, 0, y0:y1, x0:x1].max() > 200
    assert (video[:, :, 0][~inside] == 0).all()
    item = boxed[3]
    assert torch.equal(item[1], boxes[3])
    assert item[2] == int(label[3])


def test_centres_are_those_of_the_boxes_by_class(digits):
    curriculum = [[0, 2], [1, 2], [2, 3]]  # two digits in the first two videos
    boxed, centred = (SyncMNIST(digits, curriculum, num_videos=6, **{what: True}) for what in ("boxes", "centres"))
    (video, boxes, label), (same_video, centres, same_label) = boxed.batch(range(6)), centred.batch(range(6))
    assert torch.equal(video, same_video)
    assert torch.equal(label, same_label)
    expected = torch.full((6, 10, 10, 2), torch.nan)
    for b, classes in enumerate(boxed.paths(range(6)).classes.tolist()):
        for k, digit in enumerate(classes):
            if digit >= 0:
                expected[b, :, digit] = (boxes[b, :, k, :2] + boxes[b, :, k, 2:]) / 2
    torch.testing.assert_close(centres, expected, equal_nan=True)
    assert (~centres.isnan()).sum(dim=(1, 2, 3)).tolist() == [2 * 10 * n for n in (2, 2, 3, 3, 3, 3)]


def test_boxes_and_centres_are_not_given_together(digits):
    with pytest.raises(ValueError, match=r"Expected 'centres' to be False beside boxes=True \(got True\)"):
        SyncMNIST(digits, boxes=True, centres=True)


@settings(max_examples=15, deadline=None)
@given(indices=st.lists(st.integers(0, 47), min_size=1, max_size=12))
def test_any_batch_holds_the_same_videos(dataset, first_videos, indices):
    videos, labels = dataset.batch(indices)
    assert torch.equal(videos, first_videos[0][indices])
    assert torch.equal(labels, first_videos[1][indices])


@pytest.mark.parametrize("num_workers", [0, 1, 2])
def test_any_number_of_workers_gives_the_same_videos(dataset, first_videos, num_workers):
    order = torch.randperm(48).tolist()
    loader = DataLoader(dataset, batch_size=7, sampler=order, num_workers=num_workers, collate_fn=collate_stacked)
    videos, labels = (torch.cat(field) for field in zip(*loader, strict=True))
    assert torch.equal(videos, first_videos[0][order])
    assert torch.equal(labels, first_videos[1][order])


def test_pytorchs_own_collate_gives_the_same_batch(dataset, first_videos):
    videos, labels = next(iter(DataLoader(dataset, batch_size=5)))
    assert torch.equal(videos, first_videos[0][:5])
    assert torch.equal(labels, first_videos[1][:5])
    items = dataset.__getitems__([3, 1])
    assert isinstance(items, list)
    assert torch.equal(items[1][0], dataset[1][0])


def test_seed_and_split_change_every_video(digits, first_videos):
    for other in (SyncMNIST(digits, seed=1), SyncMNIST(DigitImages("val")), SyncMNIST(digits, seed=2**64 - 1)):
        videos, _ = other.batch(range(48))
        assert (videos != first_videos[0]).flatten(1).any(dim=1).all()


def test_longer_videos_begin_like_shorter_ones(digits, first_videos):
    longer, labels = SyncMNIST(digits, num_frames=14).batch(range(4))
    assert torch.equal(longer[:, :10], first_videos[0][:4])
    assert torch.equal(labels, first_videos[1][:4])


def test_more_digits_leave_the_others_as_they_are(digits, dataset):
    few, many = dataset.paths(range(200)), SyncMNIST(digits, num_digits=10).paths(range(200))
    np.testing.assert_array_equal(many.coords[:, :, :3], few.coords)
    np.testing.assert_array_equal(many.digit_index[:, :3], few.digit_index)
    np.testing.assert_array_equal(np.sort(many.classes, axis=1), np.tile(np.arange(10), (200, 1)))


# --- how digits are drawn and move


def moves(coords):
    return np.diff(coords, axis=1)


@pytest.mark.parametrize(
    ("num_digits", "max_move", "canvas_size"), [(3, 10, 100), (5, 36, 100), (2, 3, 48), (10, 99, 64)]
)
def test_moves_and_synchrony_recomputed_from_coordinates(digits, num_digits, max_move, canvas_size):
    dataset = SyncMNIST(digits, num_digits=num_digits, max_move=max_move, no_pair=0.3, canvas_size=canvas_size)
    paths = dataset.paths(range(3000))
    last = canvas_size - 28 - 1
    assert paths.coords.min() == 0
    assert paths.coords.max() == last
    before, move = paths.coords[:, :-1], moves(paths.coords)
    lo, hi = np.maximum(-max_move, -before), np.minimum(max_move, last - before)
    pair = np.zeros(move.shape, dtype=bool)
    pair[paths.synchronous, :, :2] = True
    assert ((move >= lo) & (move < hi) | pair).all()
    # The pair: one common move from the intersection of its two ranges, none on an axis where that is empty.
    move, lo, hi = (x[paths.synchronous][:, :, :2] for x in (move, lo, hi))
    np.testing.assert_array_equal(move[:, :, 0], move[:, :, 1])
    common_lo, common_hi = lo.max(axis=2), hi.min(axis=2)
    empty = common_hi <= common_lo
    assert empty.any()
    assert (move[:, :, 0][empty] == 0).all()
    assert ((move[:, :, 0] >= common_lo) & (move[:, :, 0] < common_hi))[~empty].all()


def test_only_the_pair_moves_together(digits):
    paths = SyncMNIST(digits, num_digits=5, no_pair=0.5).paths(range(2000))
    move = moves(paths.coords)
    for i in range(5):
        for j in range(i):
            together = (move[:, :, i] == move[:, :, j]).all(axis=(1, 2))
            np.testing.assert_array_equal(together, paths.synchronous if (i, j) == (1, 0) else np.zeros(2000, bool))


def test_start_and_moves_are_uniform(digits):
    dataset = SyncMNIST(digits, num_digits=3, no_pair=1.0, num_frames=2)
    paths = dataset.paths(range(60_000))
    before, move = paths.coords[:, 0], moves(paths.coords)[:, 0]
    free = (before >= 10) & (before <= 61)  # the whole range [-10, 10) is open
    assert chi_square(move[free] + 10, 20) < 45  # 19 degrees of freedom: p = 0.0007
    # hi = min(10, 71 - p) is excluded: from 70 a digit may stay, and cannot reach 71.
    assert set(move[before == 70].tolist()) == set(range(-10, 1))


def chi_square(values, bins):
    counts = np.bincount(values.ravel(), minlength=bins)
    assert len(counts) == bins
    return ((counts - counts.mean()) ** 2 / counts.mean()).sum()


def test_the_45_pairs_are_equally_likely_and_no_pair_has_its_rate(digits):
    dataset = SyncMNIST(digits, num_digits=3, num_frames=1)
    label = dataset.paths(range(200_000)).label
    assert chi_square(label[label != NO_PAIR], 45) < 83  # 44 degrees of freedom: p = 0.0003
    rate = (label == NO_PAIR).mean()
    assert abs(rate - 1 / 92) < 4 * np.sqrt(1 / 92 / 200_000)


def test_classes_images_and_labels_fit_together(digits):
    paths = SyncMNIST(digits, num_digits=4, no_pair=0.2).paths(range(20_000))
    np.testing.assert_array_equal(digits.labels[paths.digit_index], paths.classes)
    assert (np.diff(np.sort(paths.classes, axis=1), axis=1) > 0).all()  # all different
    assert chi_square(paths.classes, 10) < 30
    np.testing.assert_array_equal(paths.label == NO_PAIR, ~paths.synchronous)
    pair = paths.classes[paths.synchronous]
    np.testing.assert_array_equal(pair_to_label(pair[:, 0], pair[:, 1]), paths.label[paths.synchronous])
    assert len(np.unique(paths.digit_index)) > 0.999 * len(digits)  # of 80,000 draws from 9,000 images
    # Which digit of the pair comes first, and so lies below, says nothing.
    assert abs((pair[:, 0] > pair[:, 1]).mean() - 0.5) < 0.02


@pytest.mark.parametrize(("no_pair", "expected"), [(0.0, 0), (1.0, 500), (0, 0), (1, 500)])
def test_no_pair_never_and_always(digits, no_pair, expected):
    label = SyncMNIST(digits, no_pair=no_pair).paths(range(500)).label
    assert (label == NO_PAIR).sum() == expected


# --- curricula


def test_curriculum_worked_by_hand():
    table = Curriculum([(10, 36), (20, 16), (21, 10)], "max_move", 1, 99)
    assert table.units([0, 10, 11, 15, 19, 20, 21, 10**9]).tolist() == [36, 36, 34, 26, 18, 16, 10, 10]
    steps = Curriculum([(0, 2), (4, 3)], "num_digits", 2, 10)
    assert steps.units(range(6)).tolist() == [2, 2, 3, 3, 3, 3]  # 2.25, then 2.5: halves round up
    falling = Curriculum([(0, 3), (4, 2)], "num_digits", 2, 10)
    assert falling.units(range(6)).tolist() == [3, 3, 3, 2, 2, 2]
    assert Curriculum(0.25, "no_pair", 0, 1, scale=1 << 24).units([5]).tolist() == [1 << 22]


def test_curriculum_is_a_function_of_the_index(digits):
    dataset = SyncMNIST(
        digits, num_digits=[(99, 2), (100, 4)], max_move=[(0, 60), (200, 5)], no_pair=[(0, 1.0), (300, 0.0)]
    )
    paths = dataset.paths(range(400))
    assert paths.coords.shape == (400, 10, 4, 2)
    assert ((paths.classes >= 0).sum(axis=1) == np.where(np.arange(400) < 100, 2, 4)).all()
    assert (paths.digit_index[:100, 2:] == -1).all()
    assert np.abs(moves(paths.coords[200:])).max() == 5
    assert np.abs(moves(paths.coords[:50])).max() > 40
    assert (paths.label[:60] == NO_PAIR).sum() > 40
    assert (paths.label[300:] != NO_PAIR).all()
    videos, labels = dataset.batch([300, 5, 99, 100])
    for row, index in enumerate([300, 5, 99, 100]):
        assert torch.equal(videos[row], dataset[index][0])
        assert labels[row] == dataset[index][1]
    lonely = float(not paths.synchronous[99])
    two = SyncMNIST(digits, num_digits=2, max_move=33, no_pair=lonely)  # 60 - 55 * 99 / 200 = 32.8
    np.testing.assert_array_equal(two.paths([99]).coords[:, :, :2], paths.coords[99:100, :, :2])


def test_second_digit_starts_over_the_first(digits):
    apart = SyncMNIST(digits, num_digits=4).paths(range(2000))
    over = SyncMNIST(digits, num_digits=4, overlap=1).paths(range(2000))
    for name in ("classes", "digit_index", "synchronous", "label"):
        np.testing.assert_array_equal(getattr(over, name), getattr(apart, name))
    np.testing.assert_array_equal(over.coords[:, :, 2:], apart.coords[:, :, 2:])
    distance = np.abs(over.coords[:, :, 1] - over.coords[:, :, 0]).max(axis=-1)
    assert distance[over.synchronous].max() == 12  # all the way, as the pair moves together
    assert distance[~over.synchronous].max() > 30
    assert (over.coords.min(), over.coords.max()) == (0, 70)

    some = SyncMNIST(digits, num_digits=4, overlap=[(0, 0.5), (1000, 0.5), (1001, 0.0)]).paths(range(2000))
    is_over = (some.coords == over.coords).all(axis=(1, 2, 3))
    assert is_over[:1001].mean() == pytest.approx(0.5, abs=0.05)
    np.testing.assert_array_equal(some.coords[~is_over], apart.coords[~is_over])
    assert (some.coords[1001:] == apart.coords[1001:]).all()


# --- errors


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"num_digits": 11}, ValueError, r"'num_digits' to be between 2 and 10 \(got 11\)"),
        ({"num_digits": [(0, 2), (5, 1)]}, ValueError, r"'num_digits' to be between 2 and 10 \(got 1\)"),
        ({"num_digits": 2.5}, TypeError, r"'num_digits' to be an integer or a list of .* \(got the value 2.5\)"),
        ({"max_move": 0}, ValueError, r"'max_move' to be at least 1 \(got 0\)"),
        ({"max_move": "wide"}, TypeError, r"'max_move' to be an integer or a list of .* \(got 'wide'\)"),
        ({"max_move": []}, ValueError, r"'max_move' to be .* at least one \(got an empty list\)"),
        ({"max_move": [(0, 5), 7]}, TypeError, r"'max_move' to be .* \(got 7 in it\)"),
        ({"max_move": [(5, 5), (5, 7)]}, ValueError, r"indices of 'max_move' to grow \(got \[5, 5\]\)"),
        ({"max_move": [(-1, 5)]}, TypeError, r"indices of 'max_move' to be integers from 0 on \(got -1\)"),
        ({"no_pair": 1.5}, ValueError, r"'no_pair' to be between 0 and 1 \(got 1.5\)"),
        ({"no_pair": float("nan")}, ValueError, r"'no_pair' to be between 0 and 1 \(got nan\)"),
        ({"overlap": -0.1}, ValueError, r"'overlap' to be between 0 and 1 \(got -0.1\)"),
        ({"num_frames": 0}, ValueError, r"'num_frames' to be an integer of at least 1 \(got 0\)"),
        ({"frame_size": 6.4}, ValueError, r"'frame_size' to be an integer of at least 1 \(got 6.4\)"),
        ({"canvas_size": 29}, ValueError, r"'canvas_size' to be an integer of at least 30 \(got 29\)"),
        ({"num_videos": -1}, ValueError, r"'num_videos' to be an integer of at least 1 \(got -1\)"),
        ({"seed": -1}, ValueError, r"'seed' to be an integer in \[0, 2\^64\) \(got -1\)"),
        ({"seed": 0.5}, ValueError, r"'seed' to be an integer in \[0, 2\^64\) \(got 0.5\)"),
    ],
)
def test_wrong_arguments_are_named(digits, arguments, error, message):
    with pytest.raises(error, match=message):
        SyncMNIST(digits, **arguments)


def test_the_dataset_ends(digits):
    dataset = SyncMNIST(digits, num_videos=3)
    assert len(dataset) == 3
    assert len(list(dataset)) == 3
    for index in (3, -1):
        with pytest.raises(IndexError, match=rf"between 0 and 2 \(got {index}\)"):
            dataset[index]
