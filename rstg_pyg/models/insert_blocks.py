"""Blocks, such as RSTG-to-map, behind named sub-modules of any network."""

from collections.abc import Mapping
from difflib import get_close_matches
from functools import partial
from typing import Any, Literal

from torch import Tensor, nn

INSERTED = "inserted_blocks"


class InsertedBlocks(nn.ModuleDict):
    """Blocks inside a network, by the place that each stands behind (``.`` written ``/``)."""

    def __init__(self, time_dim: int) -> None:
        super().__init__()
        self.time_dim = time_dim
        self.clips_and_frames: tuple[int, int] | None = None

    def forward(self, x: Any) -> Any:
        """Pass through: where the network is an ``nn.Sequential``, it runs this too, after all the others."""
        return x

    def begin_clip(self, network: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Note how many clips and frames the network is given, before it runs."""
        given = next((value for value in (*args, *kwargs.values()) if isinstance(value, Tensor)), None)
        is_video = given is not None and given.dim() == 5
        self.clips_and_frames = (given.size(0), given.size(1)) if is_video and given is not None else None

    def run(self, place: str, module: nn.Module, args: tuple[Any, ...], out: Any) -> Tensor:
        """Run the block that stands behind ``place`` on what came out there."""
        if not isinstance(out, Tensor) or out.dim() not in (4, 5):
            got = list(out.shape) if isinstance(out, Tensor) else type(out).__name__
            raise ValueError(f"Expected '{place}' to give a volume, a tensor of 5 or 4 dimensions (got {got})")
        volume = self._unfold(place, out)
        try:
            after = self[_key(place)](volume)
        except ValueError as error:
            error.add_note(f"In the block behind '{place}', which gave {list(out.shape)}")
            raise
        if after.shape != volume.shape:
            raise ValueError(
                f"Expected the block behind '{place}' to give {list(volume.shape)}, as it got (got {list(after.shape)})"
            )
        if out.dim() == 4:
            return after.flatten(end_dim=1)
        return after.transpose(1, 2) if self.time_dim == 2 else after

    def _unfold(self, place: str, out: Tensor) -> Tensor:
        """The volume ``[B, T, C, H, W]`` that a sub-module gave."""
        if out.dim() == 5:
            return out.transpose(1, 2) if self.time_dim == 2 else out
        if self.clips_and_frames is None:
            raise ValueError(
                f"Expected the network to be given a video [B, T, channels, H, W], as '{place}' gives single frames "
                f"{list(out.shape)}; a network of frames becomes one of videos by rstg_pyg.models.FrameByFrame"
            )
        clips, frames = self.clips_and_frames
        if out.size(0) != clips * frames:
            raise ValueError(
                f"Expected '{place}' to give {clips} · {frames} frames, as the video [B, T, channels, H, W] has "
                f"(got {out.size(0)})"
            )
        return out.unflatten(0, (clips, frames))


def insert_blocks(network: nn.Module, blocks: Mapping[str, nn.Module], time_dim: Literal[1, 2] = 2) -> nn.Module:
    """Put blocks behind sub-modules of a network, which keeps its class, its attributes and the names of its weights.

    ``insert_blocks(r3d_18(weights="DEFAULT"), {"layer2": RSTGBlock(128, 128)})`` runs the block on what ``layer2``
    gives, and what follows in the network on what the block gives. Blocks are called by forward hooks and belong to the
    network, as ``network.inserted_blocks``. An :class:`rstg_pyg.RSTGBlock` leaves the network's output as it was until
    it is trained.

    A sub-module may give ``[B, C, T, H, W]``, as 3-D convolutions do, or the frames of all clips ``[B·T, C, H, W]``:
    the network is given the video as ``[B, T, channels, H, W]`` then, from which T is read (:class:`FrameByFrame` makes
    such a network of one that takes frames). As blocks look at frames together, ``network.frames_alone`` is False
    afterwards.

    Args:
        network: Any network.
        blocks: The name of a sub-module, such as ``"layer2"`` or ``"features.5"`` → the block behind it, a module
            from ``[B, T, C, H, W]`` to the same shape.
        time_dim: Where volumes of five dimensions have T: 2 for ``[B, C, T, H, W]``, 1 for ``[B, T, C, H, W]``.

    Returns:
        The same ``network``.

    Raises:
        ValueError: If ``blocks`` is empty, there is no such sub-module or it has a block already, one block is given
            twice, or ``time_dim`` is none of its choices. When the network runs, if a sub-module gives no volume, or a
            block another shape than it got.
        TypeError: If ``blocks`` is no mapping.
    """
    if time_dim not in (1, 2):
        raise ValueError(f"Expected 'time_dim' to be one of [1, 2] (got {time_dim!r})")
    if not isinstance(blocks, Mapping):
        raise TypeError(f"Expected 'blocks' to be a mapping of places to blocks (got {type(blocks).__name__})")
    if not blocks or len(set(blocks.values())) < len(blocks):
        raise ValueError(f"Expected 'blocks' to hold blocks, each of them once (got {list(blocks)})")
    if hasattr(network, INSERTED):
        raise ValueError(
            f"Expected 'network' to be without blocks yet (got one with blocks behind "
            f"{[_place(key) for key in getattr(network, INSERTED)]})"
        )
    places = {name: module for name, module in network.named_modules() if name}
    for place in blocks:
        if place not in places:
            near = get_close_matches(place, places, n=5, cutoff=0.4) or [name for name, _ in network.named_children()]
            name = type(network).__name__
            raise ValueError(f"Expected 'blocks' to be behind sub-modules of {name}, such as {near} (got {place!r})")
        if type(places[place]).forward is nn.Module.forward:
            inside = [f"{place}.{name}" for name, _ in places[place].named_children()]
            raise ValueError(f"Expected a sub-module that runs itself, such as {inside} (got '{place}', a container)")
    inserted = InsertedBlocks(time_dim)
    for place, block in blocks.items():
        inserted[_key(place)] = block
        places[place].register_forward_hook(partial(inserted.run, place))
    network.register_forward_pre_hook(inserted.begin_clip, with_kwargs=True)
    network.add_module(INSERTED, inserted)
    network.frames_alone = False  # type: ignore[assignment]  # which VideoClassifier asks
    return network


def _key(place: str) -> str:
    """A place as a module's name, which holds no dots."""
    return place.replace(".", "/")


def _place(key: str) -> str:
    return key.replace("/", ".")
