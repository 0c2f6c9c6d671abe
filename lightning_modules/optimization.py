"""Optimisers and learning-rate schedules, injected as callables and handed to the Trainer."""

import math
from collections.abc import Callable
from typing import Any

import torch
from pytorch_lightning import LightningModule
from pytorch_lightning.cli import LRSchedulerCallable, OptimizerCallable, ReduceLROnPlateau
from pytorch_lightning.strategies import FSDPStrategy
from torch import Tensor
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.optim.optimizer import ParamsT

__all__ = ["MuonAdamW", "ScheduledModule", "WarmupCosine"]


class MuonAdamW(Optimizer):
    r"""Muon for weights, AdamW for biases, norms and whatever else is no matrix.

    A weight moves by the orthogonal matrix nearest to its averaged gradient, so that it learns in all directions alike
    (Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks"), times
    :math:`0.2 \sqrt{\max(rows, columns)}`: about as far as AdamW would move it, which makes their learning rates
    comparable (Liu et al. 2025, "Muon is scalable for LLM training"). That is :class:`torch.optim.Muon` with
    ``adjust_lr_fn="match_rms_adamw"``, computed in float32. Every real parameter of two dimensions or more is a weight,
    those behind the first flattened into columns (the kernels of a convolution: a row for each output channel), unless
    it has one row or one column alone. Embeddings, which are no weights, are better given to AdamW.

    Args:
        params: Parameters, or groups of them, which may have an ``lr``, ``weight_decay`` and ``momentum`` of their own.
        lr: Learning rate.
        weight_decay: What a step takes off every parameter, as a share of it and of the learning rate.
        momentum: Share of the old in the average of the gradients of weights.

    Raises:
        ValueError: If ``momentum`` is not in [0, 1), or AdamW refuses the others.
    """

    def __init__(self, params: ParamsT, lr: float = 1e-3, weight_decay: float = 0.01, momentum: float = 0.95) -> None:
        if not 0 <= momentum < 1:
            raise ValueError(f"Expected 'momentum' to be in [0, 1) (got {momentum})")
        adamw = AdamW(params, lr=lr, weight_decay=weight_decay)
        super().__init__(adamw.param_groups, {**adamw.defaults, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        """Take a step; a parameter without gradient stays as it is.

        Raises:
            ValueError: If the gradient of a weight is sparse.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        groups = []
        for group in self.param_groups:
            for param in group["params"]:
                if param.grad is not None and _is_weight(param):
                    self._step_weight(param, param.grad, group)
            groups.append({**group, "params": [param for param in group["params"] if not _is_weight(param)]})
        adamw = AdamW(groups)  # anew, as schedules change our groups and a resumed fit replaces them
        adamw.state = self.state
        adamw.step()
        return loss

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a state.

        Raises:
            ValueError: If it is that of another optimiser.
        """
        if any("momentum" not in group for group in state_dict["param_groups"]):
            raise ValueError("Expected 'state_dict' to be that of a MuonAdamW (got groups without 'momentum')")
        super().load_state_dict(state_dict)

    def _step_weight(self, weight: Tensor, grad: Tensor, group: dict[str, Any]) -> None:
        if grad.is_sparse:
            raise ValueError(
                f"Expected the gradient of a weight to be dense (got a sparse one of {list(weight.shape)})"
            )
        state = self.state[weight]
        if not state:
            state["momentum_buffer"] = torch.zeros_like(weight)
        grad = -grad if group["maximize"] else grad
        average = state["momentum_buffer"].lerp_(grad, 1 - group["momentum"])
        ahead = grad.lerp(average, group["momentum"]).flatten(start_dim=1)  # Nesterov
        weight.mul_(1 - group["lr"] * group["weight_decay"])
        scale = 0.2 * math.sqrt(max(ahead.shape))
        weight.add_(_orthogonalize(ahead).view_as(weight), alpha=-group["lr"] * scale)


def _is_weight(parameter: Tensor) -> bool:
    if parameter.dim() < 2 or parameter.is_complex():
        return False
    return len(parameter) > 1 and parameter.numel() > len(parameter)


def _orthogonalize(matrix: Tensor) -> Tensor:
    """U Vᵀ of a matrix U S Vᵀ, with singular values between about 0.7 and 1.2 instead of 1, and less for tiny ones.

    Five steps of a Newton-Schulz iteration with the coefficients of Jordan et al. 2024.
    """
    wide = matrix.float()
    if tall := matrix.size(0) > matrix.size(1):
        wide = wide.T
    wide = wide / wide.norm().clamp(min=1e-7)
    for _ in range(5):
        gram = wide @ wide.T
        wide = torch.addmm(wide, torch.addmm(gram, gram, gram, beta=-4.7750, alpha=2.0315), wide, beta=3.4445)
    return wide.T if tall else wide


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

    def lay_over(self, total_steps: int) -> None:
        """End the cosine after so many steps from the first, and take the present rate from it."""
        self.total_steps = total_steps
        self._last_lr = self.get_lr()
        for group, rate in zip(self.optimizer.param_groups, self._last_lr, strict=True):
            group["lr"] = rate

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
        """Build the optimiser and schedule.

        Raises:
            ValueError: If a :class:`MuonAdamW` is to see the flat parameters of FSDP, none of which is a matrix.
        """
        built = self.optimizer(parameter for parameter in self.parameters() if parameter.requires_grad)
        fsdp = self._trainer is not None and isinstance(self._trainer.strategy, FSDPStrategy)
        if fsdp and isinstance(built, MuonAdamW):
            raise ValueError("Expected another 'optimizer' under FSDP, whose parameters are flat (got MuonAdamW)")
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
                config.scheduler.lay_over(int(steps))

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
