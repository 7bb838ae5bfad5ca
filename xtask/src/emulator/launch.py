"""Runs the emulator, or another module next to it, for xtask.

`launch.py detached MODULE ARGUMENTS` leaves the terminal's session, so that neither Ctrl-C nor closing the terminal
affects it. `launch.py watched MODULE ARGUMENTS` ends when its standard input is closed. It thus ends with the process
that started it, even if that process crashes.
"""

import os
import runpy
import sys
import threading


def watch() -> None:
    """Waits until the standard input is closed, and then ends the process. Nothing is ever written to the standard
    input.
    """
    sys.stdin.buffer.read()
    os._exit(0)


if __name__ == "__main__":
    mode, module = sys.argv.pop(1), sys.argv.pop(1)
    sys.path[0] = os.environ["PB_EMULATOR_SOURCES"]
    if mode == "detached":
        os.setsid()
    else:
        threading.Thread(target=watch, daemon=True).start()
    sys.argv[0] = module
    runpy.run_module(module, run_name="__main__", alter_sys=True)
