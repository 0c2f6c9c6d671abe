import pytest
import torch

from rstg_pyg.nn import NodesToVec


def test_by_hand():
    x = torch.tensor([[[[1.0], [2.0]], [[3.0], [5.0]]]])  # one clip, two frames, two nodes
    assert NodesToVec("last")(x).tolist() == [[8.0]]
    assert NodesToVec("mean")(x).tolist() == [[5.5]]


@pytest.mark.parametrize("readout", ["last", "mean"])
def test_lengths_equal_shorter_clips(readout):
    x = torch.randn(3, 4, 5, 2)
    lengths = torch.tensor([4, 1, 2])
    x[torch.arange(4) >= lengths[:, None]] = 0
    out = NodesToVec(readout)(x, lengths=lengths)
    for b, length in enumerate(lengths.tolist()):
        torch.testing.assert_close(out[b : b + 1], NodesToVec(readout)(x[b : b + 1, :length]))


@pytest.mark.parametrize("readout", ["last", "mean"])
def test_clip_without_frames_gives_zeros(readout):
    x = torch.randn(2, 4, 5, 3)
    x[1] = 0
    out = NodesToVec(readout)(x, lengths=torch.tensor([4, 0]))
    assert out[1].tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("readout", ["last", "mean"])
def test_disjoint_batch_of_graphs_of_any_size(readout):
    x = torch.randn(1, 3, 5, 2)
    batch = torch.tensor([0, 0, 1, 1, 1])
    expected = torch.cat([NodesToVec(readout)(x[:, :, :2]), NodesToVec(readout)(x[:, :, 2:]), torch.zeros(1, 2)])
    torch.testing.assert_close(NodesToVec(readout)(x, batch, batch_size=3), expected)
    torch.testing.assert_close(NodesToVec(readout)(x, batch), expected[:2])


@pytest.mark.parametrize("readout", ["last", "mean"])
def test_frame_by_frame(readout):
    x = torch.randn(2, 4, 5, 3)
    state = None
    for t in range(4):
        out, state = NodesToVec(readout).step(x[:, t], state)
        torch.testing.assert_close(out, NodesToVec(readout)(x[:, : t + 1]))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_mean_of_a_long_stream_in_half_precision(dtype):
    readout, state = NodesToVec("mean"), None
    for value in (1.0, 3.0):  # 1000 frames each
        frame = torch.full((1, 5, 2), value, dtype=dtype)
        for _ in range(1000):
            out, state = readout.step(frame, state)
    assert out.dtype == dtype
    assert out.tolist() == [[10.0, 10.0]]
    assert state[0].dtype == torch.float32


def test_errors_and_repr():
    assert repr(NodesToVec("mean")) == "NodesToVec(readout='mean')"
    with pytest.raises(ValueError, match=r"Expected 'readout' to be one of \['last', 'mean'\] \(got 'max'\)"):
        NodesToVec("max")
    with pytest.raises(ValueError, match=r"Expected 'x' to be of shape \[B, T, N, D\] \(got \[3, 5, 2\]\)"):
        NodesToVec()(torch.rand(3, 5, 2))
    with pytest.raises(ValueError, match=r"Expected 'batch' to be of shape \[N\] .*\(got \[5\] and \[2, 3, 5, 2\]\)"):
        NodesToVec()(torch.rand(2, 3, 5, 2), torch.zeros(5, dtype=torch.long))
    for lengths in (torch.ones(2, 1, dtype=torch.long), torch.ones(1, dtype=torch.long), torch.ones(2)):
        with pytest.raises(ValueError, match=r"Expected 'lengths' to be int64 of shape \[2\] \(got torch\."):
            NodesToVec()(torch.rand(2, 3, 5, 2), lengths=lengths)
    with pytest.raises(ValueError, match=r"Expected 'x' to be of shape \[B, N, D\] \(got \[1, 3, 5, 2\]\)"):
        NodesToVec().step(torch.rand(1, 3, 5, 2))
    with pytest.raises(ValueError, match=r"Expected 'state' .* \[\[3, 2\], \[3\]\] \(got \[\[3, 2\]\]\)"):
        NodesToVec("mean").step(torch.rand(3, 5, 2), (torch.zeros(3, 2),))
