"""Optimisers and learning-rate schedules, injected as callables and handed to the Trainer."""

import math
from typing import Any

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.cli import LRSchedulerCallable, OptimizerCallable, ReduceLROnPlateau
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler


class WarmupCosine(LRScheduler):
    """Linear warm-up, then a half cosine down to a fraction of the learning rate; one step is one optimiser step.

    Args:
        optimizer: The optimiser.
        warmup_steps: Steps of the warm-up.
        total_steps: Steps until the end of the cosine; None takes the length of the fit, see :func:`set_fit_length`.
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


def configure_optimizers(
    module: LightningModule, optimizer: OptimizerCallable, scheduler: LRSchedulerCallable | None
) -> dict[str, Any]:
    """Build the optimiser and schedule of a module's trainable parameters, as the Trainer wants them.

    :class:`~pytorch_lightning.cli.ReduceLROnPlateau` looks at the metric it monitors after each validation epoch, and a
    fit without validation goes on with a warning; every other schedule is stepped with the optimiser.
    """
    built = optimizer(parameter for parameter in module.parameters() if parameter.requires_grad)
    if scheduler is None:
        return {"optimizer": built}
    schedule = scheduler(built)
    if isinstance(schedule, ReduceLROnPlateau):
        return {
            "optimizer": built,
            "lr_scheduler": {"scheduler": schedule, "monitor": schedule.monitor, "strict": False},
        }
    return {"optimizer": built, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def set_fit_length(trainer: Trainer) -> None:
    """Tell the schedules that last the fit how long it is. Call it when training starts.

    Earlier, in ``configure_optimizers``, asking the Trainer would make it set up its loaders before it has restored
    their state, and a resumed fit would begin its epoch anew.
    """
    for config in trainer.lr_scheduler_configs:
        if isinstance(config.scheduler, WarmupCosine) and config.scheduler.lasts_the_fit:
            steps = trainer.estimated_stepping_batches
            if math.isinf(steps):
                raise ValueError(
                    "Expected 'trainer.max_epochs', 'trainer.max_steps' or the schedule's 'total_steps' to be given "
                    "(got a fit without end, over which a cosine cannot be laid)"
                )
            config.scheduler.total_steps = int(steps)
