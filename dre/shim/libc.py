"""
The functions of libc that no module of the standard library offers.

By way of `_ctypes`, on which the module `ctypes` stands: that one costs four times as much, a tenth of a whole run.
"""

import _ctypes
import os


class _Int(_ctypes._SimpleCData):  # type: ignore[type-arg]  # generic for checkers alone
    _type_ = "i"


class _Function(_ctypes.CFuncPtr):
    _flags_ = _ctypes.FUNCFLAG_CDECL | _ctypes.FUNCFLAG_USE_ERRNO
    _restype_ = _Int


def call(name: str, *arguments: int | bytes) -> int:
    """Each is an int or a pointer to bytes, and so is what comes back an int. Raises OSError when that is negative."""
    program = _ctypes.dlopen(None, os.RTLD_NOW)  # type: ignore[arg-type]  # as dlopen(3) has it: all that is loaded
    result: int = _Function(_ctypes.dlsym(program, name))(*arguments)
    if result < 0:
        number = _ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
    return result
