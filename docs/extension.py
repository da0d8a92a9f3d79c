"""What the site needs beyond Sphinx: formulas as MathML, links into the repository, the reference, the commands."""

from __future__ import annotations

import importlib
import inspect
import os
import re
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, ClassVar

import typer
from docutils import nodes
from docutils.parsers.rst import directives
from docutils.statemachine import StringList
from docutils.utils.math import MathError, latex2mathml
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.writers.html5 import HTML5Translator

logger = logging.getLogger(__name__)
DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent


# -------------------------------------------------------------------------------------------------- formulas


def mathml(node: nodes.Element, *, as_block: bool) -> str:
    """Return a formula as MathML; one that docutils cannot convert is a warning, which fails the build."""
    try:
        return str(latex2mathml.tex2mathml(node.astext(), as_block=as_block))
    except (MathError, IndexError) as error:  # its parser reads beyond the end of some unfinished formulas
        logger.warning("cannot convert the formula %r: %s", node.astext(), error, location=node)
        return ""


def visit_math(self: HTML5Translator, node: nodes.math) -> None:
    self.body.append(mathml(node, as_block=False))
    raise nodes.SkipNode


def visit_math_block(self: HTML5Translator, node: nodes.math_block) -> None:
    self.body.append(f'<div class="math">{mathml(node, as_block=True)}</div>\n')
    raise nodes.SkipNode


# ----------------------------------------------------------------------------------------------------- links


def link_to_repository(app: Sphinx, page: str, source: list[str]) -> None:
    """Replace relative links to files outside `docs` by links to the repository."""
    folder = (DOCS / page).parent

    def replaced(match: re.Match[str]) -> str:
        path, mark, fragment = match[1].partition("#")
        target = Path(os.path.normpath(folder / path))
        if target.is_relative_to(DOCS) or not target.exists():
            return match[0]
        return f"]({app.config.repository}/blob/HEAD/{target.relative_to(ROOT).as_posix()}{mark}{fragment})"

    source[0] = re.sub(r"\]\((\.\./[^)\s]+)\)", replaced, source[0])


# ------------------------------------------------------------------------------------------------- reference


class Reference(SphinxDirective):
    """``.. reference:: tinygrad_seq.nn``: document the public names of a module, in the order of its ``__all__``.

    ``:from:`` limits them to those that are defined in some modules, ``:not-from:`` leaves those of some modules out.
    """

    required_arguments = 1
    option_spec: ClassVar[dict[str, Any]] = {"from": directives.unchanged, "not-from": directives.unchanged}

    def run(self) -> list[nodes.Node]:
        module = importlib.import_module(self.arguments[0])
        wanted, left_out = self.options.get("from", "").split(), self.options.get("not-from", "").split()
        lines = [
            line
            for names in public_names(module)
            if chosen(getattr(module, names[0]), wanted, left_out)
            for line in entry(module, names)
        ]
        if not lines:
            raise self.error(f"{module.__name__}: no public name is defined in {wanted}")
        return self.parse_text_to_nodes(StringList(lines, source=str(module.__file__)), allow_section_headings=False)


def public_names(module: ModuleType) -> list[list[str]]:
    """Return the documented names of a module; names of the same thing stand together, the first is its own."""
    found: dict[int, list[str]] = {}
    for name in module.__all__:
        value = getattr(module, name)
        if str(getattr(value, "__module__", "")).startswith("tinygrad_seq"):
            found.setdefault(id(value), []).append(name)
    own = {key: getattr(getattr(module, names[0]), "__name__", "") for key, names in found.items()}
    return [sorted(names, key=own[key].__ne__) for key, names in found.items()]


def chosen(value: Any, wanted: list[str], left_out: list[str]) -> bool:
    def within(prefixes: list[str]) -> bool:
        return any(f"{value.__module__}.".startswith(f"tinygrad_seq.{prefix}.") for prefix in prefixes)

    return (not wanted or within(wanted)) and not within(left_out)


def entry(module: ModuleType, names: list[str]) -> list[str]:
    """Return the directive of autodoc for one public thing."""
    value = getattr(module, names[0])
    kind = "function"
    if isinstance(value, type):
        kind = "exception" if issubclass(value, BaseException) else "class"
    lines = [f".. auto{kind}:: {module.__name__}.{names[0]}", ""]
    if names[1:]:
        lines += ["   Also: " + ", ".join(f"`{name}`" for name in names[1:]) + ".", ""]
    return lines


def prepare_docstring(app: Sphinx, what: str, name: str, value: Any, options: Any, lines: list[str]) -> None:
    """Make indented blocks of a docstring, which are equations, literal blocks; escape `|` and `*` outside of code."""
    done: list[str] = []
    section = literal = False
    for i, line in enumerate(lines):
        section |= i + 1 < len(lines) and bool(re.fullmatch(r"-{3,}", lines[i + 1]))
        if literal and line and not line.startswith("    "):
            literal = False
        if not section and not literal and line.startswith("    ") and i and not lines[i - 1]:
            before = next((text for text in reversed(lines[:i]) if text), "")
            literal = True
            if not before.endswith("::"):
                done += ["::", ""]
        quoted = literal or line.lstrip().startswith((">>>", "..."))
        done.append(line if quoted else escape(line))
    lines[:] = done


def skip_foreign(app: Sphinx, what: str, name: str, value: Any, skip: bool, options: Any) -> bool | None:
    """Leave out the methods that other packages put into our classes."""
    return None if str(getattr(value, "__module__", "tinygrad_seq")).startswith("tinygrad_seq") else True


def escape(line: str) -> str:
    """Escape what looks like markup in the text between backticks."""
    parts = re.split(r"(``.+?``|`.+?`)", line)
    return "".join(part if part.startswith("`") else re.sub(r"[|*](?=\w)", r"\\\g<0>", part) for part in parts)


# --------------------------------------------------------------------------------------------------- commands


def insert_commands(app: Sphinx, page: str, source: list[str]) -> None:
    """Replace the comment ``% commands`` of a page by the help of all commands, a section each."""
    if "% commands\n" in source[0]:
        command: Any = typer.main.get_command(importlib.import_module("tinygrad_seq.cli").app)
        shared = ["### All commands", *option_table([option for option in command.params if option.help])]
        text = "\n".join(line for item in command.commands.items() for line in command_section(*item))
        source[0] = source[0].replace("% commands\n", text + "\n".join(shared) + "\n")


def command_section(name: str, command: Any) -> list[str]:
    """Return the help of one command as Markdown."""
    arguments = [option for option in command.params if not option.opts[0].startswith("-")]
    usage = " ".join(["tinygrad-seq", name, *map(argument_text, arguments), "[OPTIONS]"])
    examples = [line.strip() for line in (command.epilog or "").split("\n") if line.strip().startswith("tinygrad-seq")]
    lines = [f"### {name}", "", escape_markdown(inspect.cleandoc(command.help)), "", "```text", usage, "```", ""]
    groups: dict[str, list[Any]] = {}
    for option in command.params:
        if not option.hidden:
            groups.setdefault(option.rich_help_panel or "", []).append(option)
    for title, options in groups.items():
        lines += [*([f"**{title}**", ""] if title else []), *option_table(options)]
    return [*lines, *(["Examples:", "", "```text", *examples, "```"] if examples else []), ""]


def argument_text(argument: Any) -> str:
    """Return how an argument without a name stands in the usage."""
    text = (argument.metavar or argument.name).upper() + ("..." if argument.nargs == -1 else "")
    return text if argument.required else f"[{text}]"


def option_table(options: list[Any]) -> list[str]:
    """Return options as a table: their names, what they do, their defaults."""
    rows = []
    for option in options:
        named = option.opts[0].startswith("-")
        spellings = ", ".join(f"`{name}`" for name in [*option.opts, *option.secondary_opts])
        names = spellings if named else argument_text(option)
        default = option.default
        if isinstance(option.show_default, str):
            default = option.show_default
        elif default is None or default == () or isinstance(default, bool) or callable(default):
            default = ""
        rows.append(f"| {names} | {escape_markdown(option.help or '')} | {escape_markdown(str(default))} |")
    return ["", "| option | what it does | default |", "|---|---|---|", *rows, ""]


def escape_markdown(text: str) -> str:
    """Escape what Markdown would read as markup in the text of a terminal."""
    return re.sub(r"[<>*_|`]", r"\\\g<0>", text)


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_config_value("repository", "", "env")
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_math_block, None))
    app.add_directive("reference", Reference)
    app.connect("source-read", link_to_repository)
    app.connect("source-read", insert_commands)
    app.connect("autodoc-skip-member", skip_foreign)
    app.connect("autodoc-process-docstring", prepare_docstring, priority=100)  # before napoleon
    return {"parallel_read_safe": True, "parallel_write_safe": True}
