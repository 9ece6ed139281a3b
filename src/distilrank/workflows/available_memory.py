"""How much memory this process may still take."""

from __future__ import annotations

import os
from pathlib import Path


def available_memory(*, proc: Path = Path("/proc"), cgroup: Path = Path("/sys/fs/cgroup")) -> int | None:
    """Return the bytes that can be allocated without swapping or being killed.

    On Linux the kernel's own estimate (``MemAvailable``), or what the container's limit leaves (cgroup 2)
    when that is less; elsewhere the machine's physical memory; None when the system does not say.

    Args:
        proc: Where the kernel shows its numbers.
        cgroup: Where the control group's limit is shown.
    """
    known = [bytes_ for bytes_ in (_mem_available(proc / "meminfo"), _cgroup_left(cgroup)) if bytes_ is not None]
    if known:
        return min(known)
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None


def _mem_available(meminfo: Path) -> int | None:
    """Return ``MemAvailable`` in bytes; the file gives kibibytes."""
    try:
        for line in meminfo.read_text(encoding="ascii").splitlines():
            name, _, value = line.partition(":")
            if name == "MemAvailable":
                return int(value.split()[0]) * 1024
    except (OSError, ValueError, IndexError):
        return None
    return None


def _cgroup_left(cgroup: Path) -> int | None:
    """Return the control group's limit minus its use; None when there is no limit ("max") or no such group."""
    try:
        limit = int((cgroup / "memory.max").read_text(encoding="ascii"))
        return max(0, limit - int((cgroup / "memory.current").read_text(encoding="ascii")))
    except (OSError, ValueError):
        return None
