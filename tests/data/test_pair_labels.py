import numpy as np
import pytest

from data import NO_PAIR, NUM_CLASSES, class_names, label_to_pair, pair_to_label


@pytest.mark.parametrize(("i", "j", "label"), [(1, 0, 0), (2, 0, 1), (2, 1, 2), (3, 0, 3), (9, 3, 39), (9, 8, 44)])
def test_labels_worked_by_hand(i, j, label):
    assert pair_to_label(i, j) == label
    assert pair_to_label(j, i) == label
    assert label_to_pair(label) == (i, j)
    assert class_names()[label] == f"{i}-{j}"


def test_every_label_has_one_pair():
    pairs = [label_to_pair(label) for label in range(NO_PAIR)]
    assert len(set(pairs)) == 45
    assert pair_to_label(*np.transpose(pairs)).tolist() == list(range(45))
    assert label_to_pair(NO_PAIR) is None
    assert len(class_names()) == NUM_CLASSES
    assert class_names()[NO_PAIR] == "no pair"


@pytest.mark.parametrize(("i", "j"), [(3, 3), (10, 0), (0, -1)])
def test_wrong_pairs_are_named(i, j):
    with pytest.raises(ValueError, match=rf"'first' and 'second' to be different digits 0-9 \(got {i} and {j}\)"):
        pair_to_label(i, j)


@pytest.mark.parametrize("label", [-1, 46])
def test_wrong_labels_are_named(label):
    with pytest.raises(ValueError, match=rf"'label' to be between 0 and 45 \(got {label}\)"):
        label_to_pair(label)
