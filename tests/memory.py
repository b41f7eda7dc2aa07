"""Largest memory of this process since it began its present program."""

from __future__ import annotations

import re
from pathlib import Path

__all__ = ["peak_memory"]


def peak_memory() -> int:
    """Bytes of memory; what the kernel calls the largest resident set of a process would count its parent's as well."""
    (kilobytes,) = re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return 1024 * int(kilobytes)
