"""The data of the application: SyncMNIST videos to train and test on, frames with digits to pre-train on."""

from data import pair_labels
from data.argument_checks import check_seed, check_sizes
from data.digits import DigitImages
from data.digits.digit_images import Source, Split
from data.placed_digits import PlacedDigits, check_max_digits, check_overlap
from data.stream_datamodule import StreamDataModule
from data.sync_paths import PUBLISHED_TEST_PATHS
from data.syncmnist import SyncMNIST, make_curricula

EPOCH_ITEMS = 20_000


class _DigitDataModule(StreamDataModule):
    """Data that is drawn from digit images: how much of it, how large, and of which digits."""

    channels = 1

    def __init__(
        self,
        batch_size: int,
        num_workers: int,
        source: Source,
        root: str | None,
        download: bool,
        frame_size: int,
        canvas_size: int,
        seed: int,
        items: dict[str, int],
        epoch_items: int | None,
        unit: str,
    ) -> None:
        super().__init__(batch_size, num_workers)
        check_seed(seed)
        check_sizes(frame_size=frame_size, canvas_size=canvas_size)
        check_sizes(**{f"{split}_{unit}": number for split, number in items.items()})
        if epoch_items is not None and not 1 <= epoch_items <= items["train"]:
            raise ValueError(
                f"Expected 'epoch_{unit}' to be between 1 and {items['train']}, 'train_{unit}' (got {epoch_items})"
            )
        self.source, self.root, self.download = source, root, download
        self.frame_size, self.canvas_size, self.seed = frame_size, canvas_size, seed
        self.num_items = items
        self.epoch_items = min(items["train"], EPOCH_ITEMS) if epoch_items is None else epoch_items

    def digits(self, split: Split) -> DigitImages:
        """The digit images of a split."""
        return DigitImages(split, self.source, self.root)

    def prepare_data(self) -> None:
        """Downloads MNIST where that is asked for; runs in one process."""
        if self.download:
            DigitImages("test", self.source, self.root, download=True)


class SyncMNISTDataModule(_DigitDataModule):
    """SyncMNIST: a stream of training videos, and fixed validation and test sets.

    Batches are (video uint8 [B, T, 1, S, S], label int64 [B]), or with `boxes` (video, boxes float32 [B, T, n, 4],
    label), in training with `train_centres` (video, centres float32 [B, T, 10, 2], label): see
    :class:`~data.SyncMNIST`. Training walks the stream in order: epoch e has the videos from e *
    `epoch_videos` on, modulo `train_videos`. The digits of the three splits are different images.

    Args:
        num_digits: Digits in a training video, 2-10, or a table of (index, value) pairs: see :class:`~data.SyncMNIST`.
        num_frames: Frames in a video.
        frame_size: Side of a frame in pixels.
        canvas_size: Side of the canvas in pixels.
        max_move: The bound of a digit's move in training, in canvas pixels, or a table.
        no_pair: The probability of a training video without a pair, or a table.
        overlap: The probability of a training video whose second digit starts over the first, or a table.
        eval_num_digits: The same for validation and test; None for the value that the training's table ends with.
        eval_max_move: Likewise.
        eval_no_pair: Likewise.
        train_videos: The length of the training stream; the paper has 600,000. After it the stream, its tables
            included, repeats.
        epoch_videos: Videos in an epoch over all processes; None for 20,000, or `train_videos` where that is less.
        val_videos: Videos to validate on.
        test_videos: Videos to test on.
        test_paths: An npz file with the paths of the test videos, or ``"published"`` for the published 5SyncMNIST test
            set, which needs `source` ``"mnist"``. Then the file says how many videos are tested, of how many digits and
            moves, not `test_videos` and the settings of `eval_`.
        batch_size: Videos per batch and process.
        num_workers: Processes that make videos; 0 for the training process itself.
        source: ``"bundled"`` for the digits that ship with the code, ``"mnist"`` for the full data set.
        root: The directory of the full data set, as torchvision lays it out.
        download: Whether to download the full data set to `root`.
        seed: The seed of all videos.
        boxes: Whether batches hold the boxes of the digits.
        train_centres: Whether training batches hold the centres of the digits, which a loss on single frames needs, see
            :class:`~lightning_modules.DigitLoss`.

    Raises:
        ValueError: If an argument is out of range, or both `boxes` and `train_centres` are wanted. Files are read, and
            found missing or damaged, in :meth:`setup`.
        TypeError: If `num_digits`, `max_move`, `no_pair` or `overlap` is neither a number nor a table of numbers.
    """

    num_classes = pair_labels.NUM_CLASSES
    class_names = pair_labels.class_names()

    def __init__(
        self,
        num_digits: int | list[tuple[int, int]] = 3,
        num_frames: int = 10,
        frame_size: int = 64,
        canvas_size: int = 100,
        max_move: int | list[tuple[int, int]] = 10,
        no_pair: float | list[tuple[int, float]] = 1 / 92,
        overlap: float | list[tuple[int, float]] = 0.0,
        eval_num_digits: int | None = None,
        eval_max_move: int | None = None,
        eval_no_pair: float | None = None,
        train_videos: int = 600_000,
        epoch_videos: int | None = None,
        val_videos: int = 2_000,
        test_videos: int = 10_000,
        test_paths: str | None = None,
        batch_size: int = 32,
        num_workers: int = 2,
        source: Source = "bundled",
        root: str | None = None,
        download: bool = False,
        seed: int = 0,
        boxes: bool = False,
        train_centres: bool = False,
    ) -> None:
        if boxes and train_centres:
            raise ValueError("Expected 'train_centres' to be False beside boxes=True (got True)")
        items = {"train": train_videos, "val": val_videos, "test": test_videos}
        drawn = (source, root, download, frame_size, canvas_size, seed)
        super().__init__(batch_size, num_workers, *drawn, items, epoch_videos, unit="videos")
        self.save_hyperparameters(logger=False)
        check_sizes(num_frames=num_frames)
        self.num_frames = num_frames
        self.train_settings = {"num_digits": num_digits, "max_move": max_move, "no_pair": no_pair, "overlap": overlap}
        given = {"num_digits": eval_num_digits, "max_move": eval_max_move, "no_pair": eval_no_pair}
        curricula = make_curricula(**self.train_settings)
        self.eval_settings = {name: curricula[name].last if given[name] is None else given[name] for name in given}
        make_curricula(**self.eval_settings, prefix="eval_")
        self.test_paths = str(PUBLISHED_TEST_PATHS) if test_paths == "published" else test_paths
        self.boxes = boxes
        self.train_centres = train_centres

    def make_dataset(self, split: Split) -> SyncMNIST:
        """Makes the videos of a split."""
        digits = self.digits(split)
        if split == "test" and self.test_paths is not None:
            dataset = SyncMNIST.from_paths(self.test_paths, digits, self.frame_size, self.canvas_size, self.boxes)
            if dataset.num_frames != self.num_frames:
                raise ValueError(
                    f"Expected 'num_frames' to be {dataset.num_frames}, as in {self.test_paths} (got {self.num_frames})"
                )
            return dataset
        return SyncMNIST(
            digits,
            num_frames=self.num_frames,
            frame_size=self.frame_size,
            canvas_size=self.canvas_size,
            num_videos=self.num_items[split],
            seed=self.seed,
            boxes=self.boxes,
            centres=self.train_centres and split == "train",
            **(self.train_settings if split == "train" else self.eval_settings),
        )


class PlacedDigitsDataModule(_DigitDataModule):
    """Frames with digits at random places, to pre-train a backbone on.

    Batches are (frame uint8 [B, 1, S, S], shown bool [B, 10], centre float32 [B, 10, 2]): see
    :class:`~data.PlacedDigits`.

    Args:
        max_digits: The most digits in a frame, 1-10; the paper has one.
        overlap: The share of the frames with two digits or more in which the second lies over the first.
        frame_size: Side of a frame in pixels.
        canvas_size: Side of the canvas in pixels.
        train_frames: The length of the training stream; after it the stream repeats.
        epoch_frames: Frames in an epoch over all processes; None for 20,000, or `train_frames` where that is less.
        val_frames: Frames to validate on.
        test_frames: Frames to test on.
        batch_size: Frames per batch and process.
        num_workers: Processes that make frames; 0 for the training process itself.
        source: As in :class:`SyncMNISTDataModule`.
        root: Likewise.
        download: Likewise.
        seed: The seed of all frames.

    Raises:
        ValueError: If an argument is out of range. Files are read, and found missing or damaged, in :meth:`setup`.
    """

    num_classes = PlacedDigits.num_classes

    def __init__(
        self,
        max_digits: int = 1,
        overlap: float = 0.0,
        frame_size: int = 64,
        canvas_size: int = 100,
        train_frames: int = 600_000,
        epoch_frames: int | None = None,
        val_frames: int = 2_000,
        test_frames: int = 10_000,
        batch_size: int = 256,
        num_workers: int = 2,
        source: Source = "bundled",
        root: str | None = None,
        download: bool = False,
        seed: int = 0,
    ) -> None:
        items = {"train": train_frames, "val": val_frames, "test": test_frames}
        drawn = (source, root, download, frame_size, canvas_size, seed)
        super().__init__(batch_size, num_workers, *drawn, items, epoch_frames, unit="frames")
        self.save_hyperparameters(logger=False)
        check_max_digits(max_digits)
        check_overlap(overlap, max_digits)
        self.max_digits = max_digits
        self.overlap = overlap

    def make_dataset(self, split: Split) -> PlacedDigits:
        """Makes the frames of a split."""
        digits, num_frames = self.digits(split), self.num_items[split]
        sizes = self.frame_size, self.canvas_size
        return PlacedDigits(digits, self.max_digits, self.overlap, *sizes, num_frames, self.seed)
