import sys

import numpy as np
import torch
from torchvision.io import decode_image

from data import write_clip
from data.digits import DigitImages
from data.syncmnist import SyncMNIST


def test_frames_are_those_of_the_test_video(tmp_path, monkeypatch, capsys):
    arguments = ["write_clip", str(tmp_path / "clip"), "--index", "4", "--num_digits", "5"]
    monkeypatch.setattr(sys, "argv", arguments)
    write_clip.main()
    video, label = SyncMNIST(DigitImages("test"), 5)[4]
    files = sorted((tmp_path / "clip").iterdir())
    assert [file.name for file in files] == [f"{number:05}.png" for number in range(1, 11)]
    torch.testing.assert_close(torch.stack([decode_image(str(file)) for file in files]), video)
    names = [f"{i}-{j}" for i in range(10) for j in range(i)]
    assert capsys.readouterr().out.endswith(f"the pair in step is {np.append(names, 'no pair')[label]}\n")
