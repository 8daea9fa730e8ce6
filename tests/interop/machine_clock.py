"""Whether the machine stood still: what waits for moments of time may fail then, and is run again, alone."""

import threading
import time

STEP = 0.01
# Seconds: from so long on a machine has stood still.
STILL = 0.3


class Clock(threading.Thread):
    """How long a thread that asked for STEP seconds was kept waiting beyond them, at the most, in seconds."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.longest = 0.0

    def run(self) -> None:
        while True:
            before = time.monotonic()
            time.sleep(STEP)
            self.longest = max(self.longest, time.monotonic() - before - STEP)
