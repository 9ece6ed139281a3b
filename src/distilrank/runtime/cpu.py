"""What a processor is called and which 8-bit arithmetic it has; the same int8 file ranks differently on another one.

Processors without VNNI multiply pairs of 8-bit numbers into 16 bits and add with saturation. With signed weights that
can be wrong, so AVX2 gets unsigned weights, whose kernel widens first, and AVX-512 without VNNI weights of 7 bits.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Arithmetic = Literal["avx512_vnni", "avx512", "avx2", "arm64"]
"""As sentence-transformers and optimum name the files for them. AVX-VNNI, the same without AVX-512, counts as
``avx512_vnni``; any other x86 as ``avx2``, whose files are right everywhere."""

_CPUINFO = Path("/proc/cpuinfo")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cpu:
    """The processor of a machine.

    Attributes:
        name: As the system calls it.
        arithmetic: Its best.
    """

    name: str
    arithmetic: Arithmetic

    def as_dict(self) -> dict[str, str]:
        """Return the fields by name, for JSON."""
        return {"name": self.name, "arithmetic": self.arithmetic}


def this_cpu() -> Cpu:
    """Return the processor that this runs on."""
    machine = platform.machine().lower()
    try:
        facts = _facts(_CPUINFO.read_text(encoding="utf-8", errors="replace"))
    except OSError:  # no Linux
        facts = {}
    name = facts.get("model name") or platform.processor() or machine
    if machine in ("arm64", "aarch64"):
        return Cpu(name=name, arithmetic="arm64")
    return Cpu(name=name, arithmetic=best_arithmetic(frozenset(facts.get("flags", "").split())))


def best_arithmetic(flags: frozenset[str]) -> Arithmetic:
    """Return the best that the flags of an x86 processor allow."""
    if flags & {"avx512_vnni", "avx_vnni"}:
        return "avx512_vnni"
    return "avx512" if "avx512bw" in flags else "avx2"


def _facts(text: str) -> dict[str, str]:
    """Return the lines about the first processor."""
    lines = (line.partition(":") for line in text.split("\n\n")[0].splitlines())
    return {name.strip(): value.strip() for name, _, value in lines}
