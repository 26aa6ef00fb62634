"""How the command line speaks to people: sizes, lengths and times, rounded. Programs read the exact ones."""

import time

_STEPS = ("bytes", "KB", "MB", "GB", "TB", "PB")
_DAY_S = 24 * 3600
_AGES = ((2 * 365 * _DAY_S, 365 * _DAY_S, "year"), (60 * _DAY_S, 30 * _DAY_S, "month"), (2 * _DAY_S, _DAY_S, "day"))


def counted(count: int, one: str, many: str | None = None) -> str:
    """`1 event`, `1,204 events`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def size(bytes_: int) -> str:
    """`512 bytes`, `4.1 MB`, `41 KB`."""
    if bytes_ < 1000:
        return counted(bytes_, "byte")
    number, step = float(bytes_), 0
    while number >= 999.5 and step < len(_STEPS) - 1:
        number, step = number / 1000, step + 1
    return f"{number:.1f} {_STEPS[step]}" if number < 9.95 else f"{number:.0f} {_STEPS[step]}"


def length(micros: int) -> str:
    """`412 ms`, `9.1 s`, `2 min 5 s`, `3 h 20 min`."""
    milliseconds = micros // 1000
    if milliseconds < 1000:
        return f"{milliseconds} ms"
    if milliseconds < 60_000:
        return f"{milliseconds / 1000:.1f} s"
    minutes, seconds = divmod(milliseconds // 1000, 60)
    if minutes < 60:
        return f"{minutes} min {seconds} s"
    return f"{minutes // 60} h {minutes % 60} min"


def clock(at_ms: int, now_ms: int) -> str:
    """For a list: as short as the distance allows, in local time. `14:03`, `Mon 14:03`, `21 Nov`, `21 Nov 2023`."""
    at, now = time.localtime(at_ms / 1000), time.localtime(now_ms / 1000)
    if at[:3] == now[:3]:
        return time.strftime("%H:%M", at)
    if 0 <= now_ms - at_ms < 6 * _DAY_S * 1000:
        return time.strftime("%a %H:%M", at)
    return f"{at.tm_mday} {time.strftime('%b' if at.tm_year == now.tm_year else '%b %Y', at)}"


def moment(at_ms: int, now_ms: int) -> str:
    """To the second, in local time: `21 Nov 14:03:11`, with the year when it is another one."""
    at, now = time.localtime(at_ms / 1000), time.localtime(now_ms / 1000)
    year = "" if at.tm_year == now.tm_year else f" {at.tm_year}"
    return f"{at.tm_mday} {time.strftime('%b', at)}{year} {time.strftime('%H:%M:%S', at)}"


def age(at_ms: int, now_ms: int) -> str:
    """`just now`, `5 min ago`, `3 h ago`, `2 days ago`; a clock that went back makes `in the future`."""
    seconds = (now_ms - at_ms) // 1000
    if seconds < -60:
        return "in the future"
    if seconds < 60:
        return "just now"
    if seconds < 2 * 3600:
        return f"{seconds // 60} min ago"
    for above, unit, name in _AGES:
        if seconds >= above:
            return f"{counted(seconds // unit, name)} ago"
    return f"{seconds // 3600} h ago"
