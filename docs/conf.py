"""Settings of the documentation site, which ``make site`` builds into ``build/site``.

The pages load nothing from the network. Every code cell of a page or notebook is executed by the build; an error in one
of them, or a shell command that fails, fails the build.
"""

from __future__ import annotations

import importlib.metadata
import os
import sys
import tomllib
from pathlib import Path

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

# Processes that execute pages use the package of this checkout, one thread, and compiled code that builds share.
sys.path[:0] = [str(ROOT), str(DOCS)]
os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(DOCS), *filter(None, [os.environ.get("PYTHONPATH")])])
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TGS_CACHE_DIR", str(ROOT / "build" / "kernels"))
os.environ["IPYTHONDIR"] = str(ROOT / "build" / "ipython")

# Figures are readable on light and on dark pages.
IPYTHON = '''\
c.InlineBackend.figure_formats = {"svg"}
c.InlineBackend.rc = {
    "figure.figsize": (7, 3), "font.size": 9, "svg.fonttype": "none", "svg.hashsalt": "site",
    **dict.fromkeys(["figure.facecolor", "figure.edgecolor", "axes.facecolor", "savefig.facecolor"], "none"),
    **dict.fromkeys(["text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color",
                     "legend.labelcolor"], "#808080"),
}
c.HistoryManager.enabled = False
c.InteractiveShell.colors = "nocolor"
c.InteractiveShellApp.exec_lines = ["""
def run(command):
    import subprocess
    done = subprocess.run(command, shell=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    print(done.stdout, end="")
    if done.returncode:
        raise RuntimeError(f"exit code {done.returncode}: {command}")

get_ipython().system = run
del run
"""]
'''
profile = Path(os.environ["IPYTHONDIR"]) / "profile_default"
profile.mkdir(parents=True, exist_ok=True)
(profile / "ipython_kernel_config.py").write_text(IPYTHON, encoding="utf-8")

# Without a font for mathematics, which a reader's machine may not have, indices stand at wrong heights.
FONT = importlib.metadata.distribution("ziamath").locate_file("ziamath/fonts/STIXTwoMath-Regular.ttf")

project = "tinygrad_seq"
author = project_copyright = "The tinygrad_seq authors"
version = release = PROJECT["version"]
repository = PROJECT["urls"]["Repository"]

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "extension"]
exclude_patterns = ["style.md"]

html_theme = "furo"
html_title = "tinygrad_seq"
html_math_renderer = "mathml"
html_static_path = ["_static", str(FONT)]
html_css_files = ["site.css"]
html_copy_source = html_show_sourcelink = html_show_sphinx = False

default_role = "code"
napoleon_google_docstring = False
napoleon_use_ivar = True
autodoc_default_options = {"members": True, "member-order": "bysource"}
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented_params"
suppress_warnings = ["ref.python"]  # the word dtype in a type: of a Tensor or of a Cell?

myst_enable_extensions = ["amsmath", "attrs_inline", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 4
nb_execution_mode = "force"
nb_execution_show_tb = True
nb_execution_in_temp = True
nb_execution_timeout = 600  # per cell: a busy machine is no error
nb_merge_streams = True
