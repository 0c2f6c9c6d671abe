import numpy as np
import pytest

from data.digits import DigitImages, deform, deformation

LIMITS = ("MAX_TURN", "MAX_STRETCH", "MAX_SHEAR", "BEND")


@pytest.fixture
def only(monkeypatch):
    """Deforms with limits of one's own; those that are not given are 0."""

    def set_limits(**limits):
        for name in LIMITS:
            monkeypatch.setattr(deformation, name, limits.get(name, 0.0))

    return set_limits


def ellipse(half_height, half_width):
    row, column = np.mgrid[:28, :28] - 13.5
    return (255 * ((row / half_height) ** 2 + (column / half_width) ** 2 <= 1)).astype(np.uint8)


def moments(images):
    """Ink, centre [M, 2] and covariance [M, 2, 2] in rows and columns."""
    weight = images.reshape(len(images), -1).astype(float)
    ink = weight.sum(axis=1)
    place = np.mgrid[:28, :28].reshape(2, -1).T - 13.5
    centre = weight @ place / ink[:, None]
    away = place - centre[:, None]
    return ink, centre, np.einsum("mp,mpi,mpj->mij", weight, away, away) / ink[:, None, None]


def test_without_limits_copies_are_the_images(digits, only):
    only()
    np.testing.assert_array_equal(deform(digits.images[:50], 3), np.tile(digits.images[:50], (3, 1, 1)))


def test_turns_turn_the_axis_and_nothing_else(only):
    only(MAX_TURN=0.3)
    image = ellipse(12, 4)[None].repeat(400, axis=0)
    ink, centre, covariance = moments(deform(image, 1))
    own_ink, _, own_covariance = moments(image[:1])
    np.testing.assert_allclose(ink, own_ink[0], rtol=0.02)
    np.testing.assert_allclose(centre, 0, atol=0.1)
    np.testing.assert_allclose(
        np.linalg.eigvalsh(covariance), np.linalg.eigvalsh(own_covariance).repeat(400, 0), rtol=0.1
    )
    row, column = np.linalg.eigh(covariance)[1][:, :, 1].T
    angle = np.arctan(column / row)
    assert np.abs(angle).max() < 0.31
    np.testing.assert_allclose(np.quantile(angle, [0.05, 0.5, 0.95]), [-0.27, 0, 0.27], atol=0.04)  # uniform


def test_each_axis_is_stretched_by_its_own_factor(only):
    only(MAX_STRETCH=0.2)
    image = ellipse(8, 8)[None].repeat(400, axis=0)
    _, centre, covariance = moments(deform(image, 1))
    np.testing.assert_allclose(centre, 0, atol=0.1)
    sides = np.sqrt(covariance[:, [0, 1], [0, 1]] / moments(image[:1])[2][0, 0, 0])
    assert sides.min() > 1 / 1.2 - 0.02  # the grid is stretched, the image shrinks
    assert sides.max() < 1 / 0.8 + 0.02
    np.testing.assert_allclose(np.quantile(1 / sides, [0.05, 0.95], axis=0), [[0.82] * 2, [1.18] * 2], atol=0.03)
    assert abs(np.corrcoef(sides.T)[0, 1]) < 0.15
    np.testing.assert_allclose(covariance[:, 0, 1], 0, atol=0.3)


def test_shear_moves_rows_along_columns(only):
    only(MAX_SHEAR=0.3)
    image = ellipse(9, 9)[None].repeat(200, axis=0)
    ink, _, covariance = moments(deform(image, 1))
    np.testing.assert_allclose(ink, moments(image[:1])[0][0], rtol=0.02)
    slope = covariance[:, 0, 1] / covariance[:, 0, 0]  # columns a row moves by
    assert 0.25 < np.abs(slope).max() < 0.32
    np.testing.assert_allclose(covariance[:, 0, 0], moments(image[:1])[2][0, 0, 0], rtol=0.05)  # rows stay in place


def test_bends_are_smooth_and_of_their_size(only):
    only(BEND=0.05)
    ramp = np.tile(np.arange(0, 252, 9, dtype=np.uint8), (400, 1, 1)).repeat(28, axis=1)  # says which column it is
    moved = (deform(ramp, 1).astype(float) - ramp)[:, 4:-4, 4:-4] / 9  # columns; beyond the border is black
    assert 0.35 < moved.std() < 0.7  # 0.05 of half a side of 28 are 0.7; less between the points
    assert np.abs(np.diff(moved, axis=1)).mean() < 0.25 * moved.std()


def test_copies_differ_are_repeatable_and_do_not_depend_on_the_number_of_copies(digits, monkeypatch):
    images = digits.images[:30]
    copies = deform(images, 2)
    assert copies.dtype == np.uint8
    assert len({image.tobytes() for image in [*images, *copies]}) == 90
    np.testing.assert_array_equal(copies, deform(images, 2))
    np.testing.assert_array_equal(copies[:30], deform(images, 1))
    assert deform(images, 0).shape == (0, 28, 28)
    for image, copy in zip(images, copies, strict=False):
        assert np.corrcoef(image.ravel(), copy.ravel())[0, 1] > 0.4  # still that digit


def test_digits_with_copies(digits):
    more = DigitImages("train", deformed_copies=2)
    assert len(more) == 3 * len(digits)
    np.testing.assert_array_equal(more.images[: len(digits)], digits.images)
    np.testing.assert_array_equal(more.images[len(digits) :], deform(digits.images, 2))
    np.testing.assert_array_equal(more.labels, np.tile(digits.labels, 3))
    bits = np.random.default_rng(0).integers(0, 2**64, (30_000,), dtype=np.uint64)
    sevens = more.pick(np.full(30_000, 7), bits)
    assert set(sevens.tolist()) == set(np.flatnonzero(more.labels == 7).tolist())
    with pytest.raises(ValueError, match=r"'deformed_copies' to be 0 for the val split \(got 1\)"):
        DigitImages("val", deformed_copies=1)
    with pytest.raises(ValueError, match=r"'deformed_copies' to be an integer of at least 0 \(got -1\)"):
        DigitImages("train", deformed_copies=-1)
