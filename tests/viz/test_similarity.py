import dataclasses

import numpy as np
import pytest
import torch

from rstg_pyg.viz import draw_similarity
from rstg_pyg.viz.similarity import state_similarity


def test_similarity_by_hand():
    states = torch.tensor([[3.0, 4.0], [6.0, 8.0], [-4.0, 3.0], [0.0, 0.0], [-0.3, -0.4]])
    expected = torch.tensor(
        [[1, 1, 0, 0, -1], [1, 1, 0, 0, -1], [0, 0, 1, 0, 0], [0, 0, 0, 0, 0], [-1, -1, 0, 0, 1]], dtype=torch.float32
    )
    torch.testing.assert_close(state_similarity(states), expected, atol=1e-6, rtol=0)


def test_curves_and_matrices(rec):
    states = torch.zeros(1, 3, 2, 5, 5)
    states[0, :, 0] = torch.eye(5)  # all nodes at right angles
    states[0, 0, 1], states[0, 1, 1] = 1.0, -2.0  # all alike, then turned round
    states[0, 2, 1] = torch.tensor([-1.0, -1, -1, -1, 4])  # at right angles to before
    record = dataclasses.replace(rec, states=states, stages=("input", "time 0"), video=None)
    figure = draw_similarity(record)
    for axes in figure.axes[:3]:
        np.testing.assert_allclose(axes.images[0].get_array(), np.ones((5, 5)), atol=1e-6)
    pairs, itself = figure.axes[-2:]
    curves = {line.get_label(): line.get_ydata() for line in pairs.lines}
    np.testing.assert_allclose(curves["input"], 0, atol=1e-6)
    np.testing.assert_allclose(curves["time 0"], 1, atol=1e-6)
    for line in itself.lines:
        np.testing.assert_allclose(line.get_data(), [[1, 2], [-1, 0]], atol=1e-6)
    assert [line.get_label() for line in itself.lines] == ["scale 0", "scale 1"]


def test_errors(rec):
    with pytest.raises(IndexError, match=r"Expected 'stage' to be in -6..5 \(got 6\)"):
        draw_similarity(rec, stage=6)
    with pytest.raises(ValueError, match="Expected 'frames' to be some of"):
        draw_similarity(rec, frames=[])
    with pytest.raises(ValueError, match=r"Expected states of at least two nodes.*\(got 1\)"):
        draw_similarity(dataclasses.replace(rec, states=rec.states[..., :1, :], video=None))
