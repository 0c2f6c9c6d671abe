"""Playing at the source's own pace for a reader that may be slower."""

import time
from collections.abc import Iterator
from threading import Condition, Thread

from data.playback.sources import Source
from data.playback.timed_frame import TimedFrame

STOP_TIMEOUT = 1.0  # seconds that a source may take to notice that nobody reads any more


def newest_frames(source: Source) -> Iterator[TimedFrame]:
    """Play a source, and give the newest frame whenever one is asked for.

    The source is read in a thread: a live one as it comes, any other at the times of its frames. A frame that is still
    waiting when the next one comes is dropped, so that what is given is never older than one frame; the gaps in the
    frames' numbers tell how many were. The last frame is always given.

    Args:
        source: Where the frames come from.

    Yields:
        Frames.

    Raises:
        Exception: What the source raises, after the frames before it.
    """
    changed = Condition()
    waiting: TimedFrame | None = None
    error: Exception | None = None
    ended = stopped = False

    def play() -> None:
        nonlocal waiting, error, ended
        began = time.monotonic()
        try:
            for frame in source:
                with changed:
                    if not source.live:
                        changed.wait_for(lambda: stopped, timeout=max(0.0, began + frame.time - time.monotonic()))
                    if stopped:
                        return
                    waiting = frame
                    changed.notify_all()
        except Exception as raised:
            error = raised
        finally:
            with changed:
                ended = True
                changed.notify_all()

    def has_news() -> bool:
        return waiting is not None or ended

    thread = Thread(target=play, name="newest_frames", daemon=True)
    thread.start()
    try:
        while True:
            with changed:
                changed.wait_for(has_news)
                frame, waiting = waiting, None
            if frame is None:
                break
            yield frame
        if error is not None:
            raise error
    finally:
        with changed:
            stopped = True
            changed.notify_all()
        thread.join(STOP_TIMEOUT)
