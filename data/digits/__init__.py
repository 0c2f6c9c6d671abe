"""Images of single digits that the videos are made of."""

from data.digits.digit_images import SPLITS, DigitImages

__all__ = ["SPLITS", "DigitImages"]
