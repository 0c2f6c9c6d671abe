import copy
import json
import sys
from pathlib import Path

import pytest
import torch
import yaml
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import rstg_pyg
from rstg_pyg import VideoClassifier
from rstg_pyg.models import ClassifierHead, SmallCNN, class_tree, model_folder
from rstg_pyg.nn import RSTGToVec

CHECKOUT = Path(__file__).parents[2]
SHIPPED = sorted((CHECKOUT / "rstg_pyg/pretrained").glob("*/"))
CLIP = [3, 1, 16, 16]  # frames, channels, height, width


def tree(class_path, **init_args):
    return {"class_path": f"rstg_pyg.{class_path}", "init_args": init_args}


def make_config(num_classes=3, **graph):
    options = {"channels": 8, "node_channels": 8, "pyramid": [2, 1], "input_norm": "batch", **graph}
    return {
        "network": tree(
            "VideoClassifier",
            backbone=tree("models.SmallCNN", widths=[4, 4, 8]),
            graph=tree("nn.RSTGToVec", **options),
            head=tree("models.ClassifierHead", in_channels=8, num_classes=num_classes),
        ),
        "class_names": [f"class {label}" for label in range(num_classes)],
        "input": {"channels": 1, "num_frames": 3, "frame_size": [16, 16], "value_range": [0.0, 1.0]},
    }


def make_trained(**graph):
    """A classifier after a step of training: its weights and running statistics are not those it began with."""
    classifier = VideoClassifier.from_config(make_config(**graph))
    optimizer = torch.optim.SGD(classifier.parameters(), lr=0.1)
    classifier(torch.rand(4, *CLIP)).square().sum().backward()
    optimizer.step()
    return classifier


@pytest.fixture
def folder(tmp_path):
    make_trained().save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def rewrite(folder, change):
    """Change ``config.json`` in place."""
    config = json.loads((folder / "config.json").read_text())
    change(config)
    (folder / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize("schedule", ["all_temp", "one_temp", "space_only", "time_only", "homogeneous"])
def test_round_trip_gives_the_same_bits(tmp_path, schedule):
    classifier = make_trained(schedule=schedule)
    classifier.backbone.requires_grad_(False)
    classifier.save_pretrained(tmp_path)
    loaded = VideoClassifier.from_pretrained(tmp_path)
    clip = torch.rand(2, *CLIP)
    assert torch.equal(loaded(clip), classifier.eval()(clip))
    assert not torch.equal(loaded(clip), VideoClassifier.from_config(loaded.config).eval()(clip))
    assert loaded.config == classifier.config
    assert not any(module.training for module in loaded.modules())
    assert all(parameter.requires_grad for parameter in loaded.parameters())


def test_any_device_saves_the_same_file(folder, tmp_path, device):
    VideoClassifier.from_pretrained(folder).to(device).save_pretrained(tmp_path / "again")
    assert (tmp_path / "again/model.safetensors").read_bytes() == (folder / "model.safetensors").read_bytes()
    assert (tmp_path / "again/config.json").read_bytes() == (folder / "config.json").read_bytes()


def test_builds_what_the_tree_says():
    config = make_config(attention="additive", update_per_scale=True)
    built = VideoClassifier.from_config(config).eval()
    graph = RSTGToVec(
        channels=8, node_channels=8, pyramid=(2, 1), input_norm="batch", attention="additive", update_per_scale=True
    )
    by_hand = VideoClassifier(SmallCNN(widths=(4, 4, 8)), graph, ClassifierHead(8, 3)).eval()
    assert repr(built) == repr(by_hand)
    by_hand.load_state_dict(built.state_dict())
    clip = torch.rand(2, *CLIP)
    assert torch.equal(built(clip), by_hand(clip))


def test_class_without_arguments_has_its_defaults():
    assert class_tree.build({"class_path": "rstg_pyg.models.SmallCNN"}).out_channels == SmallCNN().out_channels


def test_config_is_a_plain_copy_with_the_versions():
    config = make_config()
    config["network"]["init_args"]["backbone"]["init_args"]["widths"] = (4, 4, 8)
    classifier = VideoClassifier.from_config(config)
    config["class_names"].clear()
    config["network"]["init_args"].clear()
    versions = {"format_version": 1, "rstg_pyg_version": rstg_pyg.__version__}
    assert classifier.config == {**versions, **make_config()}
    assert copy.deepcopy(classifier).config == classifier.config
    assert VideoClassifier(SmallCNN(), torch.nn.Identity(), torch.nn.Identity()).config is None


def test_files_hold_the_config_and_the_tensors(folder):
    assert {path.name for path in folder.iterdir()} == {"config.json", "model.safetensors"}
    classifier = VideoClassifier.from_pretrained(folder)
    assert json.loads((folder / "config.json").read_text()) == classifier.config
    tensors = load_file(folder / "model.safetensors")
    assert tensors.keys() == classifier.state_dict().keys()
    assert all(torch.equal(tensor, classifier.state_dict()[name]) for name, tensor in tensors.items())
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float32, torch.int64}
    with safe_open(folder / "model.safetensors", "pt") as file:
        assert file.metadata() == {"format": "pt"}


def test_snapshot_of_the_hub_loads(folder, tmp_path):
    """The Hub's client keeps files by their checksums, links to them under their names, and adds files of its own."""
    snapshot, blobs = tmp_path / "snapshots/0a1b", tmp_path / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    for number, path in enumerate(sorted(folder.iterdir())):
        path.rename(blobs / str(number))
        (snapshot / path.name).symlink_to(f"../../blobs/{number}")
    (snapshot / ".gitattributes").write_text("*.safetensors filter=lfs\n")
    (snapshot / "README.md").write_text("---\nlicense: mit\n---\n")
    torch.testing.assert_close(
        VideoClassifier.from_pretrained(snapshot).state_dict(), load_file(snapshot / "model.safetensors")
    )


def test_version_of_the_package_that_made_a_model_stays(folder, tmp_path):
    rewrite(folder, lambda config: config.update(rstg_pyg_version="0.0.1"))
    VideoClassifier.from_pretrained(folder).save_pretrained(tmp_path / "again")
    assert VideoClassifier.from_pretrained(tmp_path / "again").config["rstg_pyg_version"] == "0.0.1"


@pytest.mark.parametrize(
    "class_path",
    [
        "torch.nn.Linear",
        "os.system",
        "rstg_pyg",
        "rstg_pyg_other.models.SmallCNN",
        "rstg_pyg.nowhere.SmallCNN",
        "rstg_pyg.models.Nothing",
        "rstg_pyg.models.video_classifier.nn.Linear",  # not a module of ours
        "rstg_pyg.nn.rstg_conv.MessagePassing",  # imported there, defined by PyG
        "rstg_pyg.cost.FlopCounterMode",
        "rstg_pyg.summary",
        "rstg_pyg..models.SmallCNN",
        ".models.SmallCNN",
        "",
        None,
        ["rstg_pyg.models.SmallCNN"],
    ],
)
def test_class_that_is_not_ours(class_path):
    config = make_config()
    config["network"]["init_args"]["backbone"] = {"class_path": class_path}
    with pytest.raises(ValueError, match="Expected 'class_path' to be a module class of rstg_pyg") as error:
        VideoClassifier.from_config(config)
    assert str(error.value).endswith(f"(got {class_path!r})")


def test_nothing_else_is_imported(folder, tmp_path, monkeypatch):
    (tmp_path / "harm.py").write_text("raise SystemExit('ran')")
    monkeypatch.syspath_prepend(tmp_path)
    rewrite(folder, lambda config: config["network"]["init_args"]["head"].update(class_path="harm.Head"))
    with pytest.raises(ValueError, match=r"module class of rstg_pyg.*got 'harm.Head'"):
        VideoClassifier.from_pretrained(folder)
    assert "harm" not in sys.modules


def test_library_that_a_class_needs_is_named(monkeypatch):
    def import_module(name):
        raise ModuleNotFoundError("No module named 'torchvision'", name="torchvision")

    monkeypatch.setattr(class_tree, "import_module", import_module)
    with pytest.raises(ModuleNotFoundError, match="torchvision"):
        VideoClassifier.from_config(make_config())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda config: config.pop("class_names"), r"'config' to have the keys \[.*'class_names'.*\(got \["),
        (lambda config: config.update(author="me"), r"'config' to have the keys .*\(got \[.*'author'\]"),
        (lambda config: config.update(class_names=[]), "'class_names' to be a list of strings"),
        (lambda config: config.update(class_names="abc"), "'class_names' to be a list of strings.*got 'abc'"),
        (lambda config: config.update(class_names=[0, 1, 2]), r"'class_names' to be .* \(got \[0, 1, 2\]\)"),
        (lambda config: config.update(input=None), r"'input' to have the keys .*\(got None\)"),
        (lambda config: config["input"].pop("value_range"), "'input' to have the keys"),
        (lambda config: config["input"].update(frame_size=16), r"'frame_size' of 'input' to be a pair \(got 16\)"),
        (lambda config: config["input"].update(num_frames=0), "'input' to have sizes of at least 1"),
        (lambda config: config["input"].update(frame_size=[16, 16.0]), "'input' to have sizes of at least 1"),
        (
            lambda config: config["input"].update(value_range=["x", None]),
            r"two numbers, low < high \(got \['x', None\]",
        ),
        (lambda config: config["input"].update(value_range=[0, float("nan")]), r"low < high \(got \[0, nan\]"),
        (lambda config: config["input"].update(value_range=[1, 0]), r"low < high \(got \[1, 0\]"),
        (lambda config: config["network"].update(init_args=None), r"'init_args' to be arguments of rstg_pyg.V"),
        (lambda config: config["network"].update(init_args=[1]), r"'init_args' of rstg_pyg.V.* mapping \(got \[1\]"),
        (lambda config: config.update(format_version="1"), r"'format_version' to be 1, .*\(got '1'"),
        (lambda config: config.update(network=[]), r"given as 'class_path' and 'init_args' \(got \[\]\)"),
        (lambda config: config["network"].update(seed=1), r"\(got \['class_path', 'init_args', 'seed'\]\)"),
        (lambda config: config.update(network=tree("models.SmallCNN")), r"to be a VideoClassifier \(got a SmallCNN\)"),
        (
            lambda config: config["network"]["init_args"]["head"]["init_args"].update(width=3),
            r"'init_args' to be arguments of rstg_pyg.models.ClassifierHead \(.*'width'\)",
        ),
        (
            lambda config: config["network"]["init_args"]["head"]["init_args"].pop("in_channels"),
            r"'init_args' to be arguments of rstg_pyg.models.ClassifierHead \(.*'in_channels'\)",
        ),
        (
            lambda config: config["network"]["init_args"].update(graph=RSTGToVec(channels=8, node_channels=8)),
            r"'config' to hold plain values, as JSON does \(.*RSTGToVec",
        ),
    ],
)
def test_config_that_is_not_as_described(change, message):
    config = make_config()
    change(config)
    with pytest.raises(ValueError, match=message):
        VideoClassifier.from_config(config)


def test_newer_format(folder):
    rewrite(folder, lambda config: config.update(format_version=2, rstg_pyg_version="9.0.0"))
    with pytest.raises(
        ValueError, match=rf"'format_version' to be 1, which rstg_pyg {rstg_pyg.__version__} .*\(got 2, .* 9.0.0\)"
    ):
        VideoClassifier.from_pretrained(folder)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_missing_file(folder, name):
    (folder / name).unlink()
    with pytest.raises(FileNotFoundError, match=rf"Expected '{folder}' to hold .* \(got no {name}\)"):
        VideoClassifier.from_pretrained(folder)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_damaged_file(folder, name):
    (folder / name).write_text("version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(ValueError, match=rf"Expected '{folder / name}' to "):
        VideoClassifier.from_pretrained(folder)


def test_config_that_is_no_mapping(folder):
    (folder / "config.json").write_text("[]")
    with pytest.raises(ValueError, match=r"Expected 'config' to be a mapping \(got \[\]\)"):
        VideoClassifier.from_pretrained(folder)
    with pytest.raises(ValueError, match=r"Expected 'config' to be a mapping \(got 'folder'\)"):
        VideoClassifier.from_config("folder")


def test_tensors_that_are_not_the_networks(folder):
    path = folder / "model.safetensors"
    tensors = load_file(path)
    number = len(tensors)
    tensors["extra"] = tensors.pop("backbone.convs.0.bias")
    tensors["head.0.weight"] = torch.zeros(4, 8)
    save_file(tensors, path)
    with pytest.raises(ValueError, match=f"Expected '{path}' to hold the tensors of the network") as error:
        VideoClassifier.from_pretrained(folder)
    report = str(error.value).splitlines()[1:]
    assert report == [
        f"  matched: {number - 2}",
        "  missing: ['backbone.convs.0.bias']",
        "  unexpected: ['extra']",
        "  of another shape: ['head.0.weight: expected [3, 8], got [4, 8]']",
    ]


def test_tensors_of_another_type(folder):
    path = folder / "model.safetensors"
    save_file({name: tensor.half() for name, tensor in load_file(path).items()}, path)
    with pytest.raises(ValueError, match=rf"Expected '{path}' to hold float32, .* \(got torch.float16\)"):
        VideoClassifier.from_pretrained(folder)


def test_tensors_of_whole_numbers(folder):
    path = folder / "model.safetensors"
    save_file({name: (127 * tensor).to(torch.int8) for name, tensor in load_file(path).items()}, path)
    with pytest.raises(ValueError, match=rf"Expected '{path}' to hold float32, .* \(got torch.int8\)"):
        VideoClassifier.from_pretrained(folder)


def test_a_name_too_few(folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "class_names": config["class_names"][1:]}))
    with pytest.raises(ValueError, match=r"'class_names' in .* to hold a name for each of 3 classes \(got 2\)"):
        VideoClassifier.from_pretrained(folder)


def test_shipped_models_go_by_name(tmp_path, monkeypatch):
    shipped = {name: make_trained() for name in ("small", "large")}
    for name, classifier in shipped.items():
        classifier.save_pretrained(tmp_path / "package" / name)
    monkeypatch.setattr(model_folder, "SHIPPED", tmp_path / "package")
    clip = torch.rand(1, *CLIP)
    for name, classifier in shipped.items():
        assert torch.equal(VideoClassifier.from_pretrained(name)(clip), classifier.eval()(clip))
    with pytest.raises(FileNotFoundError, match=r"one of \['large', 'small'\], which ship .* \(got 'medium'\)"):
        VideoClassifier.from_pretrained("medium")

    monkeypatch.chdir(tmp_path)  # a folder of a shipped model's name is meant where it is given as a path
    other = make_trained()
    other.save_pretrained("small")
    assert torch.equal(VideoClassifier.from_pretrained("small")(clip), shipped["small"](clip))
    assert torch.equal(VideoClassifier.from_pretrained("./small")(clip), other.eval()(clip))
    assert torch.equal(VideoClassifier.from_pretrained(Path("small"))(clip), other(clip))


def test_classifier_of_python_objects_is_not_saved(tmp_path):
    classifier = VideoClassifier(SmallCNN(widths=(4, 4, 8)), RSTGToVec(channels=8, node_channels=8), torch.nn.ReLU())
    with pytest.raises(ValueError, match="Expected a classifier made by 'from_config'"):
        classifier.save_pretrained(tmp_path / "model")
    assert not list(tmp_path.iterdir())


def test_channels_derived_from_the_first_clip_are_kept(tmp_path):
    classifier = VideoClassifier.from_config(make_config(channels=-1)).eval()
    with pytest.raises(ValueError, match=r"that has seen a clip, .* \(got none for \['graph.rstg.lin_in.weight'\]\)"):
        classifier.save_pretrained(tmp_path / "early")
    assert not list(tmp_path.iterdir())
    clip = torch.rand(2, *CLIP)
    logits = classifier(clip)
    classifier.save_pretrained(tmp_path / "model")
    assert torch.equal(VideoClassifier.from_pretrained(tmp_path / "model")(clip), logits)


def test_classifier_of_boxes_is_not_saved(tmp_path):
    config = make_config()
    graph = {"channels": 8, "node_channels": 8}
    config["network"]["init_args"]["graph"] = tree("models.BoxRSTGToVec", **graph)
    with pytest.raises(ValueError, match=r"Expected a classifier of videos alone \(got one that takes boxes\)"):
        VideoClassifier.from_config(config).save_pretrained(tmp_path / "model")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda classifier: setattr(classifier, "head", ClassifierHead(8, 5)),
            r"(?s)'state_dict' to hold the tensors of the network in its config.*expected \[3, 8\], got \[5, 8\]",
        ),
        (lambda classifier: classifier.half(), r"'state_dict' to hold float32, .* \(got torch.float16\)"),
        (
            lambda classifier: setattr(classifier.graph.rstg, "num_iterations", 1),
            r"to be what its 'config' says \(got other logits of a random clip\)",
        ),
        (
            lambda classifier: classifier.config["class_names"].pop(),
            r"'class_names' to hold a name for each of 3 classes \(got 2\)",
        ),
        (
            lambda classifier: classifier.config["input"].update(channels=2),
            r"'video' to be of shape \[B, T, 1, H, W\] \(got \[1, 3, 2, 16, 16\]\)",
        ),
    ],
)
def test_classifier_that_its_config_does_not_describe_is_not_saved(tmp_path, change, message):
    classifier = make_trained()
    change(classifier)
    with pytest.raises(ValueError, match=message):
        classifier.save_pretrained(tmp_path / "model")
    assert not list(tmp_path.iterdir())


def test_saving_in_training_changes_nothing_of_it(tmp_path):
    classifier = make_trained().train()
    before = copy.deepcopy(classifier.state_dict())
    drawn = torch.get_rng_state()
    classifier.save_pretrained(tmp_path)
    assert torch.equal(torch.get_rng_state(), drawn)
    assert all(module.training for module in classifier.modules())
    assert all(torch.equal(tensor, before[name]) for name, tensor in classifier.state_dict().items())


def test_saving_again_replaces_config_and_weights(folder):
    other = make_trained(schedule="one_temp")
    other.save_pretrained(folder)
    clip = torch.rand(1, *CLIP)
    assert torch.equal(VideoClassifier.from_pretrained(folder)(clip), other.eval()(clip))


def test_saved_model_is_as_readable_as_any_new_file_and_nothing_else_is_left(folder):
    (folder / "other").touch()
    make_trained().save_pretrained(folder)
    assert {path.name for path in folder.iterdir()} == {"config.json", "model.safetensors", "other"}
    assert {path.stat().st_mode for path in folder.iterdir()} == {(folder / "other").stat().st_mode}


def test_disk_that_fills_up_leaves_the_model_that_was_there(folder, monkeypatch):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    write_bytes = Path.write_bytes

    def write(path, content):
        if path.name.startswith("config.json"):
            raise OSError("No space left on device")
        return write_bytes(path, content)

    monkeypatch.setattr(Path, "write_bytes", write)
    with pytest.raises(OSError, match="No space left"):
        make_trained(schedule="one_temp").save_pretrained(folder)
    assert {name: (folder / name).read_bytes() for name in before} == before


def test_card_becomes_the_readme_and_is_never_replaced(tmp_path):
    card, other, folder = tmp_path / "card.md", tmp_path / "other.md", tmp_path / "model"
    card.write_text("# Größe: S\n")
    other.write_text("# Other\n")
    make_trained().save_pretrained(folder, card)
    assert (folder / "README.md").read_bytes() == card.read_bytes()
    weights = (folder / "model.safetensors").read_bytes()
    with pytest.raises(
        FileExistsError, match=rf"Expected 'card' to be None where '{folder}' has a README.md.*other.md"
    ):
        make_trained().save_pretrained(folder, other)
    assert (folder / "model.safetensors").read_bytes() == weights
    make_trained().save_pretrained(folder)
    assert (folder / "model.safetensors").read_bytes() != weights
    assert (folder / "README.md").read_bytes() == card.read_bytes()


def test_card_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"Expected 'card' to be a Markdown file \(got '# A card'"):
        make_trained().save_pretrained(tmp_path / "model", "# A card")
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("model", SHIPPED, ids=lambda path: path.name)
def test_model_that_ships_reads_the_clips_it_describes(model):
    classifier = VideoClassifier.from_pretrained(model.name)
    logits = classifier(torch.rand(1, *model_folder.clip_shape(classifier.config)))
    assert logits.shape == (1, len(classifier.config["class_names"]))
    assert logits.isfinite().all()


@pytest.mark.parametrize(
    "card",
    [CHECKOUT / "docs/model_card.md", *(model / "README.md" for model in SHIPPED)],
    ids=lambda path: f"{path.parent.name}/{path.name}",
)
def test_card_says_what_the_hub_reads(card):
    _, front_matter, text = card.read_text().split("---\n", maxsplit=2)
    facts = yaml.safe_load(front_matter)
    assert {"license", "library_name", "pipeline_tag", "tags", "datasets", "metrics", "model-index"} == facts.keys()
    assert (facts["library_name"], facts["pipeline_tag"]) == ("rstg-pyg", "video-classification")
    for result in facts["model-index"][0]["results"]:
        assert {"type"} <= result["task"].keys()
        assert {"type", "name"} <= result["dataset"].keys()
        assert all({"type", "value"} <= metric.keys() for metric in result["metrics"])
    assert {"## Data", "## Training", "## Accuracy", "## Limits"} <= set(text.splitlines())
