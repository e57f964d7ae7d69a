"""What every test process starts from."""

import os
import signal

from hypothesis import HealthCheck, settings

# pytest starts a process per core, and threads that spin would wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A shell starts what runs in the background deaf to Ctrl-C; tests of Ctrl-C, and what they start, have to hear it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A busy machine is no fault of the code: nothing here asserts a time.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")
