"""A pager: full screen, `/word` searches, Ctrl-Z leaves the screen as it found it, q quits."""

import curses
import sys


def main(screen: curses.window) -> None:
    with open(sys.argv[1], encoding="utf-8") as file:
        lines = file.read().splitlines()
    top = 0
    while True:
        screen.erase()
        rows, _ = screen.getmaxyx()
        for row, line in enumerate(lines[top : top + rows - 1]):
            screen.addstr(row, 0, line)
        screen.addstr(rows - 1, 0, ":")
        screen.refresh()
        key = screen.getch()
        if key == ord("q"):
            return
        if key == ord("/"):
            word = b""
            while (key := screen.getch()) not in (10, 13):
                word += bytes((key,))
            top = lines.index(word.decode())


curses.wrapper(main)
