"""A terminal in which the tool runs: a pseudo-terminal whose output is shown on a screen, and which can be resized."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
import unicodedata
from collections.abc import Callable
from pathlib import Path

#: A control sequence with its parameters and its final character.
SEQUENCE = re.compile(r"\x1b\[([?0-9;]*)([A-Za-z])")
#: Time without output after which a stopped process has no more output.
QUIET_SECONDS = 0.05


def columns_of(character: str) -> int:
    """Returns the number of columns that a terminal uses for a character."""
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


class Row:
    """A row of the screen."""

    def __init__(self) -> None:
        self.cells: list[str] = []
        #: True if the text continues in the next row, because it was too long for this one.
        self.continues = False

    def write(self, column: int, character: str) -> None:
        """Writes a character at a column."""
        width = columns_of(character)
        self.cells += [" "] * (column + width - len(self.cells))
        self.cells[column : column + width] = [character] + [""] * (width - 1)

    @property
    def text(self) -> str:
        """The text of the row."""
        return "".join(self.cells).rstrip()


class Screen:
    """A screen with its scrollback. When its width changes, it wraps its text again, as most terminals do.

    A control sequence that the tool does not need is an error, so that nothing is ignored by accident.
    """

    def __init__(self, columns: int, lines: int = 24) -> None:
        self.columns, self.lines = columns, lines
        self._rows = [Row()]
        self._row = self._column = 0
        self._rest = ""

    def rows(self) -> list[str]:
        """Returns the text of all rows, including those that have scrolled out of the screen."""
        return [row.text for row in self._rows]

    @property
    def text(self) -> str:
        """The text of all rows, without the breaks that the terminal inserted."""
        return "".join(row.text + ("" if row.continues else "\n") for row in self._rows)

    @property
    def _top(self) -> int:
        """Index of the first visible row."""
        return max(0, len(self._rows) - self.lines)

    def feed(self, text: str) -> None:
        """Shows output of the tool."""
        text, self._rest = self._rest + text, ""
        position = 0
        while position < len(text):
            character = text[position]
            if character != "\x1b":
                self._show(character)
                position += 1
            elif match := SEQUENCE.match(text, position):
                self._control(match[1], match[2])
                position = match.end()
            elif len(text) - position < 16:
                # The rest of the sequence has not been read yet.
                self._rest = text[position:]
                return
            else:
                raise AssertionError(f"unknown control sequence: {text[position : position + 16]!r}")

    def _show(self, character: str) -> None:
        if character == "\r":
            self._column = 0
        elif character == "\n":
            self._down()
        elif character == "\b":
            self._column = max(0, self._column - 1)
        elif character == "\a":
            pass
        else:
            assert character.isprintable(), f"unknown control character {character!r}"
            # A full row is continued only by the next character.
            if self._column + columns_of(character) > self.columns:
                self._rows[self._row].continues = True
                self._down()
                self._column = 0
            self._rows[self._row].write(self._column, character)
            self._column += columns_of(character)

    def _down(self) -> None:
        self._row += 1
        if self._row == len(self._rows):
            self._rows.append(Row())

    def _control(self, parameters: str, final: str) -> None:
        row = self._rows[self._row]
        match parameters, final:
            case _, "m":
                pass
            case count, "A" if count.isdigit():
                self._row = max(self._top, self._row - int(count))
            case "" | "0", "K":
                del row.cells[self._column :]
                row.continues = False
            case "" | "0", "J":
                del row.cells[self._column :]
                row.continues = False
                for below in self._rows[self._row + 1 :]:
                    below.cells, below.continues = [], False
            case _:
                raise AssertionError(f"unknown control sequence: {parameters}{final}")

    def resize(self, columns: int) -> None:
        """Changes the width and wraps the text again."""
        lines: list[tuple[list[str], int | None]] = [([], None)]
        for number, row in enumerate(self._rows):
            cells, cursor = lines[-1]
            if number == self._row:
                cursor = len(cells) + self._column
            lines[-1] = ([*cells, *row.cells], cursor)
            if not row.continues and number + 1 < len(self._rows):
                lines.append(([], None))
        self.columns, self._rows = columns, []
        for cells, cursor in lines:
            first = len(self._rows)
            starts = range(0, max(len(cells), 1), columns)
            for start in starts:
                row = Row()
                row.cells, row.continues = cells[start : start + columns], start != starts[-1]
                self._rows.append(row)
            if cursor is not None:
                self._row = min(first + cursor // columns, len(self._rows) - 1)
                self._column = cursor % columns


class Terminal:
    """A run of the tool in a terminal, whose keyboard is `type` and whose window can be resized."""

    def __init__(self, command: list[str], folder: Path, environment: dict[str, str], columns: int) -> None:
        self.screen = Screen(columns)
        self._master, slave = pty.openpty()
        self._set_size(columns)

        def take_terminal() -> None:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            fcntl.ioctl(slave, termios.TIOCSCTTY, 0)

        self.process = subprocess.Popen(
            command, cwd=folder, env=environment, stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
            preexec_fn=take_terminal,
        )  # fmt: skip
        os.close(slave)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._master)

    def _set_size(self, columns: int) -> None:
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", self.screen.lines, columns, 0, 0))

    def _read(self, seconds: float) -> bool:
        """Shows the next output; returns whether there was any within this time."""
        if not select.select([self._master], [], [], seconds)[0]:
            return False
        with contextlib.suppress(OSError):
            self.screen.feed(os.read(self._master, 65536).decode("utf-8", "replace"))
            return True
        return False

    def show_until(self, condition: Callable[[Screen], object], seconds: float = 60.0) -> None:
        """Shows the output until the screen fulfils a condition."""
        deadline = time.monotonic() + seconds
        while not condition(self.screen):
            assert time.monotonic() < deadline, f"not within {seconds} s:\n{self.screen.text}"
            if not self._read(0.05) and self.process.poll() is not None:
                assert condition(self.screen), f"the tool has ended:\n{self.screen.text}"

    def type(self, keys: str) -> None:
        """Types keys; `\\x03` is Ctrl-C."""
        os.write(self._master, keys.encode())

    def resize(self, columns: int) -> None:
        """Resizes the window. The process is suspended meanwhile, so that it draws nothing for the old size later."""
        self.process.send_signal(signal.SIGSTOP)
        while self._read(QUIET_SECONDS):
            pass
        self.screen.resize(columns)
        self._set_size(columns)
        self.process.send_signal(signal.SIGCONT)

    def result(self, seconds: float = 60.0) -> int:
        """Shows the output until the tool ends, and returns its exit code."""
        deadline = time.monotonic() + seconds
        while self.process.poll() is None:
            assert time.monotonic() < deadline, f"the tool did not exit:\n{self.screen.text}"
            self._read(0.05)
        while self._read(QUIET_SECONDS):
            pass
        return self.process.returncode
