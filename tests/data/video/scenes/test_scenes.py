from collections import Counter

import numpy as np
import pytest

from data.video.scenes import ACTIONS, SceneSet, class_templates
from data.video.scenes.__main__ import main
from data.video.scenes.actions import NUM_DRAWS
from data.video.scenes.writing import write_v1, write_v2

NUMBER = 400


@pytest.fixture(scope="module")
def many():
    return SceneSet("train", NUMBER, height=32)


def test_twin_shows_the_same_frames_in_reverse(many):
    for index in range(8):
        forwards, backwards = (many.scene(index, backwards=way).frames() for way in (False, True))
        np.testing.assert_array_equal(backwards, forwards[::-1])
        shown = many.scene(index).frames()
        reverse = many.template(index) == ACTIONS[many._what(index)[0]].backwards
        np.testing.assert_array_equal(shown, backwards if reverse else forwards)


def test_scene_is_drawn_without_regard_to_its_direction(many):
    """What is drawn has nothing to do with the class: within a pair, every draw has the same mean for both classes."""
    draws = np.array([many._draws("scene", index, 8 + NUM_DRAWS) for index in range(NUMBER)])
    backwards = np.array([many._what(index)[1] for index in range(NUMBER)])
    difference = draws[backwards].mean(axis=0) - draws[~backwards].mean(axis=0)
    assert np.abs(difference).max() < 4 * np.sqrt(2 / 12 / (NUMBER / 2))  # four standard deviations


def test_every_eight_videos_have_all_classes_in_some_order(many):
    labels = [many.label(index) for index in range(NUMBER)]
    blocks = [tuple(labels[first : first + 8]) for first in range(0, NUMBER, 8)]
    assert all(sorted(block) == list(range(8)) for block in blocks)
    assert len(set(blocks)) > 40


def test_scene_is_a_function_of_seed_split_and_index(many):
    frames = many.scene(3).frames()
    np.testing.assert_array_equal(SceneSet("train", 5, height=32).scene(3).frames(), frames)
    for other in (SceneSet("train", 5, height=32, seed=1), SceneSet("val", 5, height=32)):
        again = other.scene(3).frames()
        assert again.shape != frames.shape or (again != frames).any()


def test_lengths_and_sizes(many):
    scenes = [many.scene(index) for index in range(100)]
    lengths = [scene.num_frames for scene in scenes]
    assert (min(lengths) >= 24, max(lengths) <= 72, len(set(lengths)) > 30) == (True, True, True)
    sizes = Counter((scene.height, scene.width) for scene in scenes)
    assert sizes.keys() == {(32, 42), (32, 24)}
    assert 10 < sizes[32, 24] < 45
    assert scenes[0].frames().shape == (lengths[0], scenes[0].height, scenes[0].width, 3)


def distances(scene):
    """Between the two objects, at the start and the end of what is shown."""
    ends = [np.linalg.norm(places[0] - places[1]) for places in (scene.moves.start, scene.moves.end)]
    return ends[::-1] if scene.backwards else ends


def way(scene):
    """The first object's way as it is shown."""
    return (scene.moves.end - scene.moves.start)[0] * (-1 if scene.backwards else 1)


def test_actions_are_what_their_names_say(many):
    for index in range(200):
        scene, template = many.scene(index), many.template(index)
        if "left to right" in template or "right to left" in template:
            assert abs(way(scene)[0]) > 4 * abs(way(scene)[1])
            assert (way(scene)[0] > 0) == ("left to right" in template)
        elif template.startswith(("Lifting", "Dropping")):
            assert abs(way(scene)[1]) > 4 * abs(way(scene)[0])
            assert (way(scene)[1] < 0) == template.startswith("Lifting")
        else:
            start, end = distances(scene)
            touching = scene.moves.radius.sum()
            if template.startswith("Moving"):
                assert min(start, end) > touching
                assert abs(start - end) > 0.1
                assert (end < start) == ("closer" in template)
            else:
                assert min(start, end) == 0
                assert max(start, end) > touching
                assert (end < start) == template.startswith("Covering")


def test_objects_stay_in_the_square_in_the_middle(many):
    for index in range(200):
        scene = many.scene(index)
        middle = np.array([scene.width, scene.height]) / min(scene.width, scene.height) / 2
        for places in (scene.moves.start, scene.moves.end):
            assert (np.abs(places - middle).max(axis=1) + scene.moves.radius < 0.56).all()


def test_bright_object_in_front_of_the_dark_one_in_front_of_the_background(many):
    scene = next(many.scene(index, backwards=False) for index in range(8) if many._what(index)[0] == 3)  # uncover
    end = scene.frames()[-1]
    (first, second), unit = scene.moves.end, min(scene.height, scene.width)
    brightness = [end[int(y * unit), int(x * unit)].mean() for x, y in (first, second)]
    covered = scene.frames()[0][int(second[1] * unit), int(second[0] * unit)].mean()
    assert brightness[1] < 80 < np.median(end) < 170 < min(brightness[0], covered)


def test_command_writes_one_version(tmp_path):
    sizes = ["--train", "1", "--val", "1", "--test", "1", "--height", "16", "--seconds", "0.1", "0.2"]
    main(["--out", str(tmp_path), "--version", "v1", *sizes])
    assert (tmp_path / "20bn-something-something-v1/3/00001.jpg").is_file()
    assert not (tmp_path / "20bn-something-something-v2").exists()
    with pytest.raises(FileExistsError, match=r"nothing of v1 in .* \(got \['20bn-something-something-v1', "):
        main(["--out", str(tmp_path), *sizes])
    assert not list(tmp_path.glob("*-v2*"))


@pytest.mark.parametrize(("write", "version"), [(write_v1, "v1"), (write_v2, "v2")])
def test_annotations_that_are_there_are_not_written_over(write, version, tmp_path):
    path = tmp_path / f"something-something-{version}-labels.csv"
    path.write_text("the real ones")
    with pytest.raises(FileExistsError, match=rf"\(got \['{path.name}'\]\): remove it, or keep it"):
        write({"train": SceneSet("train", 1, 16)}, tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    assert path.read_text() == "the real ones"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"height": 33}, r"'height' to be an even number of at least 16 \(got 33\)"),
        ({"seconds": (3, 2)}, r"'seconds' to be .* the longest time, of 1/12 s or more \(got \(3, 2\)\)"),
        ({"seconds": (0.05, 1)}, r"'seconds' to be .* the longest time, of 1/12 s or more \(got \(0.05, 1\)\)"),
        ({"seconds": (2, float("inf"))}, r"'seconds' to be .* \(got \(2, inf\)\)"),
        ({"split": "validation"}, r"'split' to be one of \['train', 'val', 'test'\] \(got 'validation'\)"),
        ({"portrait": 2}, r"'portrait' to be in \[0, 1\] \(got 2\)"),
        ({"seed": -1}, r"'seed' to be an integer"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        SceneSet(**{"split": "train", "num_videos": 4} | arguments)


@pytest.mark.parametrize("index", [-1, 4])
def test_no_video_beyond_the_last(index):
    scenes = SceneSet("val", 4)
    for method in (scenes.template, scenes.label, scenes.placeholders, scenes.scene):
        with pytest.raises(IndexError):
            method(index)


def test_placeholders_name_what_the_template_says():
    # The larger object covers the smaller one; the first comes to the second.
    seen = set()
    for index in range(400):
        scenes = SceneSet("train", 400)
        template, scene = scenes.template(index), scenes.scene(index)
        first, second = (f"a {shape}" for shape in scene.shapes)
        if "over" in template:
            assert scene.moves.radius[0] > scene.moves.radius[1]
            expected = [second, first] if " with " in template else [second]
        else:
            expected = [first, second] if template.count("[something]") == 2 else [first]
        assert scenes.placeholders(index) == expected
        seen.add((template, first != second))
    assert len(seen) == 16


def test_templates():
    assert class_templates() == sorted(class_templates())
    assert len(set(class_templates())) == 8
