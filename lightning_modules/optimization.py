"""Optimisers and learning-rate schedules, injected as callables and handed to the Trainer."""

import math
from typing import Any

from pytorch_lightning import LightningModule
from pytorch_lightning.cli import LRSchedulerCallable, OptimizerCallable, ReduceLROnPlateau
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler


class WarmupCosine(LRScheduler):
    """Linear warm-up, then a half cosine down to a fraction of the learning rate; one step is one optimiser step.

    Args:
        optimizer: The optimiser.
        warmup_steps: Steps of the warm-up.
        total_steps: Steps until the end of the cosine; None takes the length of the fit, see :class:`ScheduledModule`.
        final_fraction: Where the cosine ends, as a fraction of the learning rate.
    """

    def __init__(
        self, optimizer: Optimizer, warmup_steps: int = 500, total_steps: int | None = None, final_fraction: float = 0.0
    ) -> None:
        self.warmup_steps = warmup_steps
        self.total_steps = total_steps
        self.lasts_the_fit = total_steps is None
        self.final_fraction = final_fraction
        super().__init__(optimizer)

    def get_lr(self) -> list[float]:
        """Learning rate of each parameter group at the present step."""
        return [base * self._fraction(self.last_epoch) for base in self.base_lrs]

    def _fraction(self, step: int) -> float:
        if step < self.warmup_steps:
            return (step + 1) / (self.warmup_steps + 1)
        if self.total_steps is None:
            return 1.0
        done = min(1.0, (step - self.warmup_steps) / max(1, self.total_steps - self.warmup_steps))
        return self.final_fraction + (1 - self.final_fraction) * (1 + math.cos(math.pi * done)) / 2


class ScheduledModule(LightningModule):
    """A module that is given its optimiser and schedule as callables.

    :class:`~pytorch_lightning.cli.ReduceLROnPlateau` of a metric of the validation (``val/...``) looks at it after each
    validation, however many there are in an epoch, and of another one after each training epoch; a fit without the
    metric goes on with a warning. Every other schedule is stepped with the optimiser.

    Attributes:
        optimizer: Parameters → optimiser; it is given those that are trained.
        scheduler: Optimiser → learning-rate schedule, or None.
    """

    optimizer: OptimizerCallable
    scheduler: LRSchedulerCallable | None

    def configure_optimizers(self) -> dict[str, Any]:
        """Build the optimiser and schedule."""
        built = self.optimizer(parameter for parameter in self.parameters() if parameter.requires_grad)
        if self.scheduler is None:
            return {"optimizer": built}
        schedule = self.scheduler(built)
        if isinstance(schedule, ReduceLROnPlateau):
            config = {"scheduler": schedule, "monitor": schedule.monitor, "strict": False}
            return {"optimizer": built, "lr_scheduler": config}
        return {"optimizer": built, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_train_start(self) -> None:
        """Tell the schedules that last the fit how long it is.

        Earlier, in ``configure_optimizers``, asking the Trainer would make it set up its loaders before it has restored
        their state, and a resumed fit would begin its epoch anew.
        """
        for config in self.trainer.lr_scheduler_configs:
            if isinstance(config.scheduler, WarmupCosine) and config.scheduler.lasts_the_fit:
                steps = self.trainer.estimated_stepping_batches
                if math.isinf(steps):
                    raise ValueError(
                        "Expected 'trainer.max_epochs', 'trainer.max_steps' or the schedule's 'total_steps' to be "
                        "given (got a fit without end, over which a cosine cannot be laid)"
                    )
                config.scheduler.total_steps = int(steps)

    def lr_scheduler_step(self, scheduler: Any, metric: Any) -> None:
        """Step a schedule where the Trainer does, unless it waits for a validation."""
        if not _waits_for_validation(scheduler):
            super().lr_scheduler_step(scheduler, metric)

    def on_validation_epoch_end(self) -> None:
        """Show the schedules that wait for it the validation."""
        if self.trainer.sanity_checking:
            return
        for config in self.trainer.lr_scheduler_configs:
            if _waits_for_validation(config.scheduler) and config.monitor in self.trainer.callback_metrics:
                config.scheduler.step(self.trainer.callback_metrics[config.monitor])


def _waits_for_validation(scheduler: Any) -> bool:
    return isinstance(scheduler, ReduceLROnPlateau) and scheduler.monitor.startswith("val/")
