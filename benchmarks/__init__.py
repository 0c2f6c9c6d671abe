"""Benchmarks of the library and the application: ``python -m benchmarks``, or ``make bench``."""

import os

# The profiler, which counts tensor bytes on CPUs, else reports its every start. It reads this when torch is imported.
os.environ.setdefault("KINETO_LOG_LEVEL", "6")
