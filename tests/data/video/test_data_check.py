import pytest

from data.video import SomethingSomethingDataModule, VideoFolderDataModule, check_videos

SIZES = {"resize": 32, "crop": 16, "eval_crop": 16}


@pytest.mark.parametrize("num_workers", [0, 2])
def test_one_pass_collects_every_problem(
    tmp_path, numbered_frames, write_folder, write_video, damaged_video, num_workers
):
    frames = numbered_frames(12)
    for name in ("train/a/good", "train/a/gap", "val/b/good", "val/b/short"):
        write_folder(tmp_path / name, frames[:6] if "short" in name else frames)
    (tmp_path / "train/a/gap/00004.jpg").unlink()
    video = write_video(tmp_path / "train/b/cut.webm", frames)
    video.write_bytes(video.read_bytes()[:-60])
    write_video(tmp_path / "train/b/good.webm", frames)
    (tmp_path / "val/b/empty.mp4").touch()
    damaged_video(tmp_path / "val/b/damaged.avi")
    data = VideoFolderDataModule(
        str(tmp_path / "train"), str(tmp_path / "val"), num_frames=4, sampling="dense", stride=3, **SIZES
    )
    report = check_videos(data, num_workers)
    assert report.num_videos == {"train": 4, "val": 4}  # testing and prediction are on the same files
    found = {(problem.split, problem.id): problem.reason for problem in report.problems}
    assert found.keys() == {
        ("train", "a/gap"),
        ("train", "b/cut.webm"),
        ("val", "b/short"),
        ("val", "b/empty.mp4"),
        ("val", "b/damaged.avi"),
    }
    assert f"{tmp_path}/val/b/short to have at least 10 frames (got 6)" in found["val", "b/short"]
    assert f"{tmp_path}/train/a/gap to hold all frames 1 to 12 (got none for [4])" in found["train", "a/gap"]
    assert f"{tmp_path}/val/b/damaged.avi to be a whole video (frame 6 is damaged)" in found["val", "b/damaged.avi"]
    shown = str(report).splitlines()
    assert len(shown) == 7
    assert shown[-2:] == ["train: 4 videos, 2 of them cannot be used", "val: 4 videos, 3 of them cannot be used"]


def test_videos_that_are_trained_on_and_tested_on(tmp_path, numbered_frames, write_video):
    for name in ("one", "two", "three"):
        write_video(tmp_path / f"{name}.webm", numbered_frames(8))
    lists = {"train": ["one", "two"], "val": ["two", "three"], "test": ["two", "two"]}
    for split, names in lists.items():
        (tmp_path / f"{split}.csv").write_text("path,label\n" + "".join(f"{name}.webm,a\n" for name in names))
    why = f"Expected {tmp_path / 'two.webm'} not to be in the list of train, too"
    found = {}
    for test in (None, str(tmp_path / "test.csv")):
        data = VideoFolderDataModule(
            str(tmp_path / "train.csv"), str(tmp_path / "val.csv"), test, num_frames=4, **SIZES
        )
        report = check_videos(data, num_workers=0)
        assert {(problem.id, problem.reason) for problem in report.problems} == {("two.webm", why)}
        found[test] = [problem.split for problem in report.problems], report.num_videos
    assert found == {
        None: (["val"], {"train": 2, "val": 2}),  # the test is on the validation's videos: told once
        str(tmp_path / "test.csv"): (["val", "test", "test"], {"train": 2, "val": 2, "test": 2}),
    }


def test_video_that_is_trained_on_is_found_under_another_name(tmp_path, numbered_frames, write_video):
    (tmp_path / "lists").mkdir()
    write_video(tmp_path / "one.webm", numbered_frames(8))
    (tmp_path / "linked.webm").symlink_to(tmp_path / "one.webm")
    (tmp_path / "train.csv").write_text("path,label\none.webm,a\n")
    spellings = [f"{tmp_path}/one.webm", "../one.webm", "../linked.webm"]
    (tmp_path / "lists/val.csv").write_text("path,label\n" + "".join(f"{path},a\n" for path in spellings))
    data = VideoFolderDataModule(str(tmp_path / "train.csv"), str(tmp_path / "lists/val.csv"), num_frames=4, **SIZES)
    report = check_videos(data, num_workers=0)
    assert [(problem.split, "list of train, too" in problem.reason) for problem in report.problems] == [
        ("val", True)
    ] * 3
    assert report.num_videos == {"train": 1, "val": 3}


def test_written_scenes_are_whole(scene_root):
    for version in ("v1", "v2"):
        report = check_videos(SomethingSomethingDataModule(str(scene_root), version, **SIZES), num_workers=0)
        assert report.problems == []
        assert report.num_videos == {"train": 4, "val": 3, "predict": 2}
