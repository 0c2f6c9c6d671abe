import pytest
import torch

from rstg_pyg.nn.norm import node_norm


def test_batch_norm_runs_over_frames_and_nodes_alike():
    x = torch.randn(2, 3, 14, 5)
    flat = torch.nn.BatchNorm1d(5)
    norm = node_norm("batch", 5)
    torch.testing.assert_close(norm(x), flat(x.view(-1, 5)).view_as(x))
    torch.testing.assert_close(norm.running_var, flat.running_var)
    torch.testing.assert_close(norm.eval()(x), flat.eval()(x.view(-1, 5)).view_as(x))


def test_none_is_the_identity():
    x = torch.randn(2, 14, 5)
    assert node_norm(None, 5)(x) is x


def test_bad_norm():
    with pytest.raises(ValueError, match=r"Expected 'norm' to be one of \['layer', 'batch', None\] \(got 'group'\)"):
        node_norm("group", 5)
