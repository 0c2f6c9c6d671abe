"""The image of a frame that PyAV decoded."""

import av
import torch
from torch import Tensor


def frame_image(frame: av.VideoFrame) -> Tensor:
    """The image as it is to be seen, uint8 [3, H, W]: rotated as its file says, which is how phones note it."""
    image = torch.from_numpy(frame.to_ndarray(format="rgb24")).permute(2, 0, 1)
    return torch.rot90(image, frame.rotation // 90, dims=(1, 2))
