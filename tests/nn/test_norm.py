import copy

import pytest
import torch

from rstg_pyg.nn import RSTG
from rstg_pyg.nn.norm import node_norm, normalize_nodes


def test_batch_norm_runs_over_frames_and_nodes_alike():
    x = torch.randn(2, 3, 14, 5)
    flat = torch.nn.BatchNorm1d(5)
    norm = node_norm("batch", 5)
    torch.testing.assert_close(normalize_nodes(norm, x), flat(x.view(-1, 5)).view_as(x))
    torch.testing.assert_close(norm.running_var, flat.running_var)
    torch.testing.assert_close(normalize_nodes(norm.eval(), x), flat.eval()(x.view(-1, 5)).view_as(x))


@pytest.mark.parametrize("lengths", [None, torch.tensor([3, 1, 2, 3])])
def test_batch_norm_stays_one_of_channels_when_it_is_made_to_count_over_processes(lengths):
    torch.manual_seed(0)
    rstg = RSTG(5, 4, num_iterations=1, input_norm="batch", norm="batch")  # as many channels as clips
    synced = torch.nn.SyncBatchNorm.convert_sync_batchnorm(copy.deepcopy(rstg))
    assert isinstance(synced.input_norm, torch.nn.SyncBatchNorm)
    x, edge_index = torch.randn(4, 3, 2, 5), torch.tensor([[0, 1], [1, 0]])
    for mode in (True, False):
        out, _ = rstg.train(mode)(x, edge_index, lengths=lengths)
        torch.testing.assert_close(synced.train(mode)(x, edge_index, lengths=lengths)[0], out)


def test_none_is_the_identity():
    x = torch.randn(2, 14, 5)
    assert normalize_nodes(node_norm(None, 5), x) is x


def test_bad_norm():
    with pytest.raises(ValueError, match=r"Expected 'norm' to be one of \['layer', 'batch', None\] \(got 'group'\)"):
        node_norm("group", 5)
