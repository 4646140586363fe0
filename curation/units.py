"""Formats lengths of time and sizes in units that suit them."""

_DAY_S, _HOUR_S, _MINUTE_S = 86_400, 3_600, 60


def format_span(seconds: float) -> str:
    """Format a length of time in its two largest units, such as "2 h 5 min".

    Below ten seconds the format is "3.2 s".
    """
    if 0 < seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(max(0.0, seconds))
    if whole < _MINUTE_S:
        return f"{whole} s"
    if whole < _HOUR_S:
        return f"{whole // _MINUTE_S} min {whole % _MINUTE_S} s"
    if whole < _DAY_S:
        return f"{whole // _HOUR_S} h {whole % _HOUR_S // _MINUTE_S} min"
    return f"{whole // _DAY_S} d {whole % _DAY_S // _HOUR_S} h"


def format_bytes(size: float) -> str:
    """Format a size with three digits, in powers of 1,000, such as "1.25 GB"."""
    units = ["B", "kB", "MB", "GB", "TB"]
    while size >= 999.5 and len(units) > 1:
        size /= 1000
        units.pop(0)
    digits = 0 if units[0] == "B" or size >= 99.95 else 1 if size >= 9.995 else 2
    return f"{size:,.{digits}f} {units[0]}"
