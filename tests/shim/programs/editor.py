"""An editor as small as can be: `i` inserts until escape, Ctrl-Z suspends the whole group, `:wq` writes and quits."""

import os
import signal
import sys
import termios
import tty

path = sys.argv[-1]
cooked = termios.tcgetattr(0)


def enter() -> None:
    tty.setraw(0)
    os.write(1, b"\x1b[?1049h\x1b[H" + path.encode() + b"\r\n")


def leave() -> None:
    os.write(1, b"\x1b[?1049l")
    termios.tcsetattr(0, termios.TCSADRAIN, cooked)


def key() -> bytes:
    return os.read(0, 1)


enter()
text = b""
while True:
    pressed = key()
    if pressed == b"\x1a":
        leave()
        os.kill(0, signal.SIGTSTP)
        enter()
    elif pressed == b"i":
        while (pressed := key()) != b"\x1b":
            text += pressed
            os.write(1, pressed)
    elif pressed == b":":
        while key() != b"\r":
            pass
        break
leave()
with open(path, "wb") as file:
    file.write(text + b"\n")
