"""How fast videos are made."""

from collections.abc import Callable
from functools import partial
from itertools import product

from benchmarks.results import Result, measured, ratios
from benchmarks.settings import Settings
from benchmarks.timing import WARM_UP_ROUNDS, interleave
from benchmarks.training_worker import FIRST_VIDEO, MODELS, build_training, timed_step
from data import DigitImages, SyncMNIST

ABOUT = """\
SyncMNIST videos (10 frames, 64×64) made by one process on one core, in batches, with the bundled digits; and what
share of a training step that is: the generator's time per video over that of the rest of the step (as in the section
on the training step, "fused"), all timed in turns. Training makes videos beside the step, in a process of their own: a
share below 100 % means that one such process keeps up, given a core."""

ROUNDS = 20
BATCH = 32


def run(settings: Settings) -> Result:
    """Time generators and training steps, in turns."""
    images = DigitImages("train")
    datasets = {f"{digits} digits": SyncMNIST(images, num_digits=digits) for digits in (3, 5)}
    models = list(MODELS)[-1:] if settings.quick else list(MODELS)
    trainings = {model: build_training(model, "fused", settings.device) for model in models}
    per_video: dict[str, list[float]] = {model: [] for model in models}

    def train(model: str) -> None:
        seconds = timed_step(trainings[model], FIRST_VIDEO)
        per_video[model].append((sum(seconds.values()) - seconds["generator"]) / trainings[model].batch_size)

    contestants: dict[str, Callable[[], object]] = {
        name: partial(dataset.batch, range(BATCH)) for name, dataset in datasets.items()
    }
    contestants |= {model: partial(train, model) for model in models}
    times = interleave(contestants, settings.num_rounds(ROUNDS), settings.device, "generator")

    table = [measured(f"{name}, one core", "videos/s", [BATCH / s for s in times[name]]) for name in datasets]
    for model, name in product(models, datasets):
        shares = ratios([s / BATCH for s in times[name]], per_video[model][WARM_UP_ROUNDS:])
        table.append(measured(f"{name}, share of a training step, {model}", "%", [100 * share for share in shares]))
    return Result("Generator", ABOUT, f"batches of {BATCH} videos", table)
