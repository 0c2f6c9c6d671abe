"""Videos from files: Something-Something, and folders of one's own."""

from abc import abstractmethod
from functools import cached_property, partial
from typing import Any, ClassVar, Literal, get_args

from torch.utils.data import DataLoader, Dataset

from data.argument_checks import check_seed, check_sizes
from data.stream_datamodule import StreamDataModule
from data.video.clip_sampling import ClipSampling, DenseSampling, SegmentSampling, UniformSampling
from data.video.clips import ShuffledClips, VideoClips
from data.video.mirroring import mirrored_labels
from data.video.reading import DECODERS, Decoder
from data.video.something_something import Split, Version, read_something_something, read_something_something_classes
from data.video.spatial import Side, center_transform, training_transform, views_transform
from data.video.video_folder import read_video_folder, read_video_folder_classes
from data.video.video_list import UNLABELLED, VideoList

Sampling = Literal["segments", "uniform", "dense"]
SAMPLINGS: tuple[str, ...] = get_args(Sampling)
VideoSplit = Literal["train", "val", "test", "predict"]


class VideoDataModule(StreamDataModule):
    r"""Clips of videos to train, validate, test and predict on; subclasses say which videos.

    - **Training:** one clip a video, resized, a random crop, brightness and (if asked for) flips. The order and all
      draws are pure functions of `seed` and the place in the stream.
    - **Validation:** the centre crop of one clip.
    - **Test and prediction:** `test_crops` × `test_samplings` *views* of every video, of which the first is the clip of
      validation; their scores are to be averaged.

    Batches are (video uint8 :math:`(B, T, 3, H, W)`, in test and prediction :math:`(B, V, T, 3, H, W)`; label int64
    :math:`(B,)`, in prediction -1 where it is not known).

    Args:
        num_frames: Frames in a clip, T; the paper has 32.
        sampling: How clips are chosen from a video. ``"segments"``: a random frame of each of T equal segments in
            training, their middle frames otherwise. ``"uniform"``: the middle frames in training, too. ``"dense"``:
            every `stride`-th frame, from a random place in training.
        stride: The step between frames of ``"dense"``.
        resize: What one side of the frames becomes; the paper has 256.
        side: Which side: ``"height"``, as in the paper, or ``"short"``.
        crop: Side of the random crop of training; the paper has 224.
        eval_crop: Side of the crops otherwise; the paper has 256.
        test_crops: Crops spread evenly along the longer side in testing, an odd number; the paper has 11.
        test_samplings: Clips of each video in testing, S; the paper has 2. The first is the middle one, and they are
            shifted against each other by the S-th part of an interval (``"dense"``: of all possible places).
        brightness: Brightness is multiplied by a number from [1 - brightness, 1 + brightness] in training.
        flip: Whether half the training videos are mirrored, and their labels with them where a name says left or
            right. On Something-Something motion to one side can be what a class is about.
        batch_size: Videos per batch and process.
        test_batch_size: The same in test and prediction, where a video is V clips.
        num_workers: Processes that decode; 0 for the training process itself.
        decoder: What decodes video files, see :func:`~data.video.reading.open_video`.
        decode_threads: Threads that decode a file, in each worker.
        seed: The seed of the order and of all draws.

    Raises:
        ValueError: If an argument is out of range, or an annotation is damaged.
        FileNotFoundError: If an annotation is missing. Videos are looked at when they are read
            (:func:`~data.video.check_videos` looks at all).
    """

    channels = 3
    splits: ClassVar = {"fit": ("train", "val"), "validate": ("val",), "test": ("test",), "predict": ("predict",)}

    def __init__(
        self,
        num_frames: int = 32,
        sampling: Sampling = "segments",
        stride: int = 2,
        resize: int = 256,
        side: Side = "height",
        crop: int = 224,
        eval_crop: int = 256,
        test_crops: int = 11,
        test_samplings: int = 2,
        brightness: float = 0.2,
        flip: bool = False,
        batch_size: int = 8,
        test_batch_size: int = 1,
        num_workers: int = 2,
        decoder: Decoder = "auto",
        decode_threads: int = 1,
        seed: int = 0,
    ) -> None:
        super().__init__(batch_size, num_workers)
        check_seed(seed)
        check_sizes(
            num_frames=num_frames,
            stride=stride,
            resize=resize,
            crop=crop,
            eval_crop=eval_crop,
            test_crops=test_crops,
            test_samplings=test_samplings,
            test_batch_size=test_batch_size,
            decode_threads=decode_threads,
        )
        for name, side_length in (("crop", crop), ("eval_crop", eval_crop)):
            if side_length > resize:
                raise ValueError(f"Expected '{name}' to be at most {resize}, 'resize' (got {side_length})")
        if test_crops % 2 == 0:
            raise ValueError(f"Expected 'test_crops' to be odd, so that one is in the centre (got {test_crops})")
        if sampling not in SAMPLINGS:
            raise ValueError(f"Expected 'sampling' to be one of {list(SAMPLINGS)} (got {sampling!r})")
        if decoder not in DECODERS:
            raise ValueError(f"Expected 'decoder' to be one of {list(DECODERS)} (got {decoder!r})")
        self.num_frames, self.sampling, self.stride = num_frames, sampling, stride
        self.frame_size = eval_crop
        self.test_samplings = test_samplings
        self.test_batch_size = test_batch_size
        self.decoder, self.decode_threads = decoder, decode_threads
        self.seed = seed
        train_transform = partial(training_transform, resize, side, crop, brightness)
        self._transforms = {
            "train": train_transform(mirrored=None),
            "val": center_transform(resize, side, eval_crop),
            "test": views_transform(resize, side, eval_crop, test_crops),
        }
        if flip:
            self._transforms["train"] = train_transform(mirrored_labels(self.class_names))

    @property
    @abstractmethod
    def class_names(self) -> list[str]:
        """The names of the classes by label."""

    @abstractmethod
    def videos(self, split: VideoSplit) -> VideoList:
        """The videos of a split."""

    @property
    def num_classes(self) -> int:  # type: ignore[override]
        """Number of classes."""
        return len(self.class_names)

    @property
    def epoch_items(self) -> int:  # type: ignore[override]
        """Training videos: an epoch has each once."""
        return len(self._datasets["train"].clips)  # type: ignore[attr-defined]

    def clip_sampling(self, split: VideoSplit) -> ClipSampling:
        """What chooses the frames of a split's clips."""
        if split == "train" and self.sampling == "segments":
            return SegmentSampling(self.num_frames)
        middle = 0.5
        spread = [(middle + clip / self.test_samplings) % 1 for clip in range(self.test_samplings)]
        places = spread if split in ("test", "predict") else middle
        if self.sampling == "dense":
            return DenseSampling(self.num_frames, self.stride, None if split == "train" else places)
        return UniformSampling(self.num_frames, places)

    def make_dataset(self, split: VideoSplit) -> Dataset:
        """Makes the clips of a split."""
        transform = self._transforms["test" if split == "predict" else split]
        clips = VideoClips(self.videos(split), self.clip_sampling(split), transform, self.decoder, self.decode_threads)
        return ShuffledClips(clips, self.seed) if split == "train" else clips

    def test_dataloader(self) -> DataLoader:
        """The views of the test set in order; over several processes Lightning shares it out."""
        return DataLoader(self._datasets["test"], **self._loader_arguments() | {"batch_size": self.test_batch_size})

    def predict_dataloader(self) -> DataLoader:
        """The views of the set to predict in order; over several processes Lightning shares it out."""
        return DataLoader(self._datasets["predict"], **self._loader_arguments() | {"batch_size": self.test_batch_size})


class SomethingSomethingDataModule(VideoDataModule):
    """Something-Something, straight from its official download.

    Trained on the training set and validated on the validation set, which is also tested on, with all views: the
    results in papers are those. The official test set has no labels; it is for ``predict``, which writes a submission.

    Args:
        root: The folder with the annotations and the folder of videos, see :mod:`data.video.something_something`.
        version: ``"v1"`` (JPEG images; the paper's) or ``"v2"`` (WebM files).
        **settings: See :class:`VideoDataModule`.
    """

    def __init__(self, root: str, version: Version = "v1", **settings: Any) -> None:
        self.root, self.version = root, version
        super().__init__(**settings)
        self.save_hyperparameters(logger=False)

    @cached_property
    def class_names(self) -> list[str]:
        """The templates by label, without brackets."""
        return read_something_something_classes(self.root, self.version)

    def videos(self, split: VideoSplit) -> VideoList:
        """The videos of a split."""
        official: dict[VideoSplit, Split] = {"train": "train", "val": "val", "test": "val", "predict": "test"}
        return read_something_something(self.root, self.version, official[split])


class VideoFolderDataModule(VideoDataModule):
    """Videos of one's own: ``<class>/<video>`` in a folder, or a CSV file.

    See :func:`~data.video.video_folder.read_video_folder`.

    Args:
        train: The folder or file to train on; its classes, sorted, are the classes.
        val: The folder or file to validate on.
        test: The folder or file to test on; None for the one to validate on.
        predict: The folder or file to predict; None for the one to test on. Here alone videos may have no label: those
            of a folder then are in no folder of a class.
        **settings: See :class:`VideoDataModule`.
    """

    def __init__(
        self, train: str, val: str, test: str | None = None, predict: str | None = None, **settings: Any
    ) -> None:
        test = val if test is None else test
        self.sources = {"train": train, "val": val, "test": test, "predict": test if predict is None else predict}
        super().__init__(**settings)
        self.save_hyperparameters(logger=False)

    @cached_property
    def class_names(self) -> list[str]:
        """The names of the classes by label."""
        return read_video_folder_classes(self.sources["train"])

    def videos(self, split: VideoSplit) -> VideoList:
        """The videos of a split.

        Raises:
            ValueError: If a class has no video to train on, or a video outside of ``"predict"`` has no label.
        """
        videos = read_video_folder(self.sources[split], self.class_names, needs_labels=split != "predict")
        unlabelled = [name for name, label in zip(videos.ids, videos.labels, strict=True) if label == UNLABELLED]
        if split != "predict" and unlabelled:
            raise ValueError(
                f"Expected every video of {self.sources[split]} to have a label, since '{split}' needs it (got "
                f"{len(unlabelled)} without, the first {unlabelled[:10]})"
            )
        labels = set(videos.labels)
        without = [name for label, name in enumerate(self.class_names) if label not in labels]
        if split == "train" and without:
            raise ValueError(f"Expected {self.sources['train']} to hold videos of every class (got none of {without})")
        return videos
