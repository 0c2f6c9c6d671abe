import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from data import StreamLoader, StreamSampler
from data.video import SegmentSampling, ShuffledClips, UniformSampling, VideoClips, VideoError, VideoList
from data.video.clips import shuffled
from data.video.spatial import center_transform, training_transform, views_transform


@pytest.fixture(scope="module")
def videos(tmp_path_factory, numbered_frames, write_folder):
    """Eight videos of 10, 11, ... frames; frame f of video v has brightness 20 + 4 f."""
    root = tmp_path_factory.mktemp("videos")
    paths = [write_folder(root / str(v), numbered_frames(10 + v)) for v in range(8)]
    return VideoList(paths, list(range(8)), [path.name for path in paths], [str(v) for v in range(8)])


def test_views_are_crop_by_crop_with_the_centre_first(videos, shown_numbers):
    sampling = UniformSampling(5, [0.5, 0.0])
    item, label = VideoClips(videos, sampling, views_transform(32, "height", 24, 3))[2]
    assert label == 2
    assert item.shape == (6, 5, 3, 24, 24)
    first, second = sampling(12).tolist()
    assert shown_numbers(item) == [first, second] * 3
    single, _ = VideoClips(videos, UniformSampling(5), center_transform(32, "height", 24))[2]
    assert torch.equal(item[0], single)


def test_every_frame_is_decoded_and_transformed_once(videos):
    seen = []

    class Watch(nn.Module):
        def forward(self, video, label):
            seen.append(len(video))
            return video, label

    item, _ = VideoClips(videos, UniformSampling(40), Watch())[0]
    assert item.shape[0] == 40
    assert seen == [10]


def test_too_short_video_is_named(videos):
    sampling = UniformSampling(5)
    sampling.min_frames = 11
    clips = VideoClips(videos, sampling, center_transform(32, "height", 24))
    assert len(clips[1][0]) == 5
    with pytest.raises(VideoError, match=rf"{videos.paths[0]} to have at least 11 frames \(got 10\)"):
        clips[0]


@given(st.integers(0, 2**64 - 1), st.integers(0, 50), st.integers(1, 100))
def test_order_of_an_epoch_is_a_permutation(seed, epoch, length):
    order = shuffled(seed, epoch, length)
    assert sorted(order.tolist()) == list(range(length))
    shuffled.cache_clear()
    np.testing.assert_array_equal(shuffled(seed, epoch, length), order)


def test_orders_differ_between_epochs_and_seeds():
    orders = {tuple(shuffled(seed, epoch, 50)) for seed in range(3) for epoch in range(3)}
    assert len(orders) == 9


def stream(videos, seed=0):
    clips = VideoClips(videos, SegmentSampling(4), training_transform(32, "height", 16, 0.2, None))
    return ShuffledClips(clips, seed)


def test_clip_is_a_function_of_seed_and_position(videos):
    here = stream(videos)
    state = torch.get_rng_state()
    first, label = here[11]
    assert torch.equal(torch.get_rng_state(), state)  # the generator of everybody else goes on as if nothing had been
    torch.manual_seed(99)
    torch.testing.assert_close(stream(videos)[11], (first, label))
    assert label == shuffled(0, 1, 8)[3]
    again = next(position for position in range(16, 24) if here.index(position) == label)
    assert not torch.equal(here[again][0], first)  # the same video in another epoch
    assert not torch.equal(stream(videos, seed=1)[11][0], first)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_stream_goes_on_in_the_middle_of_an_epoch(videos, num_workers):
    def loader(workers):
        here = stream(videos)
        return StreamLoader(here, sampler=StreamSampler(len(here), 8), batch_size=2, num_workers=workers)

    whole = loader(0)
    whole.sampler.set_epoch(1)
    batches = list(whole)
    assert sorted(torch.cat([label for _, label in batches]).tolist()) == list(range(8))
    first = loader(num_workers)
    first.sampler.set_epoch(1)
    handed_out = iter(first)
    next(handed_out), next(handed_out)
    second = loader(num_workers)
    second.load_state_dict(first.state_dict())
    second.sampler.set_epoch(1)
    torch.testing.assert_close([tuple(batch) for batch in second], [tuple(batch) for batch in batches[2:]])
