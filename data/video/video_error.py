"""The error of a video that cannot be used."""


class VideoError(ValueError):
    """A video that is missing, damaged, empty or too short; the message names the file and the reason."""
