import threading
from threading import Event

import pytest
import torch

from data.playback import TimedFrame, newest_frames

IMAGE = torch.zeros(3, 1, 1, dtype=torch.uint8)


class Played:
    """Frames that come when they are let go."""

    def __init__(self, pauses, times=None, live=True, error=None):
        self.pauses, self.times, self.live, self.error = pauses, times, live, error

    def __iter__(self):
        for number, pause in enumerate(self.pauses):
            if pause is not None:
                assert pause.wait(timeout=10)
            yield TimedFrame(number, 0.0 if self.times is None else self.times[number], IMAGE)
        if self.error is not None:
            raise self.error


def test_frames_that_came_meanwhile_are_dropped_but_the_newest():
    go, all_out = Event(), Event()

    class Watched(Played):
        def __iter__(self):
            yield from super().__iter__()
            all_out.set()

    frames = newest_frames(Watched([None, go, None, None, None]))
    numbers = [next(frames).number]
    go.set()  # the reader is slow: the other four come before it asks again
    assert all_out.wait(timeout=10)
    numbers += [frame.number for frame in frames]
    assert numbers == [0, 4]


def test_a_fast_reader_gets_all():
    pauses = [Event() for _ in range(6)]
    pauses[0].set()
    numbers = []
    for frame in newest_frames(Played(pauses)):
        numbers.append(frame.number)
        if frame.number < 5:
            pauses[frame.number + 1].set()
    assert numbers == list(range(6))


def test_a_file_plays_at_its_own_pace():
    # All but the last are due at once; the last is not before its time, and so not there before it is asked for.
    frames = newest_frames(Played([None] * 4, times=[0.0, 0.0, 0.0, 60.0], live=False))
    first = next(frames).number
    assert first < 3
    frames.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "newest_frames"]  # nor waits a minute


def test_the_sources_error_comes_after_its_frames():
    frames = newest_frames(Played([None], error=ValueError("damaged")))
    assert next(frames).number == 0
    with pytest.raises(ValueError, match="damaged"):
        next(frames)
