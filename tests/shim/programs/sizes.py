"""Says its terminal's size whenever it changes, and at the end, which is when its standard input or `go` says so."""

import os
import signal
import sys


def say(*_: object) -> None:
    columns, rows = os.get_terminal_size(1)
    os.write(1, b"SIZE %dx%d\n" % (rows, columns))


signal.signal(signal.SIGWINCH, say)
os.write(1, b"READY\n")
with open(sys.argv[1], "rb") as gate:
    gate.read()
say()
