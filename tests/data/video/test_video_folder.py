import pytest

from data.video import UNLABELLED, read_video_folder, read_video_folder_classes


@pytest.fixture
def root(tmp_path, numbered_frames, write_folder):
    write_folder(tmp_path / "jump" / "frames", numbered_frames(2))
    for name in ("jump/b.mp4", "jump/notes.txt", "clap/c.webm", "clap/.DS_Store", "clap/Thumbs.db"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "readme.txt").touch()
    return tmp_path


def test_folders_of_classes(root):
    assert read_video_folder_classes(root) == ["clap", "jump"]
    videos = read_video_folder(root, ["clap", "jump", "run"])
    assert videos.ids == ["clap/c.webm", "jump/b.mp4", "jump/frames"]
    assert videos.labels == [0, 1, 1]
    assert videos.paths == [root / name for name in videos.ids]


def test_csv_file(root):
    (root / "train.csv").write_text("path,label\njump/frames,up\nclap/c.webm,hands\njump/b.mp4,\n")
    assert read_video_folder_classes(root / "train.csv") == ["hands", "up"]
    videos = read_video_folder(root / "train.csv", ["hands", "up"])
    assert dict(zip(videos.ids, videos.labels, strict=True)) == {
        "clap/c.webm": 0,
        "jump/b.mp4": UNLABELLED,
        "jump/frames": 1,
    }


def test_csv_file_without_labels(root):
    (root / "predict.csv").write_text("path\njump/frames\n")
    assert read_video_folder(root / "predict.csv", ["a"]).labels == [UNLABELLED]


@pytest.mark.parametrize(
    "content",
    [
        "\ufeffpath,label\r\njump/frames,up\r\nclap/c.webm,hands\r\n",
        'path, label\njump/frames, "up"\n\nclap/c.webm, hands\n',
        ' Label ,seconds,PATH \n"up" ,3,jump/frames \nhands,4,clap/c.webm\n',
    ],
)
def test_csv_files_as_tools_write_them(root, content):
    (root / "train.csv").write_bytes(content.encode())
    assert read_video_folder_classes(root / "train.csv") == ["hands", "up"]
    videos = read_video_folder(root / "train.csv", ["hands", "up"])
    assert videos.ids == ["clap/c.webm", "jump/frames"]
    assert videos.labels == [0, 1]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("path,label\n\na.mp4,up\na,b.mp4,up\n", r"\(got \['a', 'b.mp4', \['up'\]\] in line 4\)"),
        ("path,label\na.mp4,up\n,up\n", r"\(got \['', 'up'\] in line 3\)"),
        ("label,path\nup\n", r"\(got \['up', None\] in line 2\)"),
    ],
)
def test_damaged_line_of_a_csv_file_is_named(tmp_path, content, message):
    (tmp_path / "train.csv").write_text(content)
    for read in (read_video_folder_classes, lambda source: read_video_folder(source, ["up"])):
        with pytest.raises(ValueError, match=rf"Expected every line of .*train.csv to have a path.* {message}"):
            read(tmp_path / "train.csv")


def test_csv_file_that_is_not_in_utf8_is_named(tmp_path):
    (tmp_path / "train.csv").write_bytes("path,label\r\na.mp4,up\r\nb.mp4,café\r\n".encode("latin-1"))
    for read in (read_video_folder_classes, lambda source: read_video_folder(source, ["up"])):
        with pytest.raises(
            ValueError, match=r"Expected .*train.csv to be text in UTF-8 \(got the byte 0xe9 in line 3\)"
        ):
            read(tmp_path / "train.csv")


def test_columns_named_twice_are_an_error(tmp_path):
    for columns in ("path,label,Label", "path,Path"):
        (tmp_path / "train.csv").write_text(f"{columns}\n")
        with pytest.raises(ValueError, match=r"train.csv to begin with a line of its columns, .* \(got \['path', "):
            read_video_folder(tmp_path / "train.csv", ["up"])


def test_absolute_paths_in_a_csv_file(root):
    lists = root / "lists"
    lists.mkdir()
    (lists / "train.csv").write_text(f"path,label\n{root}/clap/c.webm,up\n{lists}/a.mp4,up\n")
    videos = read_video_folder(lists / "train.csv", ["up"])
    assert videos.ids == [f"{root}/clap/c.webm", "a.mp4"]
    assert videos.paths == [root / "clap/c.webm", lists / "a.mp4"]


def test_a_video_of_two_classes_is_named_and_one_that_is_there_twice_counts_twice(root):
    (root / "list.csv").write_text("path,label\nclap/c.webm,clap\nclap/../clap/c.webm,clap\n")
    assert read_video_folder(root / "list.csv", ["clap", "jump"]).labels == [0, 0]
    (root / "list.csv").write_text("path,label\nclap/c.webm,jump\nclap/../clap/c.webm,clap\n")
    with pytest.raises(ValueError, match=r"one class for each video \(got 'clap' and 'jump' for .*clap/c.webm\)"):
        read_video_folder(root / "list.csv", ["clap", "jump"])


def test_wrong_layouts_are_named(root, tmp_path):
    with pytest.raises(FileNotFoundError, match="to be a folder of classes or a CSV file"):
        read_video_folder(tmp_path / "nowhere", ["a"])
    with pytest.raises(ValueError, match=r"to be among \['clap'\] \(got \['jump'\]\)"):
        read_video_folder(root, ["clap"])
    (root / "jump/b.mp4").unlink()
    with pytest.raises(ValueError, match=r"frames of a video in a folder of its own \(got the image .*0000\d.jpg\)"):
        read_video_folder(root / "jump", ["frames"])
    (root / "bad.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match=r"bad.csv to begin with a line of its columns"):
        read_video_folder(root / "bad.csv", ["a"])
    (root / "empty").mkdir()
    with pytest.raises(ValueError, match=r"empty to hold classes \(got none\)"):
        read_video_folder_classes(root / "empty")
    with pytest.raises(ValueError, match=r"empty to hold videos in folders named after their classes \(got none\)"):
        read_video_folder(root / "empty", ["a"])


def test_folder_to_predict_may_have_videos_without_a_class(root):
    with pytest.raises(ValueError, match=r"the video .*b.mp4 beside the classes"):
        read_video_folder(root / "jump", ["clap", "jump"])
    videos = read_video_folder(root / "jump", ["clap", "jump"], needs_labels=False)
    assert (videos.ids, videos.labels) == (["b.mp4", "frames"], [UNLABELLED] * 2)
    (root / "a.mov").touch()
    both = read_video_folder(root, ["clap", "jump"], needs_labels=False)
    assert dict(zip(both.ids, both.labels, strict=True)) == {
        "a.mov": UNLABELLED,
        "clap/c.webm": 0,
        "jump/b.mp4": 1,
        "jump/frames": 1,
    }
    (root / "a.mov.part").touch()
    with pytest.raises(ValueError, match=r"alone \(got \['a.mov.part'\]\)"):
        read_video_folder(root, ["clap", "jump"], needs_labels=False)


def test_folder_of_classes_to_predict_is_read_as_any_other(root):
    (root / "LICENSE").touch()
    for needs_labels in (True, False):
        assert read_video_folder(root, ["clap", "jump"], needs_labels).labels == [0, 1, 1]
    (root / "empty").mkdir()
    assert read_video_folder(root, ["clap", "jump"]).labels == [0, 1, 1]
    (root / "LICENSE").unlink()
    assert "empty" in read_video_folder(root, ["clap", "jump"], needs_labels=False).ids  # reading it says what is wrong
    (root / "clap" / "cover.jpg").touch()
    with pytest.raises(ValueError, match=r"in a folder of its own \(got the image .*cover.jpg\)"):
        read_video_folder(root, ["clap", "jump"], needs_labels=False)
    (root / "wave").mkdir()
    (root / "wave" / "1.mp4").touch()
    (root / "clap" / "cover.jpg").unlink()
    with pytest.raises(ValueError, match=r"to be among \['clap', 'jump'\] \(got \['wave'\]\)"):
        read_video_folder(root, ["clap", "jump"], needs_labels=False)


@pytest.mark.parametrize("suffix", [".flv", ".3gp", ".ts", ".MTS", ".gif"])
def test_videos_of_cameras_and_old_sites_are_found(root, suffix):
    (root / f"clap/a{suffix}").touch()
    assert read_video_folder(root, ["clap", "jump"]).ids[0] == f"clap/a{suffix}"


def test_file_that_is_no_video_is_named(root):
    (root / "clap/d.mp4.part").touch()
    with pytest.raises(ValueError, match=r"Expected .*clap to hold videos \(.* alone \(got \['d.mp4.part'\]\)"):
        read_video_folder(root, ["clap", "jump"])
    (root / "e.mov").touch()
    for read in (read_video_folder_classes, lambda source: read_video_folder(source, ["clap", "jump"])):
        with pytest.raises(ValueError, match=r"as <class>/<video> \(got the video .*e.mov beside the classes\)"):
            read(root)
