"""Configuration of the documentation site: ``make site`` builds it into ``build/site``.

The pages load nothing from the network: formulas become MathML, which browsers draw themselves, with a font of the
package `ziamath` that the build copies. Every code cell of a page
or notebook is executed by the build, with figures as SVG; an error in one of them fails the build.
"""

from __future__ import annotations

import importlib.util
import os
import re
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from docutils import nodes
from docutils.utils.math import latex2mathml

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.writers.html5 import HTML5Translator

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
# The machine of a reader may have no font for mathematics, without which indices stand at wrong heights.
FONT = Path(importlib.util.find_spec("ziamath").submodule_search_locations[0]) / "fonts" / "STIXTwoMath-Regular.ttf"

# Processes that execute pages use the package of this checkout, one thread, and compiled code that builds share.
sys.path.insert(0, str(ROOT))
os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TGS_CACHE_DIR", str(ROOT / "build" / "kernels"))
os.environ["IPYTHONDIR"] = str(ROOT / "build" / "ipython")

project = "tinygrad_seq"
author = "The tinygrad_seq authors"
project_copyright = author
version = release = PROJECT["version"]

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["style.md"]
html_theme = "furo"
html_title = "tinygrad_seq"
html_math_renderer = "mathml"
html_static_path = ["_static", str(FONT)]
html_css_files = ["site.css"]
html_copy_source = html_show_sourcelink = False
html_show_sphinx = False
default_role = "code"
napoleon_google_docstring = False
myst_enable_extensions = ["amsmath", "attrs_inline", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 4
nb_execution_mode = "force"
nb_execution_raise_on_error = nb_execution_show_tb = True
nb_execution_in_temp = True
nb_execution_timeout = 60
nb_merge_streams = True

# A shell command (`!command`) that fails is an error, too.
IPYTHON = '''\
c.InlineBackend.figure_formats = {"svg"}
c.InlineBackend.rc = {"figure.figsize": (7, 3), "font.size": 9, "svg.fonttype": "none", "svg.hashsalt": "site"}
c.HistoryManager.enabled = False
c.InteractiveShellApp.exec_lines = ["""
def checked(command, run=get_ipython().system):
    run(command)
    if code := get_ipython().user_ns["_exit_code"]:
        raise RuntimeError(f"exit code {code}: {command}")

get_ipython().system = checked
del checked
"""]
'''


def formula(node: nodes.math | nodes.math_block, block: bool) -> str:
    """Return a formula as MathML."""
    return str(latex2mathml.tex2mathml(node.astext(), as_block=block))


def visit_math(self: HTML5Translator, node: nodes.math) -> None:
    self.body.append(formula(node, block=False))
    raise nodes.SkipNode


def visit_displaymath(self: HTML5Translator, node: nodes.math_block) -> None:
    self.body.append(f'<div class="math">{formula(node, block=True)}</div>\n')
    raise nodes.SkipNode


def link_to_repository(app: Sphinx, page: str, source: list[str]) -> None:
    """Replace relative links to files outside `docs` by links to the repository."""
    here = (ROOT / "docs" / page).parent
    url = PROJECT["urls"]["Repository"]

    def replaced(match: re.Match[str]) -> str:
        path, _, fragment = match[1].partition("#")
        target = Path(os.path.normpath(here / path))
        if target.is_relative_to(ROOT / "docs") or not target.exists():
            return match[0]
        return f"]({url}/blob/HEAD/{target.relative_to(ROOT).as_posix()}{'#' * bool(fragment)}{fragment})"

    source[0] = re.sub(r"\]\((\.\./[^)\s]+)\)", replaced, source[0])


def setup(app: Sphinx) -> dict[str, Any]:
    profile = ROOT / "build" / "ipython" / "profile_default"
    profile.mkdir(parents=True, exist_ok=True)
    (profile / "ipython_kernel_config.py").write_text(IPYTHON, encoding="utf-8")
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_displaymath, None))  # type: ignore[arg-type]
    app.connect("source-read", link_to_repository)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
