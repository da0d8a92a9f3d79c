"""Matplotlib figures as SVG elements of an HTML page.

A page has several figures and two colour schemes. So the ids of a figure begin with its number, text takes the font of
the page, and the colours below become variables of the style sheet (page.css), which have two values each.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree as ET

from ..base.files import printable
from .curve import figures
from .markup import Markup, element

INK, FAINT = "#010101", "#020202"
SERIES = ("#030101", "#030102", "#030103", "#030104", "#030105", "#030106")
"""Series 0 to 2 are training, held-out text and test; 3 is what has no parts."""
_VARIABLES = {INK: "currentColor", FAINT: "var(--faint)"} | {
    code: f"var(--series-{number})" for number, code in enumerate(SERIES)
}

WIDTH = 4.2
"""Width of a figure in inches. A phone shows it at 1.2 times its size, a desktop at 1.7 times: 8 points fit both."""

_SETTINGS = {
    "svg.fonttype": "none",
    "svg.hashsalt": "tinygrad_seq",
    "font.size": 8,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": FAINT,
    "axes.linewidth": 0.7,
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.5,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "figure.facecolor": "none",
    "lines.linewidth": 1.6,
}
_SVG, _LINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}href"
_COLOUR = re.compile(r"#[0-9a-f]{6}")


class Figures:
    """Draws the figures of one page.

    Parameters
    ----------
    caller : str
        The name of the function that the user called.

    Raises
    ------
    ArgumentError
        If matplotlib is not installed.
    """

    def __init__(self, caller: str) -> None:
        self._make, self._count = figures(caller), 0

    def draw(
        self, height: float, paint: Callable[[Any], None], label: str, *caption: str, legend: Markup | str = ""
    ) -> Markup:
        """Return a ``<figure>``.

        Parameters
        ----------
        height
            Height in inches; the width is `WIDTH`.
        paint
            Draws on the matplotlib figure that it is given.
        label
            What the figure shows: its heading, and the text for those who cannot see it.
        *caption
            What to know in order to read it.
        legend
            A legend, which stands above the figure.
        """
        import matplotlib as mpl
        import matplotlib.text

        written = io.BytesIO()
        with mpl.rc_context():
            mpl.rcdefaults()
            mpl.rcParams.update(_SETTINGS)
            figure = self._make(WIDTH, height)
            figure.set_layout_engine("none")
            paint(figure)
            for text in figure.findobj(mpl.text.Text):
                text.set_text(printable(text.get_text()))  # XML has no control characters
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "Glyph .* missing from font")  # the browser has others
                figure.savefig(written, format="svg", transparent=True, metadata={"Date": None})
        self._count += 1
        svg = _inline(written.getvalue().decode(), f"f{self._count}-", label)
        below = [element("p", *caption)] if caption else []
        return element("figure", element("figcaption", element("b", label), legend), svg, *below)


def _inline(written: str, prefix: str, label: str) -> Markup:
    """Return the SVG file that matplotlib wrote as an element of a page; its ids begin with `prefix`."""
    root = ET.fromstring(written)
    for child in list(root):
        if child.tag != f"{_SVG}g":  # metadata, and a style that would be that of the whole page
            root.remove(child)
    links = {link[1:] for node in root.iter() for link in _links(node)}
    for node in root.iter():
        node.tag = node.tag.removeprefix(_SVG)
        name = node.attrib.pop("id", None)
        if name in links:
            node.set("id", prefix + name)
        for key, value in list(node.attrib.items()):
            if key == _LINK and value.startswith("#"):
                node.set(key, f"#{prefix}{value[1:]}")
            elif key == "clip-path":
                node.set(key, value.replace("url(#", f"url(#{prefix}"))
            elif key == "style":
                node.set(key, _restyled(value))
    for unneeded in ("width", "height", "version"):
        root.attrib.pop(unneeded, None)
    root.set("role", "img")
    root.set("aria-label", label)
    ET.register_namespace("xlink", _LINK[1:-5])
    return Markup(ET.tostring(root, encoding="unicode"))


def _links(node: ET.Element) -> list[str]:
    found = [node.get(_LINK, ""), node.get("clip-path", "").removeprefix("url(").removesuffix(")")]
    return [link for link in found if link.startswith("#")]


def _restyled(style: str) -> str:
    """Return a style without a font family, with the colours of the page."""
    parts = [part.strip() for part in style.split(";")]
    kept = "; ".join([part for part in parts if part and not part.startswith("font-family")])
    return _COLOUR.sub(lambda found: _VARIABLES.get(found[0], found[0]), kept)
