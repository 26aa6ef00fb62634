"""
Parses files in a process of its own: what is hostile enough to exhaust a parser ends this one and no other.

Standard library alone: it is started by its path. On stdin: a kind (`p` Python, `j` JSON, `t` TOML), four bytes of
length, the content; on stdout a line for each: `parses 0`, `broken LINE DETAIL`, `unknown LINE DETAIL`. Nothing is run.
"""

import json
import re
import resource
import struct
import sys
import tomllib
import warnings

MEMORY_BYTES = 1 << 30
SECONDS = 60
_ONLY_AST = 0x400  # ast.PyCF_ONLY_AST
_HEAD = struct.Struct("<cI")
_TOML_LINE = re.compile(r"\(at line (\d+), column \d+\)")
_LONGEST_DETAIL = 200


def answer(kind: bytes, content: bytes) -> str:
    try:
        if kind == b"p":
            compile(content, "<file>", "exec", _ONLY_AST, dont_inherit=True)
        elif kind == b"j":
            json.loads(content)
        else:
            tomllib.loads(content.decode())
    except SyntaxError as error:
        return f"broken {error.lineno or 0} {error.msg}"
    except json.JSONDecodeError as error:
        return f"{'unknown' if error.msg == 'Extra data' else 'broken'} {error.lineno} {error.msg}"
    except tomllib.TOMLDecodeError as error:
        line = _TOML_LINE.search(str(error))
        return f"broken {line[1] if line else 0} {error}"
    except UnicodeDecodeError:
        return "broken 0 it is not UTF-8"
    except (RecursionError, MemoryError):
        return "unknown 0 it is nested too deeply"
    except ValueError as error:  # a NUL in Python, a number of too many digits
        return f"{'broken' if kind == b'p' else 'unknown'} 0 {error}"
    return "parses 0 "


def main() -> None:
    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    while head := sys.stdin.buffer.read(_HEAD.size):
        kind, length = _HEAD.unpack(head)
        line = " ".join(answer(kind, sys.stdin.buffer.read(length)).splitlines())[:_LONGEST_DETAIL]
        sys.stdout.buffer.write(line.encode("utf-8", "backslashreplace") + b"\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
