"""Video networks with and without the graph, on drawn videos that only time can tell apart: ``make video-demo``."""
