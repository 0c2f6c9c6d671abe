import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from data.video.clip_sampling import (
    DenseSampling,
    SegmentSampling,
    UniformSampling,
    dense_indices,
    segment_indices,
    uniform_indices,
)

frames = st.integers(1, 400)
clip = st.integers(1, 40)
share = st.floats(0, 1, exclude_max=True)


@pytest.mark.parametrize(
    ("num_frames", "clip_frames", "offset", "expected"),
    [
        (8, 4, 0.5, [1, 3, 5, 7]),  # intervals of two frames: 0 1 | 2 3 | 4 5 | 6 7
        (8, 4, 0.0, [0, 2, 4, 6]),
        (10, 4, 0.5, [1, 3, 6, 8]),  # 1.25, 3.75, 6.25, 8.75
        (10, 4, 0.0, [0, 2, 5, 7]),  # 0, 2.5, 5, 7.5
        (3, 6, 0.5, [0, 0, 1, 1, 2, 2]),
        (1, 3, 0.0, [0, 0, 0]),
        (48, 32, 0.5, [3 * i // 2 + i % 2 for i in range(32)]),  # 0.75, 2.25, 3.75, 5.25: two of three frames
    ],
)
def test_uniform_by_hand(num_frames, clip_frames, offset, expected):
    assert uniform_indices(num_frames, clip_frames, offset).tolist() == expected


@given(frames, clip, share)
def test_uniform_takes_one_frame_of_each_interval(num_frames, clip_frames, offset):
    indices = uniform_indices(num_frames, clip_frames, offset)
    assert len(indices) == clip_frames
    for i, index in enumerate(indices.tolist()):
        assert i * num_frames // clip_frames <= index < num_frames
        assert index <= (i + 1) * num_frames / clip_frames


@given(st.integers(1, 40), st.integers(1, 10))
def test_second_sampling_is_half_an_interval_before_the_first(clip_frames, half_interval):
    first, second = UniformSampling(clip_frames, [0.5, 0.0])(2 * half_interval * clip_frames)
    assert (first - second).tolist() == [half_interval] * clip_frames


@given(frames, st.lists(share, min_size=1, max_size=40))
def test_segments_have_one_frame_each(num_frames, offsets):
    indices = segment_indices(num_frames, torch.tensor(offsets, dtype=torch.float64))
    for i, index in enumerate(indices.tolist()):
        assert i * num_frames // len(offsets) <= index <= min((i + 1) * num_frames / len(offsets), num_frames - 1)


def test_segments_by_hand():
    offsets = torch.tensor([0.0, 0.5, 0.99], dtype=torch.float64)
    assert segment_indices(12, offsets).tolist() == [0, 6, 11]


def test_random_segments_reach_every_frame_equally_often():
    drawn = torch.cat([SegmentSampling(4)(16) for _ in range(2000)])
    counts = torch.bincount(drawn, minlength=16)  # 500 each, with a standard deviation of 19
    assert counts.min() > 400
    assert counts.max() < 600


def test_random_segments_follow_torchs_generator():
    torch.manual_seed(3)
    first = SegmentSampling(8)(100)
    torch.manual_seed(3)
    assert torch.equal(SegmentSampling(8)(100), first)
    assert not torch.equal(SegmentSampling(8)(100), first)


@pytest.mark.parametrize(
    ("place", "expected"),
    [(0.0, [0, 2, 4]), (0.49, [1, 3, 5]), (0.5, [2, 4, 6]), (0.99, [3, 5, 7]), (1.0, [3, 5, 7])],
)
def test_dense_by_hand(place, expected):
    assert dense_indices(8, clip_frames=3, stride=2, place=place).tolist() == expected  # starts 0..3


@given(st.integers(1, 20), st.integers(1, 5), st.integers(0, 50))
def test_dense_keeps_its_stride_inside_the_video(clip_frames, stride, more):
    sampling = DenseSampling(clip_frames, stride)
    indices = sampling(sampling.min_frames + more)
    assert (indices.diff() == stride).all()
    assert indices[0] >= 0
    assert indices[-1] < sampling.min_frames + more


def test_dense_at_several_places():
    assert DenseSampling(2, 3, places=[0.5, 0.0])(9).tolist() == [[3, 6], [0, 3]]
    assert DenseSampling(2, 3, places=0.5)(9).tolist() == [3, 6]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: UniformSampling(0), r"'clip_frames' to be an integer of at least 1 \(got 0\)"),
        (lambda: UniformSampling(4, 1.0), r"'offsets' to be in \[0, 1\) \(got 1.0\)"),
        (lambda: UniformSampling(4, []), r"'offsets' to be in \[0, 1\) \(got \[\]\)"),
        (lambda: DenseSampling(4, 0), r"'stride' to be an integer of at least 1 \(got 0\)"),
        (lambda: DenseSampling(4, places=[0, 2]), r"'places' to be None or in \[0, 1\] \(got \[0, 2\]\)"),
    ],
)
def test_wrong_arguments_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
