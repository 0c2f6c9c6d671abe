import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rstg_pyg import StreamBatch, stream

SCHEDULES = ["all_temp", "one_temp", "space_only", "time_only", "homogeneous"]
ACTIONS = st.tuples(st.sampled_from(["add", "remove", "reset"]), st.sampled_from("abc"))
STEPS = st.tuples(st.just("step"), st.sets(st.sampled_from("abc"), min_size=1))


@settings(max_examples=40, deadline=None)
@given(
    schedule=st.sampled_from(SCHEDULES),
    readout=st.sampled_from(["last", "mean"]),
    events=st.lists(ACTIONS | STEPS, min_size=4, max_size=16),
)
def test_streams_are_as_if_alone_whatever_the_others_do(make_classifier, schedule, readout, events):
    model = make_classifier(schedule, readout)
    batch = StreamBatch(model)
    seen = {}  # the frames of each running stream since it began
    for event, argument in [("add", "a"), *events, ("step", set("abc"))]:
        if event == "add" and argument not in seen:
            batch.add(argument)
            seen[argument] = []
        elif event == "remove" and argument in seen:
            batch.remove(argument)
            del seen[argument]
        elif event == "reset" and argument in seen:
            batch.reset(argument)
            seen[argument] = []
        elif event == "step" and argument & seen.keys():
            frames = {name: torch.rand(1, 8, 8, dtype=torch.float64) for name in sorted(argument & seen.keys())}
            scores = batch.step(frames)
            assert list(scores) == list(frames)
            for name, frame in frames.items():
                seen[name].append(frame)
                torch.testing.assert_close(scores[name], model(torch.stack(seen[name])[None])[0])
    assert set(batch.names) == seen.keys()


def test_one_stream_is_stream(model, video):
    batch = StreamBatch(model)
    batch.add("only")
    for frame, scores in zip(video, stream(model, video), strict=True):
        torch.testing.assert_close(batch.step({"only": frame})["only"], scores)


def test_a_damaged_stream_harms_no_other_and_a_reset_heals_it(model, video):
    batch = StreamBatch(model)
    for name in ("damaged", "sound"):
        batch.add(name)
    alone = list(stream(model, video))
    batch.step({"damaged": video[0], "sound": video[0]})
    scores = batch.step({"damaged": torch.full_like(video[0], torch.nan), "sound": video[1]})
    assert scores["damaged"].isnan().all()
    torch.testing.assert_close(scores["sound"], alone[1])
    batch.reset("damaged")
    scores = batch.step({"damaged": video[0], "sound": video[2]})
    torch.testing.assert_close(scores["damaged"], alone[0])
    torch.testing.assert_close(scores["sound"], alone[2])


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_a_damaged_first_frame_harms_no_other_stream(make_classifier, video, value):
    model = make_classifier()
    batch = StreamBatch(model)
    for name in ("damaged", "sound"):
        batch.add(name)
    scores = batch.step({"damaged": torch.full_like(video[0], value), "sound": video[0]})
    assert scores["damaged"].isnan().all()
    torch.testing.assert_close(scores["sound"], next(stream(model, video)))


def test_saved_and_set_again(model, video, tmp_path):
    batch = StreamBatch(model)
    for name in ("a", "b"):
        batch.add(name)
    batch.step({"a": video[0]})
    batch.step({"a": video[1], "b": video[2]})
    torch.save((batch.names, batch.state), tmp_path / "streams.pt")
    later = StreamBatch(model)
    later.names, later.state = torch.load(tmp_path / "streams.pt", weights_only=True)
    frames = {"b": video[3], "a": video[4]}
    for (name, scores), (other, expected) in zip(later.step(frames).items(), batch.step(frames).items(), strict=True):
        assert name == other
        torch.testing.assert_close(scores, expected)


def test_state_that_was_kept_does_not_change(model, video):
    batch = StreamBatch(model)
    for name in ("a", "b"):
        batch.add(name)
    batch.step({"a": video[0], "b": video[1]})
    kept = batch.state
    copy = tuple(tensor.clone() for tensor in kept)
    batch.step({"b": video[2]})
    batch.reset("a")
    assert all(torch.equal(tensor, before) for tensor, before in zip(kept, copy, strict=True))


def test_state_has_a_row_a_stream(make_classifier, video):
    batch = StreamBatch(make_classifier(readout="mean"))
    for name in range(3):
        batch.add(name)
    batch.step({0: video[0], 2: video[1]})
    batch.step({2: video[2]})
    assert batch.state[-1].tolist() == [1, 0, 2]
    batch.remove(0)
    batch.add(7)
    assert batch.names == [1, 2, 7]
    assert [len(rows) for rows in batch.state] == [3, 3, 3, 3]
    assert batch.state[-1].tolist() == [0, 2, 0]


def test_errors(make_classifier, video):
    batch = StreamBatch(make_classifier())
    batch.add("a")
    with pytest.raises(ValueError, match=r"Expected 'name' to be new \(got 'a', one of \['a'\]\)"):
        batch.add("a")
    for call in (batch.remove, batch.reset, lambda name: batch.step({name: video[0]})):
        with pytest.raises(ValueError, match=r"Expected the name of a stream, one of \['a'\] \(got 'b'\)"):
            call("b")
    with pytest.raises(ValueError, match=r"a frame for at least one stream \(got none\)"):
        batch.step({})
    with pytest.raises(ValueError, match=r"shape \[channels, H, W\] each \(got \[8, 8\]\)"):
        batch.step({"a": video[0, 0]})
    with pytest.raises(ValueError, match=r"'frames' to be of floating point type, in \[0, 1\] \(got torch.uint8\)"):
        batch.step({"a": video[0].byte()})
    batch.add("b")
    with pytest.raises(ValueError, match=r"of one shape .*\(got {'a': \[1, 8, 8\], 'b': \[1, 4, 8\]}\)"):
        batch.step({"a": video[0], "b": video[0, :, :4]})
    untrained = StreamBatch(make_classifier().train())
    untrained.add("a")
    with pytest.raises(ValueError, match="Expected 'model' to be in eval mode"):
        untrained.step({"a": video[0]})
    batch.remove("b")
    batch.step({"a": video[0]})
    batch.model.train()
    with pytest.raises(ValueError, match="Expected 'model' to be in eval mode"):
        batch.step({"a": video[1]})
