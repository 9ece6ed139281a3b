"""Drawing with matplotlib for a page: SVG text whose colours and fonts are the page's own.

A figure is drawn in placeholder colours, each of which is replaced by a CSS variable, so that one drawing serves both
the light and the dark page.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from distilrank.errors import MissingExtraError

try:
    import matplotlib
    from matplotlib import ticker as ticker
    from matplotlib.figure import Figure
except ImportError as error:
    raise MissingExtraError("matplotlib", extra="evaluate", purpose="to draw the report") from error

INK, MUTED, FAINT = "#010101", "#020202", "#030303"
SERIES = ("#110101", "#110102", "#110103", "#110104", "#110105", "#110106")
GAIN, LOSS = "#210101", "#210102"

LIGHT = {
    "--paper": "#fdfcfa",
    "--card": "#ffffff",
    "--ink": "#1d2126",
    "--muted": "#5b636e",
    "--line": "#e4e1db",
    "--mark": "#f3f0ea",
    "--series-1": "#2563a8",
    "--series-2": "#c2561a",
    "--series-3": "#2f7d4f",
    "--series-4": "#8b4a9c",
    "--series-5": "#9a7400",
    "--series-6": "#4a6572",
    "--gain": "#2f7d4f",
    "--loss": "#b8433c",
}
"""The light page's variables, which a drawing in a file of its own has too."""

_VARIABLES = {
    INK: "--ink",
    MUTED: "--muted",
    FAINT: "--line",
    **{colour: f"--series-{place}" for place, colour in enumerate(SERIES, start=1)},
    GAIN: "--gain",
    LOSS: "--loss",
}
_STYLE: dict[Any, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": FAINT,
    "axes.grid": True,
    "axes.labelcolor": MUTED,
    "axes.labelsize": 11,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titlesize": 12,
    "axes.titleweight": "bold",
    "figure.constrained_layout.use": True,
    "font.family": "sans-serif",
    "font.size": 11,
    "grid.color": FAINT,
    "grid.linewidth": 0.8,
    "svg.fonttype": "none",
    "svg.hashsalt": "distilrank",
    "text.color": INK,
    "text.parse_math": False,  # names come from users: a dollar sign is a dollar sign
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.major.size": 0,
    "xtick.minor.size": 0,
    "ytick.major.size": 0,
    "ytick.minor.size": 0,
}


@contextmanager
def drawing(width: float, height: float) -> Iterator[Figure]:
    """Yield an empty figure of so many inches (72 to the inch on the page) in the style of the report."""
    with matplotlib.rc_context(_STYLE):
        yield Figure(figsize=(width, height))


def to_svg(figure: Figure, *, name: str, description: str) -> str:
    """Return a figure as an ``<svg>`` element to stand inside a page.

    Args:
        figure: Drawn in the colours of this module, inside ``drawing``.
        name: Unique on the page, letters only: it keeps the ids inside the drawing apart from other drawings' ids.
        description: Read out to those who do not see the drawing.
    """
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    svg = re.sub(r"url\(#", f"url(#{name}-", svg)
    svg = re.sub(r'href="#', f'href="#{name}-', svg)
    svg = re.sub(r"'DejaVu Sans'[^;\"]*", "var(--sans)", svg)
    for colour, variable in _VARIABLES.items():
        svg = svg.replace(colour, f"var({variable})")
    # The size is the page's business; the view box keeps the proportions.
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1)
    return svg.replace("<svg ", f'<svg role="img" aria-label="{_attribute(description)}" ', 1)


def standalone(svg: str) -> str:
    """Return a drawing of ``to_svg`` as a file of its own, on light paper."""
    for variable, colour in {**LIGHT, "--sans": "sans-serif"}.items():
        svg = svg.replace(f"var({variable})", colour)
    paper = f'<rect width="100%" height="100%" fill="{LIGHT["--paper"]}"/>'
    return '<?xml version="1.0" encoding="utf-8"?>\n' + re.sub(r"(<svg[^>]*>)", rf"\1{paper}", svg, count=1)


def _attribute(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;").replace(">", "&gt;")
