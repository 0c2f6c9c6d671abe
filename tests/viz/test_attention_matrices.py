import dataclasses

import numpy as np
import pytest

from rstg_pyg.viz import draw_attention_matrices


def test_matrices_hold_listener_by_sender_and_nothing_where_there_is_no_edge(rec):
    figure = draw_attention_matrices(rec, clip=1, frames=[0, 2])
    matrices = np.stack([np.ma.filled(axes.images[0].get_array(), np.nan) for axes in figure.axes[:4]]).reshape(
        2, 2, 5, 5
    )
    expected = np.full((2, 2, 5, 5), np.nan)
    for e, (sender, listener) in enumerate(rec.edge_index.t().tolist()):
        for row in range(2):
            for column, t in enumerate([0, 2]):
                expected[row, column, listener, sender] = rec.attention[1, t, row, e]
    np.testing.assert_allclose(matrices, expected)
    np.testing.assert_allclose(np.nansum(matrices, axis=-1), 1, rtol=1e-5)
    assert figure.axes[2].get_ylabel() == "iteration 1\nlistener"


def test_a_scale_with_both_signs_is_balanced(rec):
    figure = draw_attention_matrices(dataclasses.replace(rec, attention=rec.attention - 0.5))
    image = figure.axes[0].images[0]
    assert image.get_clim()[0] == -image.get_clim()[1] < 0
    assert image.get_cmap().name == "PuOr"


def test_graph_without_messages_is_an_error(rec):
    with pytest.raises(ValueError, match=r"\(got K = 0 space stages and E = 16 edges\)"):
        draw_attention_matrices(dataclasses.replace(rec, attention=rec.attention[:, :, :0]))
