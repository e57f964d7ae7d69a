"""One thread for each test process: pytest starts one per core, and threads that spin would wait for each other."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
