import warnings
from types import SimpleNamespace

import pytest
import torch
from pytorch_lightning import Callback, LightningDataModule, Trainer
from pytorch_lightning.cli import ReduceLROnPlateau
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from lightning_modules import DigitLoss, VideoClassification
from lightning_modules.optimization import WarmupCosine
from lightning_modules.pretrained_weights import load_weights
from rstg_pyg.models import ClassifierHead, GlobalAveragePool, InflatedResNet, SmallCNN, VideoClassifier
from rstg_pyg.models.load_pretrained import BACKBONE_PREFIXES
from rstg_pyg.nn import RSTGToVec

CLASSES = 4


def network(classes=CLASSES):
    graph = RSTGToVec(channels=4, node_channels=4, positional=False, schedule="time_only")
    return VideoClassifier(SmallCNN(widths=(2, 2, 4)), graph, ClassifierHead(4, classes))


def loader(videos=None, labels=None):
    videos = torch.randint(0, 256, (8, 2, 1, 24, 24), dtype=torch.uint8) if videos is None else videos
    labels = torch.arange(8) % CLASSES if labels is None else labels
    return DataLoader(list(zip(videos, labels, strict=True)), batch_size=4)


def fit(module, folder, train=None, val=None, ckpt_path=None, **trainer):
    settings = {"accelerator": "cpu", "max_epochs": 1, "logger": False, "enable_progress_bar": False}
    settings |= {"enable_model_summary": False, "num_sanity_val_steps": 0, "default_root_dir": folder}
    trainer = Trainer(**{**settings, "enable_checkpointing": False, **trainer})
    trainer.fit(module, loader() if train is None else train, val, ckpt_path=ckpt_path)
    return trainer


@pytest.mark.parametrize("label", [-1, CLASSES])
def test_label_out_of_range(tmp_path, label):
    labels = torch.tensor([0, 1, 2, label, 0, 1, 2, 3])
    with pytest.raises(ValueError, match=rf"Expected 'label' to be in \[0, 3\] \(got \[{label}\]\)"):
        fit(VideoClassification(network(), CLASSES), tmp_path, loader(labels=labels))


def test_nan_in_video(tmp_path):
    videos = torch.rand(8, 2, 1, 24, 24)
    videos[1, 0, 0, 3, 3] = torch.nan
    with pytest.raises(ValueError, match=r"Expected 'video' to hold finite values \(got 1 that"):
        fit(VideoClassification(network(), CLASSES), tmp_path, loader(videos))


@pytest.mark.parametrize(
    ("video", "message"),
    [
        (torch.zeros(8, 1, 24, 24, dtype=torch.uint8), r"of shape \[B, T, channels, H, W\] \(got \[4, 1, 24, 24\]\)"),
        (torch.zeros(8, 2, 1, 24, 24, dtype=torch.int64), r"uint8 or floating point \(got torch.int64\)"),
    ],
)
def test_video_of_wrong_shape_or_type(tmp_path, video, message):
    with pytest.raises(ValueError, match=f"Expected 'video' to be {message}"):
        fit(VideoClassification(network(), CLASSES), tmp_path, loader(video))


def test_loss_that_is_no_number_stops_the_fit_before_the_weights_change(tmp_path):
    module = VideoClassification(network(), CLASSES)
    with torch.no_grad():
        module.network.head[-1].bias[0] = torch.inf
    before = module.network.backbone.convs[0].weight.clone()
    with pytest.raises(ValueError, match=r"Expected 'loss' to be finite \(got nan at training step 0\)"):
        fit(module, tmp_path)
    assert torch.equal(module.network.backbone.convs[0].weight, before)


def test_train_accuracy_is_that_of_the_last_20_batches(tmp_path):
    module = VideoClassification(network(), CLASSES, lambda parameters: torch.optim.SGD(parameters, lr=0.0))
    with torch.no_grad():
        module.network.head[-1].weight.zero_()
        module.network.head[-1].bias.copy_(torch.tensor([1.0, 0.0, 0.0, 0.0]))  # always says class 0
    shown = []

    class Watch(Callback):
        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            shown.append(trainer.callback_metrics["train/acc"].item())

    labels = torch.tensor([0, 0] * 6 + [1, 0] * 14 + [1, 2] * 5)  # six batches right, 14 half right, five wrong
    videos = torch.zeros(50, 2, 1, 24, 24, dtype=torch.uint8)
    batches = DataLoader(list(zip(videos, labels, strict=True)), batch_size=2)
    fit(module, tmp_path, batches, callbacks=[Watch()])
    assert shown[5] == pytest.approx(1.0)
    assert shown[19] == pytest.approx((6 + 7) / 20)
    assert shown[24] == pytest.approx((1 + 7) / 20)


def test_network_with_another_number_of_classes():
    with pytest.raises(ValueError, match=r"Expected 'network' to give 4 classes \(got 5\)"):
        VideoClassification(network(5), CLASSES)(torch.rand(1, 2, 1, 24, 24))


def test_bytes_and_unit_range_are_the_same_video():
    module = VideoClassification(network(), CLASSES)
    video = torch.randint(0, 256, (2, 2, 1, 24, 24), dtype=torch.uint8)
    torch.testing.assert_close(module(video), module(video.float() / 255))


def test_plateau_divides_the_learning_rate_by_ten(tmp_path):
    module = VideoClassification(
        network(),
        CLASSES,
        optimizer=lambda parameters: torch.optim.SGD(parameters, lr=1e-4, momentum=0.9, nesterov=True),
        scheduler=lambda optimizer: ReduceLROnPlateau(optimizer, "val/loss", factor=0.1, patience=1, threshold=10.0),
    )
    trainer = fit(module, tmp_path, val=loader(), max_epochs=3)  # no loss ever falls by the threshold
    assert trainer.optimizers[0].param_groups[0]["lr"] == pytest.approx(1e-5)


@pytest.mark.parametrize(
    ("trainer", "validations"),
    [({"val_check_interval": 1}, 8), ({"check_val_every_n_epoch": 2}, 2), ({"num_sanity_val_steps": 2}, 4)],
)
def test_plateau_looks_at_every_validation_once(tmp_path, trainer, validations):
    shown, losses = [], []

    class Plateau(ReduceLROnPlateau):
        def step(self, metrics, epoch=None):
            shown.append(metrics.item())
            super().step(metrics, epoch)

    class Watch(Callback):
        def on_validation_end(self, trainer, pl_module):
            if not trainer.sanity_checking:
                losses.append(trainer.callback_metrics["val/loss"].item())

    module = VideoClassification(network(), CLASSES, scheduler=lambda optimizer: Plateau(optimizer, "val/loss"))
    fit(module, tmp_path, val=loader(), max_epochs=4, callbacks=[Watch()], **trainer)
    assert shown == losses
    assert len(set(losses)) == validations


def test_plateau_of_the_training_loss_is_stepped_by_epochs(tmp_path):
    module = VideoClassification(
        network(),
        CLASSES,
        optimizer=lambda parameters: torch.optim.SGD(parameters, lr=1e-4),
        scheduler=lambda optimizer: ReduceLROnPlateau(optimizer, "train/loss", patience=1, threshold=10.0),
    )
    trainer = fit(module, tmp_path, max_epochs=3)
    assert trainer.optimizers[0].param_groups[0]["lr"] == pytest.approx(1e-5)


def test_plateau_lets_a_fit_without_validation_go_on(tmp_path):
    module = VideoClassification(
        network(), CLASSES, scheduler=lambda optimizer: ReduceLROnPlateau(optimizer, "val/loss")
    )
    with pytest.warns(RuntimeWarning, match="val/loss"):
        trainer = fit(module, tmp_path, max_epochs=2)
    assert trainer.global_step == 4


def test_cosine_over_a_fit_without_end_is_an_error(tmp_path):
    module = VideoClassification(network(), CLASSES, scheduler=WarmupCosine)
    with pytest.raises(ValueError, match=r"Expected 'trainer.max_epochs'.*fit without end"):
        fit(module, tmp_path, max_epochs=-1, max_time={"seconds": 5})


def test_each_test_counts_its_own_confusion(tmp_path):
    module = VideoClassification(network(), CLASSES)
    trainer = fit(module, tmp_path)
    for _ in range(2):
        trainer.test(module, loader(), verbose=False)
        assert module.test_confusion.compute().sum() == 8


def test_warmup_cosine_follows_the_length_of_the_fit(tmp_path):
    rates = []

    class Watched(VideoClassification):
        def on_before_optimizer_step(self, optimizer):
            rates.append(optimizer.param_groups[0]["lr"])

    scheduler = lambda optimizer: WarmupCosine(optimizer, warmup_steps=1)  # noqa: E731
    module = Watched(network(), CLASSES, lambda parameters: torch.optim.SGD(parameters, lr=1.0), scheduler)
    trainer = fit(module, tmp_path, max_epochs=2)  # four steps
    assert rates == pytest.approx([0.5, 1.0, 0.75, 0.25])
    assert trainer.optimizers[0].param_groups[0]["lr"] == pytest.approx(0.0)


def test_extended_fit_begins_at_the_rate_of_its_longer_cosine(tmp_path):
    rates = []

    class Watched(VideoClassification):
        def on_before_optimizer_step(self, optimizer):
            rates.append(optimizer.param_groups[0]["lr"])

    def run(**trainer):
        scheduler = lambda optimizer: WarmupCosine(optimizer, warmup_steps=0)  # noqa: E731
        module = Watched(network(), CLASSES, lambda parameters: torch.optim.SGD(parameters, lr=1.0), scheduler)
        return fit(module, tmp_path, **trainer)

    run(max_epochs=1).save_checkpoint(tmp_path / "first.ckpt")  # two steps
    assert rates == pytest.approx([1.0, 0.5])
    run(max_epochs=2, ckpt_path=tmp_path / "first.ckpt")
    assert rates[2:] == pytest.approx([0.5, (1 - 0.5**0.5) / 2])  # of four


def test_module_made_in_python_has_plain_hyperparameters(tmp_path):
    module = VideoClassification(network(), CLASSES)
    fit(module, tmp_path).save_checkpoint(tmp_path / "module.ckpt")
    checkpoint = torch.load(tmp_path / "module.ckpt", weights_only=True)
    assert checkpoint["hyper_parameters"] == {
        "num_classes": 4,
        "backbone_weights": None,
        "network_weights": None,
        "freeze_backbone": False,
        "frame_loss_weights": None,
    }
    loaded = VideoClassification.load_from_checkpoint(tmp_path / "module.ckpt", network=network())
    torch.testing.assert_close(loaded.state_dict(), module.state_dict())


def test_frozen_backbone_takes_its_weights_and_keeps_them(tmp_path, caplog):
    pretrained = SmallCNN(widths=(2, 2, 4))
    save_file(pretrained.state_dict(), tmp_path / "backbone.safetensors")
    path = str(tmp_path / "backbone.safetensors")
    module = VideoClassification(network(), CLASSES, backbone_weights=path, freeze_backbone=True)
    head = module.network.head[-1].weight.clone()
    with caplog.at_level("INFO"):
        fit(module, tmp_path)
    assert f"6 tensors (134 numbers) of SmallCNN from {path}" in caplog.text
    torch.testing.assert_close(module.network.backbone.state_dict(), pretrained.state_dict())
    assert not torch.equal(module.network.head[-1].weight, head)


def test_frozen_backbone_stays_in_evaluation():
    module = VideoClassification(network(), CLASSES, freeze_backbone=True).train()
    assert (module.network.backbone.training, module.network.graph.training) == (False, True)


def test_frozen_batch_norms_of_blocks_that_the_weights_know_nothing_of_are_warned_of(tmp_path):
    def backbone(**options):
        return InflatedResNet(in_channels=1, inflation="c2d", depth=18, width=2, res5_stride=1, **options)

    save_file(backbone().state_dict(), tmp_path / "backbone.safetensors")
    norms = {}
    for freeze in (True, False):
        own = backbone(non_local=True, freeze_batch_norm=freeze)
        norms = [name for name, module in own.named_modules() if name.endswith("norm") and "non_local" in name]
        own = VideoClassifier(own, GlobalAveragePool(), ClassifierHead(16, CLASSES))
        module = VideoClassification(own, CLASSES, backbone_weights=str(tmp_path / "backbone.safetensors"))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            fit(module, tmp_path, max_steps=1)
        told = [str(w.message) for w in caught if "batch norms at mean 0 and variance 1" in str(w.message)]
        assert [all(norm in text for norm in norms) for text in told] == [True] * freeze
    assert norms


@pytest.mark.parametrize("given", [None, "backbone_weights", "network_weights"])
def test_frozen_batch_norms_without_weights_are_warned_of(tmp_path, given):
    pretrained = network()
    pretrained.backbone.freeze_batch_norm = True
    options = {}
    if given is not None:
        weights = pretrained if given == "network_weights" else pretrained.backbone
        options = {given: str(tmp_path / "weights.safetensors")}
        save_file(weights.state_dict(), options[given])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit(VideoClassification(pretrained, CLASSES, **options), tmp_path)
    assert any("batch norms stay at mean 0 and variance 1" in str(w.message) for w in caught) == (given is None)


def test_network_without_a_backbone(tmp_path):
    plain = nn.Sequential(nn.Flatten(), nn.Linear(2 * 24 * 24, CLASSES))
    before = plain[1].weight.clone()
    fit(VideoClassification(plain, CLASSES), tmp_path)
    assert not torch.equal(plain[1].weight, before)
    for name, value in (("backbone_weights", "some.safetensors"), ("freeze_backbone", True)):
        message = rf"Expected 'network' to have a 'backbone' where '{name}' is given \(got Sequential\)"
        with pytest.raises(ValueError, match=message):
            VideoClassification(plain, CLASSES, **{name: value})


def videos_with_centres():
    centres = torch.rand(8, 2, 3, 2)
    centres[:, :, 2] = torch.nan
    return torch.rand(8, 2, 1, 24, 24), centres, torch.arange(8) % CLASSES


def test_loss_on_frames_is_added_to_that_of_the_classes():
    torch.manual_seed(0)
    videos, centres, labels = videos_with_centres()
    module = VideoClassification(network(), CLASSES, frame_loss=DigitLoss(channels=4, num_classes=3, weight=0.3)).eval()
    logged = {}
    module.log, module.log_dict = lambda name, value, **_: logged.update({name: value}), logged.update
    total = module.training_step((videos, centres, labels), 0)
    loss = F.cross_entropy(module.network(videos), labels)
    features = module.network.backbone(videos).flatten(end_dim=1)
    frame_loss, scores = module.frame_loss(features, centres.flatten(end_dim=1))
    torch.testing.assert_close(total, loss + frame_loss)
    expected = {"train/loss": loss, "train/frame_loss": frame_loss}
    expected |= {f"train/frame_{name}": value for name, value in scores.items()}
    torch.testing.assert_close({name: logged[name] for name in expected}, expected)
    assert not module.network.backbone._forward_hooks


def test_fit_with_a_loss_on_frames(tmp_path):
    torch.manual_seed(0)
    loss, sgd = DigitLoss(channels=4, num_classes=3), lambda parameters: torch.optim.SGD(parameters, lr=0.1)
    module = VideoClassification(network(), CLASSES, frame_loss=loss, optimizer=sgd)
    nn.init.zeros_(module.network.head[-1].weight)  # so the classes' loss gives the backbone no gradient at first
    before = module.network.backbone.convs[0].weight.clone()
    train = DataLoader(list(zip(*videos_with_centres(), strict=True)), batch_size=8)
    trainer = fit(module, tmp_path, train, loader())
    assert not torch.equal(module.network.backbone.convs[0].weight, before)
    assert module.frame_loss.read[0].running_mean.abs().max() > 0
    names = {f"train/frame_{name}" for name in ("loss", "acc", "distance")}
    assert {name for name in trainer.callback_metrics if "frame" in name} == names
    trainer.test(module, loader(), verbose=False)  # without centres
    trainer.save_checkpoint(tmp_path / "module.ckpt")
    loaded = VideoClassification.load_from_checkpoint(
        tmp_path / "module.ckpt", network=network(), frame_loss=DigitLoss(channels=4, num_classes=3)
    )
    torch.testing.assert_close(loaded.state_dict(), module.state_dict())


def test_loss_on_frames_that_lacks_something(tmp_path):
    loss = DigitLoss(channels=4, num_classes=3)
    with pytest.raises(ValueError, match=r"to have a 'backbone' where 'frame_loss' is given \(got Sequential\)"):
        VideoClassification(nn.Sequential(), CLASSES, frame_loss=loss)
    with pytest.raises(
        ValueError, match=r"'freeze_backbone' to be False where 'frame_loss' is to train it \(got True\)"
    ):
        VideoClassification(network(), CLASSES, frame_loss=loss, freeze_backbone=True)
    with pytest.raises(ValueError, match=r"'frame_loss' looks for .* \(got video and label alone\): .*train_centres"):
        fit(VideoClassification(network(), CLASSES, frame_loss=loss), tmp_path)
    train = DataLoader(list(zip(*videos_with_centres(), strict=True)), batch_size=4)
    with pytest.raises(ValueError, match=r"'boxes' to be of shape \[B, T, n, 4\] .* \(got \[4, 2, 3, 2\]\)"):
        fit(VideoClassification(network(), CLASSES), tmp_path, train)


def test_backbone_is_read_from_a_checkpoint_of_ours(tmp_path):
    module = VideoClassification(network(), CLASSES)
    fit(module, tmp_path).save_checkpoint(tmp_path / "module.ckpt")
    backbone = SmallCNN(widths=(2, 2, 4))
    load_weights(backbone, tmp_path / "module.ckpt", "backbone_weights", BACKBONE_PREFIXES)
    torch.testing.assert_close(backbone.state_dict(), module.network.backbone.state_dict())


def test_fit_starts_from_the_weights_of_another(tmp_path, caplog):
    first = VideoClassification(network(), CLASSES)
    fit(first, tmp_path).save_checkpoint(tmp_path / "first.ckpt")
    module = VideoClassification(
        network(), CLASSES, optimizer=lambda p: torch.optim.SGD(p, lr=0.0), network_weights=str(tmp_path / "first.ckpt")
    )
    with caplog.at_level("INFO"):
        fit(module, tmp_path)
    assert "network_weights: " in caplog.text
    parameters, expected = (dict(m.network.named_parameters()) for m in (module, first))
    torch.testing.assert_close(parameters, expected, rtol=0, atol=0)  # the optimiser moved nothing


def test_weights_that_do_not_fit_a_video_backbone_are_named(tmp_path):
    save_file({"stem.weight": torch.zeros(1)}, tmp_path / "other.safetensors")
    for name, error in (("nowhere.pth", FileNotFoundError), ("other.safetensors", ValueError)):
        path = str(tmp_path / name)
        backbone = InflatedResNet(3, "c2d", 18, 4)
        classifier = VideoClassifier(backbone, GlobalAveragePool(), ClassifierHead(32, CLASSES))
        module = VideoClassification(classifier, CLASSES, backbone_weights=path)
        module._trainer = SimpleNamespace(ckpt_path=None)
        with pytest.raises(error, match=rf"Expected 'backbone_weights' to hold .* InflatedResNet \(got '{path}': "):
            module.setup("fit")


@pytest.mark.parametrize("run", ["pre-training", "classification"])
def test_loss_on_frames_starts_from_that_of_another_run(tmp_path, run):
    learnt, read = (DigitLoss(channels=4, num_classes=3) for _ in range(2))
    prefix = {"pre-training": "loss.", "classification": "frame_loss."}[run]
    state = {f"{prefix}{name}": tensor for name, tensor in learnt.state_dict().items()}
    torch.save({"state_dict": {"network.head.weight": torch.ones(1), **state}}, tmp_path / "other.ckpt")
    module = VideoClassification(network(), CLASSES, frame_loss=read, frame_loss_weights=str(tmp_path / "other.ckpt"))
    module._trainer = SimpleNamespace(ckpt_path="last.ckpt")
    module.setup("fit")
    assert not torch.equal(read.read[-2].weight, learnt.read[-2].weight)  # a fit that goes on has its own
    module._trainer = SimpleNamespace(ckpt_path=None)
    module.setup("fit")
    torch.testing.assert_close(read.state_dict(), learnt.state_dict(), rtol=0, atol=0)
    with pytest.raises(
        ValueError, match=r"Expected 'frame_loss' where 'frame_loss_weights' are given \(got 'a.ckpt'\)"
    ):
        VideoClassification(network(), CLASSES, frame_loss_weights="a.ckpt")


def test_weights_of_a_network_count_for_its_backbone_too(tmp_path):
    first = VideoClassification(network(), CLASSES)
    fit(first, tmp_path).save_checkpoint(tmp_path / "first.ckpt")
    save_file(network().backbone.state_dict(), tmp_path / "own.safetensors")
    weights = {"backbone_weights": str(tmp_path / "own.safetensors"), "network_weights": str(tmp_path / "first.ckpt")}
    module = VideoClassification(network(), CLASSES, optimizer=lambda p: torch.optim.SGD(p, lr=0.0), **weights)
    fit(module, tmp_path)
    parameters, expected = (dict(m.network.named_parameters()) for m in (module, first))
    torch.testing.assert_close(parameters, expected, rtol=0, atol=0)


def test_fit_starts_from_the_weights_of_another_on_a_backbone_of_its_own(tmp_path):
    first = VideoClassification(network(), CLASSES)
    fit(first, tmp_path).save_checkpoint(tmp_path / "first.ckpt")
    own = SmallCNN(widths=(3, 4), num_blocks=1)  # others than the first's
    save_file(own.state_dict(), tmp_path / "own.safetensors")
    module = VideoClassification(
        VideoClassifier(SmallCNN(widths=(3, 4), num_blocks=1), network().graph, network().head),
        CLASSES,
        optimizer=lambda p: torch.optim.SGD(p, lr=0.0),
        backbone_weights=str(tmp_path / "own.safetensors"),
        network_weights=str(tmp_path / "first.ckpt"),
    )
    with pytest.warns(UserWarning, match="of VideoClassifier, all but backbone, from"):
        fit(module, tmp_path)
    torch.testing.assert_close(dict(module.network.backbone.named_parameters()), dict(own.named_parameters()))
    for part in ("graph", "head"):
        parameters, expected = (dict(getattr(m.network, part).named_parameters()) for m in (module, first))
        torch.testing.assert_close(parameters, expected, rtol=0, atol=0)


def test_backbone_that_does_not_fit_is_reported(tmp_path):
    weights = SmallCNN(widths=(2, 2, 8)).state_dict()
    weights["extra"] = weights.pop("convs.0.bias")
    save_file(weights, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="Expected 'backbone_weights' to match SmallCNN") as error:
        load_weights(SmallCNN(widths=(2, 2, 4)), tmp_path / "other.safetensors", "backbone_weights", ())
    report = str(error.value)
    assert "matched: 3" in report
    assert "missing: ['convs.0.bias']" in report
    assert "unexpected: ['extra']" in report
    assert "convs.2.weight: expected [4, 2, 3, 3], got [8, 2, 3, 3]" in report


def test_backbone_file_that_is_not_there():
    with pytest.raises(FileNotFoundError, match=r"Expected 'backbone_weights' .*got 'nowhere.safetensors'"):
        load_weights(nn.Identity(), "nowhere.safetensors", "backbone_weights", BACKBONE_PREFIXES)


def test_score_of_views_is_the_mean_of_their_own_runs(tmp_path):
    videos, labels = torch.randint(0, 256, (6, 22, 2, 3, 24, 24), dtype=torch.uint8), torch.arange(6) % CLASSES
    graph = RSTGToVec(channels=4, node_channels=4, positional=False, schedule="time_only")
    network = VideoClassifier(SmallCNN(widths=(2, 2, 4), in_channels=3), graph, ClassifierHead(4, CLASSES))
    module = VideoClassification(network, CLASSES)
    trainer = fit(module, tmp_path, loader(videos[:, 0], labels))
    module.eval()
    with torch.no_grad():
        runs = [module(videos[:, view]) for view in range(22)]  # 22 separate runs
    expected = torch.stack(runs).mean(dim=0)
    (scores,) = trainer.test(module, loader(videos, labels), verbose=False)
    assert scores["test/acc"] == pytest.approx(float((expected.argmax(dim=1) == labels).float().mean()))
    assert scores["test/loss"] == pytest.approx(float(nn.functional.cross_entropy(expected, labels)), rel=1e-5)
    centre = float((runs[0].argmax(dim=1) == labels).float().mean())
    assert scores["test/center_view_acc"] == pytest.approx(centre)
    predicted = trainer.predict(module, loader(videos, torch.full((6,), -1)))
    torch.testing.assert_close(torch.cat([batch["probabilities"] for batch in predicted]), expected.softmax(dim=1))
    assert torch.cat([batch["labels"] for batch in predicted]).tolist() == [-1] * 6


def test_views_are_averaged_in_single_precision():
    module = VideoClassification(network(), CLASSES).eval()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        logits = module(torch.zeros(1, 2, 1, 24, 24, dtype=torch.uint8))
        views = module.view_logits(torch.zeros(1, 3, 2, 1, 24, 24, dtype=torch.uint8))
    assert (logits.dtype, views.dtype) == (torch.bfloat16, torch.float32)
    assert torch.equal(views, logits.float().expand(3, -1, -1))


def test_one_view_has_no_centre_beside_it(tmp_path):
    module = VideoClassification(network(), CLASSES)
    (scores,) = fit(module, tmp_path).test(module, loader(), verbose=False)
    assert scores.keys() == {"test/acc", "test/acc_top5", "test/loss"}


def test_views_are_for_testing_alone(tmp_path):
    views = torch.zeros(8, 2, 2, 1, 24, 24, dtype=torch.uint8)
    with pytest.raises(ValueError, match=r"of shape \[B, T, channels, H, W\] \(got \[4, 2, 2, 1, 24, 24\]\)"):
        fit(VideoClassification(network(), CLASSES), tmp_path, loader(views))


class NamedClasses(LightningDataModule):
    channels, num_frames, frame_size = 1, 2, 24

    def __init__(self, *class_names):
        super().__init__()
        self.class_names = class_names

    def train_dataloader(self):
        return loader()

    test_dataloader = train_dataloader


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("acbd", r"got 'c' in place of 'b' as class 1; 2 differ\)"),
        ("abc", r"got None in place of 'd' as class 3; 1 differ\)"),
        ("abcde", r"got 'e' in place of None as class 4; 1 differ\)"),
    ],
)
def test_checkpoint_of_other_classes_than_the_data_have(tmp_path, names, message):
    module = VideoClassification(network(), CLASSES)
    trainer = fit(module, tmp_path, NamedClasses(*"abcd"), limit_train_batches=1)
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    trainer.test(module, datamodule=NamedClasses(*"abcd"), ckpt_path=tmp_path / "last.ckpt", verbose=False)
    with pytest.raises(ValueError, match=rf"classes that the network was trained on, in their order \({message}"):
        trainer.test(module, datamodule=NamedClasses(*names), ckpt_path=tmp_path / "last.ckpt")
