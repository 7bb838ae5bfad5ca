"""Runs the emulator, or another module beside it, for xtask.

`launch.py detached MODULE ARGUMENTS` leaves the terminal's session, so that Ctrl-C there and its closing do not reach it.
`launch.py watched MODULE ARGUMENTS` ends as soon as its standard input does: with whoever started it, however that ended.
"""

import os
import runpy
import sys
import threading


def watch() -> None:
    """Wait for the end of the standard input, which nobody writes to."""
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
