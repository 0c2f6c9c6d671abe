import pytest
import torch

from data.playback import fit_frame


def test_frame_of_the_right_size_is_scaled_alone():
    image = torch.randint(256, (3, 6, 8), dtype=torch.uint8)
    torch.testing.assert_close(fit_frame(image, 3, [6, 8]), image / 255)
    torch.testing.assert_close(fit_frame(image, 3, [6, 8], [-1.0, 1.0]), image / 127.5 - 1)


def test_grey():
    image = torch.tensor([200, 100, 50], dtype=torch.uint8)[:, None, None].expand(3, 4, 4)
    grey = 0.2989 * 200 + 0.587 * 100 + 0.114 * 50  # ITU-R BT.601
    torch.testing.assert_close(fit_frame(image, 1, [4, 4]), torch.full((1, 4, 4), round(grey) / 255))


def test_grey_stays_as_grey_as_it_is():
    levels = torch.arange(256, dtype=torch.uint8).view(1, 16, 16)
    assert torch.equal(fit_frame(levels.expand(3, 16, 16), 1, [16, 16]), levels / 255)


@pytest.mark.parametrize(("height", "width"), [(8, 16), (40, 16), (16, 8)])
def test_covers_and_cuts_around_the_centre(height, width):
    # Brightness grows from 0 to 240 along the longer side; the middle half of a twice as long one is kept.
    ramp = torch.linspace(0, 240, max(height, width)).round().to(torch.uint8)
    image = (ramp if width > height else ramp[:, None]).expand(3, height, width)
    fitted = fit_frame(image, 3, [8, 8])
    assert fitted.shape == (3, 8, 8)
    assert fitted.mean().item() * 255 == pytest.approx(120, abs=3)
    along = fitted[0, 0] if width > height else fitted[0, :, 0]
    kept = min(height, width) / max(height, width)
    assert (along[-1] - along[0]).item() * 255 == pytest.approx(240 * kept, rel=0.25)


def test_channels_that_no_video_has():
    with pytest.raises(ValueError, match=r"Expected 'channels' to be 1 or 3, .* \(got 2\)"):
        fit_frame(torch.zeros(3, 4, 4, dtype=torch.uint8), 2, [4, 4])
