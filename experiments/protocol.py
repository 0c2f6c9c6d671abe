"""The rows of the table, and how each of them is trained and tested: all the same way."""

from dataclasses import dataclass, field

FEW, MANY = DIGITS = (3, 5)
TRAIN_VIDEOS = {FEW: 120_000, MANY: 80_000}  # those of five digits follow on those of three
EPOCHS = 10  # each ends with a validation
SEARCH_VIDEOS = TRAIN_VIDEOS[FEW] // 10  # for each learning rate
LEARNING_RATES = (1e-3, 3e-3)
SLOWER = 3  # what the rate is divided by on five digits, where all of it undoes what three have taught
WIDE_MOVE, PUBLISHED_MOVE = 36, 10  # canvas pixels
WIDE_UNTIL, PUBLISHED_FROM = 0.4, 0.8  # shares of the training on three digits; between them moves narrow
NUM_TEST_VIDEOS = 10_000


@dataclass(frozen=True)
class Row:
    """A row of the table.

    Args:
        title: Its name.
        config: The file in ``configs/syncmnist`` that is laid over ``table1.yaml``.
        published: Top-1 in percent as published, by number of digits.
        num_seeds: Seeds it is trained with.
        arguments: Further arguments of the command line.
    """

    title: str
    config: str
    published: dict[int, float] = field(default_factory=dict)
    num_seeds: int = 1
    arguments: tuple[str, ...] = ()


AS_WIDE_AS_RSTG = ("--model.network.graph.hidden_channels", "128")
ROWS = {
    "mean_pool_lstm": Row("Mean pooling + LSTM", "mean_pool_lstm", {3: 77.0}, arguments=AS_WIDE_AS_RSTG),
    "conv_net_lstm": Row("ConvNet + LSTM", "conv_net_lstm", {3: 95.0, 5: 39.7}, arguments=AS_WIDE_AS_RSTG),
    "i3d": Row("I3D", "i3d", {5: 90.6}),
    "non_local": Row("Non-Local", "non_local", {5: 93.5}),
    "space_only": Row("RSTG space-only", "space_only", {3: 61.3}),
    "time_only": Row("RSTG time-only", "time_only", {3: 89.7}),
    "homogeneous": Row("RSTG homogeneous", "homogeneous", {3: 95.7, 5: 58.3}),
    "one_temp": Row("RSTG 1-temp", "one_temp", {3: 97.0, 5: 74.1}),
    "all_temp": Row("RSTG all-temp", "all_temp", {3: 98.9, 5: 94.5}, num_seeds=3),
    "positional_all_temp": Row("RSTG positional all-temp", "positional_all_temp", {5: 97.2}, num_seeds=3),
    "paper_backbone": Row(
        "RSTG positional all-temp, CNN pre-trained as in the paper",
        "positional_all_temp",
        arguments=("--model.backbone_weights", "configs/pretrain/classifying_backbone.safetensors"),
    ),
}
TRANSFER_ROW = "all_temp"


def curriculum(digits: int, num_videos: int, search: bool) -> dict[str, object]:
    """The data's settings in a training of ``num_videos``: wide moves first on the way to three digits.

    A search sees wide moves alone.
    """
    if search:
        max_move: object = WIDE_MOVE
    elif digits == FEW:
        until, since = (round(share * num_videos) for share in (WIDE_UNTIL, PUBLISHED_FROM))
        max_move = [[0, WIDE_MOVE], [until, WIDE_MOVE], [since, PUBLISHED_MOVE]]
    else:
        max_move = PUBLISHED_MOVE
    return {"num_digits": digits, "no_pair": 1 / 92, "max_move": max_move}
