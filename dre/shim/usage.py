"""What `dre wrap --help` prints."""

TEXT = """\
Usage: dre wrap [OPTIONS] [--] COMMAND [ARGS...]

Run COMMAND exactly as if DRE were not there, and keep what happened: its output,
how it ended, the files it started from and those it changed. The exit status is
the command's own.

Options:
  --wait            stay until it is recorded, and say so
  --verify          stay until it is judged, and say the verdict
  --gate            as --verify, and turn the command's 0 into 1 (failed) or 3 (inconclusive)
  --timeout T       end the command and all it started after T (90, 90s, 5m, 1h): TERM, 5 s later KILL; exit 124
  --strict          if it cannot be recorded, or that would have to wait, do not start it; exit 125
  --no-workspace    do not look at the git work tree; it can then not be judged passed
  --label K=V       attach a label; may be repeated
  --writes GLOB     say where it is meant to change files; may be repeated
  --id-file PATH    write the operation's id there once it is captured
  --quiet           no closing line on a terminal
  --no-color        the closing line in plain text
  -C DIR            work as if started in DIR
  -h, --help        this text

The first word that is no option starts the command; -- ends the options.

Example:
  dre wrap --label suite=unit pytest -q
  dre show last

Exit status: the command's own, or death by its signal; 126 it could not be run,
127 there is no such command, 124 out of time, 125 refused (--strict), 2 wrong usage.
"""
