import json

import pytest
import torch

from data.video import UNLABELLED, open_video, read_something_something, read_something_something_classes
from data.video.scenes import class_templates


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_both_versions_of_a_set_have_the_same_labels_and_near_equal_frames(scene_root, scenes, split):
    first, second = (read_something_something(scene_root, version, split) for version in ("v1", "v2"))
    assert first.ids == second.ids
    assert first.labels == second.labels
    assert first.class_names == second.class_names
    if split == "test":
        assert first.labels == [UNLABELLED] * 2
    else:
        assert first.labels == [scenes[split].label(index) for index in range(len(first))]
    for index, (folder, file) in enumerate(zip(first.paths, second.paths, strict=True)):
        truth = torch.from_numpy(scenes[split].scene(index).frames()).permute(0, 3, 1, 2)
        with open_video(folder) as images, open_video(file, "pyav") as video:
            assert images.num_frames == video.num_frames == len(truth)
            frames = [truth, images.read(range(len(truth))), video.read(range(len(truth)))]
        for a, b in ((0, 1), (0, 2), (1, 2)):
            assert (frames[a].float() - frames[b].float()).abs().mean() < 8
        if len(truth) > 1:  # much closer to each other than to the frame before
            shifted = (truth[1:].float() - frames[2][:-1].float()).abs().mean()
            assert (truth.float() - frames[2].float()).abs().mean() < shifted


def test_official_layout(scene_root):
    assert (scene_root / "20bn-something-something-v1/1/00001.jpg").is_file()
    assert (scene_root / "20bn-something-something-v2/9.webm").is_file()
    labels = (scene_root / "something-something-v1-labels.csv").read_text().splitlines()
    assert labels == sorted(labels) == [name.replace("[", "").replace("]", "") for name in class_templates()]
    assert (scene_root / "something-something-v1-test.csv").read_text() == "8\n9\n"
    entry = json.loads((scene_root / "something-something-v2-train.json").read_text())[0]
    assert entry.keys() == {"id", "label", "template", "placeholders"}
    assert entry["template"] in class_templates()
    assert len(entry["placeholders"]) == entry["template"].count("[something]")


def write_annotations(root, version, labels, train):
    (root / f"20bn-something-something-{version}").mkdir(exist_ok=True)
    suffix = "csv" if version == "v1" else "json"
    (root / f"something-something-{version}-labels.{suffix}").write_text(labels, encoding="utf-8-sig")
    (root / f"something-something-{version}-train.{suffix}").write_text(train)


def test_v1_as_it_is_published(tmp_path):
    names = "Holding something\nTurning something, then back\n"
    write_annotations(tmp_path, "v1", names, "100218;Turning something, then back\n7;Holding something\n")
    videos = read_something_something(tmp_path, "v1", "train")
    assert videos.class_names == ["Holding something", "Turning something, then back"]
    assert (videos.ids, videos.labels) == (["100218", "7"], [1, 0])
    assert videos.paths[0] == tmp_path / "20bn-something-something-v1" / "100218"


@pytest.mark.parametrize("renamed", [False, True])
def test_v2_as_it_is_published(tmp_path, renamed):
    labels = json.dumps({"Moving part of something": "1", "Approaching something with your camera": "0"})
    entry = {"id": "78687", "label": "moving lid of box", "template": "Moving [part] of [something]"}
    write_annotations(tmp_path, "v2", labels, json.dumps([entry | {"placeholders": ["lid", "box"]}]))
    if renamed:
        (tmp_path / "labels").mkdir()
        for name in ("labels", "train"):
            (tmp_path / f"something-something-v2-{name}.json").rename(tmp_path / "labels" / f"{name}.json")
    videos = read_something_something(tmp_path, "v2", "train")
    assert videos.class_names == ["Approaching something with your camera", "Moving part of something"]
    assert (videos.ids, videos.labels) == (["78687"], [1])
    assert videos.paths == [tmp_path / "20bn-something-something-v2" / "78687.webm"]


@pytest.mark.parametrize(
    ("version", "labels", "train", "message"),
    [
        ("v1", "A\nB\n", "1;A\n2\n", r"train.csv to have 2 fields a line, separated by ';' \(got 1 in line 2\)"),
        ("v1", "A\nB\n", "1;A\n\n2\n", r"train.csv to have 2 fields a line, .* \(got 1 in line 3\)"),
        ("v1", "A\nB\n", "1;C\n", r"templates in .*train.csv to be among the labels \(got \['C'\]\)"),
        ("v1", "A\nA\n", "1;A\n", r"templates in .*labels.csv to be different"),
        ("v1", "A\n", "", r"at least one \(got \{'paths': 0"),
        ("v2", '{"A": "0"', "[]", r"labels.json to be a whole JSON file"),
        ("v2", '["A"]', "[]", r"labels.json to hold a dict \(got a list\)"),
        ("v2", '{"A": "1"}', "[]", r"number its templates from 0 on \(got none for \[0\]\)"),
        ("v2", '{"A": "0"}', '[{"id": "1"}]', r"every entry of .*train.json to have text in the field 'template'"),
        ("v2", '{"A": "0"}', '[{"id": null, "template": "A"}]', r"to have text in the field 'id' \(got {'id': None"),
        ("v2", '{"A": "0"}', '[{"id": "1", "template": 3}]', r"to have text in the field 'template' \(got"),
    ],
)
def test_damaged_annotations_are_named(tmp_path, version, labels, train, message):
    write_annotations(tmp_path, version, labels, train)
    with pytest.raises(ValueError, match=message):
        read_something_something(tmp_path, version, "train")


def test_annotation_that_is_not_in_utf8_is_named(tmp_path):
    write_annotations(tmp_path, "v1", "A\n", "1;A\n")
    (tmp_path / "something-something-v1-labels.csv").write_bytes(b"A\nB \x96 C\n")
    with pytest.raises(ValueError, match=r"v1-labels.csv to be text in UTF-8 \(got the byte 0x96 in line 2\)"):
        read_something_something(tmp_path, "v1", "train")


def test_missing_things_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"something-something-v2-labels.json or .*labels/labels.json \(got no"):
        read_something_something_classes(tmp_path, "v2")
    with pytest.raises(ValueError, match=r"'version' to be one of \['v1', 'v2'\] \(got 'v3'\)"):
        read_something_something_classes(tmp_path, "v3")
    write_annotations(tmp_path, "v1", "A\n", "1;A\n")
    (tmp_path / "20bn-something-something-v1").rmdir()
    with pytest.raises(FileNotFoundError, match=r"videos in .*20bn-something-something-v1, which is no folder"):
        read_something_something(tmp_path, "v1", "train")
    with pytest.raises(ValueError, match=r"'split' to be one of \['train', 'val', 'test'\] \(got 'dev'\)"):
        read_something_something(tmp_path, "v1", "dev")
