"""The command line: LightningCLI with our links, run folders, loggers and callbacks."""

import sys
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import torch
from jsonargparse import ArgumentParser, Namespace
from pytorch_lightning import Callback, LightningDataModule, LightningModule, Trainer
from pytorch_lightning.callbacks import LearningRateMonitor
from pytorch_lightning.cli import ArgsType, LightningArgumentParser, LightningCLI, SaveConfigCallback, _InstantiatorFn
from pytorch_lightning.loggers import TensorBoardLogger
from pytorch_lightning.utilities.rank_zero import rank_zero_info, rank_zero_only, rank_zero_warn

from lightning_modules.allocator import allocator_hint
from lightning_modules.callbacks import (
    AttentionFigure,
    BestCheckpoint,
    ConfusionFigure,
    LastCheckpoint,
    LearningCurve,
    PredictionWriter,
    StepSeed,
    Throughput,
)
from lightning_modules.csv_log import csv_logger
from lightning_modules.data_description import check_class_names
from lightning_modules.pretrained_weights import NETWORK_PREFIXES, load_weights
from rstg_pyg.models.model_folder import find_folder, read_config

RUNS = Path("runs")
_NETWORK = "model.init_args.network.init_args"
LINKS = {  # what the model learns from the data
    "model.init_args.num_classes": "data.num_classes",
    f"{_NETWORK}.head.init_args.num_classes": "data.num_classes",
    f"{_NETWORK}.backbone.init_args.in_channels": "data.channels",
    "model.init_args.backbone.init_args.in_channels": "data.channels",
}


class RSTGCLI(LightningCLI):
    """``fit | validate | test | predict`` of any of our modules on any of our data.

    - The number of classes and of frame channels go from the data to the model.
    - A run lives in ``run_dir``, by default ``runs/`` and the names of its configs: ``cpu.yaml`` with ``all_temp.yaml``
      gives ``runs/cpu-all_temp``. A second fit there without ``--ckpt_path`` takes ``runs/cpu-all_temp-2``;
      with ``--ckpt_path last`` it goes on with the first. The other commands write to a folder of their name inside it.
    - ``--ckpt_path best`` and ``last`` mean the run folder's. The three commands after fit also take a model that ships
      with the package, by its name, or a folder that save-pretrained wrote.
    - ``trainer.precision`` is bfloat16 where the hardware computes in it, else float32; the saved config says which.
    """

    def __init__(self, args: ArgsType = None, run: bool = True) -> None:
        super().__init__(
            LightningModule,
            LightningDataModule,
            subclass_mode_model=True,
            subclass_mode_data=True,
            save_config_callback=_SaveConfig,
            save_config_kwargs={"save_to_log_dir": False},  # but to the run folder, whatever the loggers
            trainer_defaults={"log_every_n_steps": 10},
            seed_everything_default=0,
            auto_configure_optimizers=False,
            args=args,
            run=run,
        )

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the run folder, the checkpoints and the links."""
        parser.add_argument(
            "--run_dir", type=str | None, default=None, help="Folder of the run; default: runs/ and the configs' names."
        )
        parser.add_class_arguments(BestCheckpoint, "best_checkpoint")
        parser.add_class_arguments(LastCheckpoint, "last_checkpoint")
        parser.set_defaults(
            {
                "best_checkpoint.filename": "best",
                "best_checkpoint.monitor": "val/acc",
                "best_checkpoint.mode": "max",
                "best_checkpoint.enable_version_counter": False,
            }
        )
        for target, source in LINKS.items():
            parser.link_arguments(source, target, apply_on="instantiate")

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        """Parse, and settle the run folder and checkpoint."""
        super().parse_arguments(parser, args)
        config = self.config.get(self.config.get("subcommand") or "", self.config)
        if config.trainer.default_root_dir is not None:
            sys.exit(
                f"Expected '--run_dir' in place of 'trainer.default_root_dir' (got {config.trainer.default_root_dir})"
            )
        best = config.best_checkpoint
        if (
            self.config.get("subcommand") == "fit"
            and best.save_top_k not in (0, 1)
            and "{" not in (best.filename or "{")
        ):
            sys.exit(
                "Expected 'best_checkpoint.filename' to hold the step or a metric, such as '{step}', where "
                f"'best_checkpoint.save_top_k' is {best.save_top_k} (got '{best.filename}', over which every "
                "checkpoint would be written, good or bad)"
            )
        if best.mode == "max" and (best.monitor or "").endswith(("loss", "distance")):
            sys.exit(
                f"Expected 'best_checkpoint.mode' to be min for '{best.monitor}', which is better the lower it is (got "
                "max)"
            )
        if config.run_dir is None:
            config.run_dir = RUNS / ("-".join(Path(path).stem for path in config.config or []) or "unnamed")
        config.run_dir = str(Path(config.run_dir))  # without the slash at its end, behind which another would lie in it
        self._resolve_checkpoint(config)

    def _resolve_checkpoint(self, config: Namespace) -> None:
        self._weights: Path | None = None
        subcommand = self.config.get("subcommand")
        if config.get("ckpt_path") is None and subcommand in ("validate", "test", "predict"):
            sys.exit(f"Expected '--ckpt_path' to be best, last, a checkpoint or a model to {subcommand} (got none)")
        if config.get("ckpt_path") not in ("best", "last"):
            if subcommand in ("validate", "test", "predict"):
                try:
                    folder = find_folder(config.ckpt_path, "'--ckpt_path' to be best, last, a checkpoint, a folder")
                except FileNotFoundError as error:
                    if not _may_be_checkpoint(config.ckpt_path):
                        sys.exit(str(error))
                else:
                    self._weights = folder / "model.safetensors"
                    config.ckpt_path = None
            elif config.get("ckpt_path") is not None and not _may_be_checkpoint(config.ckpt_path):
                sys.exit(f"Expected '--ckpt_path' to be best, last or a checkpoint (got '{config.ckpt_path}', no file)")
            return
        path = Path(config.run_dir, "checkpoints", f"{config.ckpt_path}.ckpt")
        if not path.is_file():
            sys.exit(f"Expected '--ckpt_path {config.ckpt_path}' to be in the run folder (got '{path}', no file)")
        config.ckpt_path = str(path)

    def _parse_ckpt_path(self) -> None:
        """As LightningCLI's, which lays the checkpoint's model over the given one; say where they differ."""
        subcommand = self.config.get("subcommand")
        given = self.config[subcommand].model.clone() if subcommand else Namespace()
        super()._parse_ckpt_path()
        differing = [
            f"{key} is {self.config[subcommand].model.get(key)} (not {value})"
            for key, value in given.items()
            if value not in (None, self.config[subcommand].model.get(key)) and f"model.{key}" not in LINKS
        ]
        if differing:
            rank_zero_warn(f"The model is the checkpoint's, in which {', '.join(differing)}")

    def _add_instantiators(self) -> None:
        """As LightningCLI's, without the links that found no target, which its own stumbles over."""
        for key, base in (("model", LightningModule), ("data", LightningDataModule)):
            self.parser.add_instantiator(_LinkedInstantiator(self, key), base, subclasses=True)

    def before_instantiate_classes(self) -> None:
        """Settle the precision, and whether a run begins, goes on or is only used."""
        config = self.config.get(self.config.get("subcommand") or "", self.config)
        if config.trainer.precision is None:
            config.trainer.precision = default_precision(config.trainer.accelerator)
            rank_zero_info(f"Precision: {config.trainer.precision}")
        self._resumed_step: int | None = None
        self._begins_run = self.subcommand == "fit" and not config.trainer.fast_dev_run
        if (
            self._begins_run
            and config.ckpt_path
            and Path(config.run_dir).resolve() in Path(config.ckpt_path).resolve().parents
        ):
            self._resumed_step = torch.load(config.ckpt_path, mmap=True, weights_only=True)["global_step"]
            self._begins_run = False

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Settle the run folder, and add our loggers and callbacks, all in it."""
        config = self.config_init.get(self.subcommand or "", self.config_init)
        if self._begins_run:  # here and not before: a fit whose model or data cannot be made takes no folder
            config.run_dir = claim_folder(config.run_dir)
            self.config[self.subcommand].run_dir = config.run_dir  # what is saved
        trainer = config.trainer
        folder = Path(config.run_dir)
        if self.subcommand not in ("fit", None):
            folder /= self.subcommand
        kwargs["default_root_dir"] = str(folder)
        kwargs["logger"] = trainer.logger
        if trainer.logger in (None, True) and not trainer.fast_dev_run:
            board = TensorBoardLogger(
                folder, name="", version="", default_hp_metric=False, purge_step=self._resumed_step
            )
            kwargs["logger"] = [board, csv_logger(folder, self._resumed_step)]
        callbacks: list[Callback] = [
            StepSeed(),
            Throughput(),
            LearningCurve(),
            ConfusionFigure(),
            AttentionFigure(),
            PredictionWriter(),
        ]
        if kwargs["logger"]:
            callbacks.append(LearningRateMonitor())
        if trainer.enable_checkpointing is not False:
            for checkpoint in (config.best_checkpoint, config.last_checkpoint):
                checkpoint.dirpath = checkpoint.dirpath or str(Path(config.run_dir, "checkpoints"))
                callbacks.append(checkpoint)
        given = trainer.callbacks or []
        kwargs["callbacks"] = [*(given if isinstance(given, list) else [given]), *callbacks]
        return super().instantiate_trainer(**kwargs)

    def before_test(self) -> None:
        """Load the weights of a model's folder, where one is given in place of a checkpoint."""
        if self._weights is not None:
            if not hasattr(self.model, "network"):
                sys.exit(
                    f"Expected '--ckpt_path' to be best, last or a checkpoint for {type(self.model).__name__} (got the "
                    f"model '{self._weights.parent}')"
                )
            if (self._weights.parent / "config.json").is_file():
                check_class_names(read_config(self._weights.parent)["class_names"], self.datamodule)
            rank_zero_info(load_weights(self.model.network, self._weights, "ckpt_path", NETWORK_PREFIXES))

    before_validate = before_predict = before_test

    def before_fit(self) -> None:
        """Say how training on this machine gets faster, where a setting is missing."""
        hint = allocator_hint(self.trainer.strategy.root_device)
        if hint is not None:
            rank_zero_info(hint)


class _SaveConfig(SaveConfigCallback):
    """Saves a fit's config without the checkpoint it went on from, so that the file starts the run anew.

    Every process learns here which folder rank 0 has claimed.
    """

    def __init__(self, parser: LightningArgumentParser, config: Namespace, **kwargs: Any) -> None:
        super().__init__(parser, config.clone(), **kwargs)
        self.config.ckpt_path = None
        self.config_in_use = config

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Agree on the run folder, and save."""
        self.config_in_use.run_dir = trainer.strategy.broadcast(self.config_in_use.run_dir)
        super().setup(trainer, pl_module, stage)

    def save_config(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Save: the run folder is new, or its own run goes on."""
        folder = Path(trainer.default_root_dir)
        folder.mkdir(parents=True, exist_ok=True)
        self.parser.save(self.config, folder / self.config_filename, skip_none=False, overwrite=True)


class _LinkedInstantiator(_InstantiatorFn):
    def __call__(self, class_type: type, *args: Any, applied_instantiation_links: dict[str, Any], **kwargs: Any) -> Any:
        self.cli._dump_config()
        links = {key: value for key, value in applied_instantiation_links.items() if self._has_place_for(key)}
        return super().__call__(class_type, *args, applied_instantiation_links=links, **kwargs)

    def _has_place_for(self, target: str) -> bool:
        *keys, _, name = target.split(".")
        place: Any = self.cli.config_dump
        for key in keys:
            place = place.get(key) if isinstance(place, dict) else None
        return isinstance(place, dict) and "class_path" in place and name in _arguments(place["class_path"])


def _arguments(class_path: str) -> list[str]:
    """Names of what a class, or a function that makes an object, takes from a config."""
    made_by, parser = resolve_name(class_path), ArgumentParser()
    if isinstance(made_by, type):
        return parser.add_class_arguments(made_by, fail_untyped=False)
    return parser.add_function_arguments(made_by, fail_untyped=False)


def _may_be_checkpoint(path: str) -> bool:
    """Whether there is such a file, or the Trainer finds it by other means."""
    return path == "hpc" or path.startswith("registry") or "://" in path or Path(path).exists()


def default_precision(accelerator: str) -> str:
    """``bf16-mixed`` where the hardware computes in bfloat16, else ``32-true`` (emulation is far slower)."""
    if accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available():
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        native = accelerator in ("auto", "cpu") and torch.cpu._is_amx_tile_supported()
    return "bf16-mixed" if native else "32-true"


def claim_folder(run_dir: str) -> str:
    """Make the folder a run's, or the first free of ``-2``, ``-3``... where it holds a run already.

    Of fits that are started at one time each gets a folder of its own. A start that fails after this keeps its folder,
    with empty ``checkpoints``, and the next fit takes another until that one is removed. Rank 0 alone chooses.
    """
    folder, count = run_dir, 1
    while rank_zero_only.rank == 0 and not _claimed(folder):
        count += 1
        folder = f"{run_dir}-{count}"
    if folder != run_dir:
        rank_zero_info(
            f"{run_dir} is another run's: this one goes to {folder} "
            "(with --ckpt_path last it would go on with the other, if that has a checkpoint)"
        )
    return folder


def _claimed(folder: str) -> bool:
    """Whether the folder held no run; the making of ``checkpoints``, which one process alone can, claims it."""
    if Path(folder, "config.yaml").exists():
        return False
    try:
        Path(folder, "checkpoints").mkdir(parents=True)
    except FileExistsError:
        return False
    return True
