"""Videos as they play: frames one after another, from a file, a folder, a camera or the network."""

from data.playback.fitting import fit_frame
from data.playback.newest_frames import newest_frames
from data.playback.sources import FolderSource, Source, VideoSource, open_source
from data.playback.timed_frame import TimedFrame

__all__ = ["FolderSource", "Source", "TimedFrame", "VideoSource", "fit_frame", "newest_frames", "open_source"]
