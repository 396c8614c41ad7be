"""Directives for what the code holds: supported estimators, the notation, the help of the commands."""

import os
import subprocess
import sys

from docutils import nodes
from docutils.parsers.rst import Directive
from docutils.statemachine import StringList
from sphinx.application import Sphinx

from pcacam_jax import NOTATION
from pcacam_jax.cam.methods import METHODS
from pcacam_jax.scikit.table import ENTRIES, FAMILIES


class TableDirective(Directive):
    """A table written as a MyST list table, so that code spans in its cells are parsed."""

    title: tuple[str, ...]

    def rows(self) -> list[tuple[str, ...]]:
        """Return the cells of every row as Markdown."""
        raise NotImplementedError

    def run(self) -> list[nodes.Node]:
        """Return the table as parsed Markdown."""
        lines = [_row(self.title), _row(tuple("---" for _ in self.title)), *map(_row, self.rows())]
        container = nodes.container(classes=["generated-table"])
        self.state.nested_parse(StringList(lines, source=self.name), self.content_offset, container)
        return [container]


def _row(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


class Estimators(TableDirective):
    """Every supported scikit-learn estimator, from the registry."""

    title = ("estimator", "stage", "formula", "outputs", "limits")

    def rows(self) -> list[tuple[str, ...]]:
        """Return a row per estimator, grouped by the family of its stage."""
        entries = sorted(ENTRIES.values(), key=lambda entry: FAMILIES.index(entry.stage))
        return [
            (f"`{entry.kind.__name__}`", entry.stage, f"`{entry.formula}`", ", ".join(entry.spaces), entry.limits)
            for entry in entries
        ]


class Notation(TableDirective):
    """The paper's symbols beside the names in the code."""

    title = ("paper", "here", "shape", "meaning")

    def rows(self) -> list[tuple[str, ...]]:
        """Return a row per symbol."""
        return [
            (f"`{line.symbol}`", f"`{line.name}`", f"`{line.shape}`" if line.shape else "", line.meaning)
            for line in NOTATION
        ]


class CamMethods(TableDirective):
    """Every CAM method, from the table of methods."""

    title = ("method", "paper", "formula", "what it answers", "needs", "passes", "rule")

    def rows(self) -> list[tuple[str, ...]]:
        """Return a row per method."""
        return [
            (
                f"`{name}`",
                method.paper,
                f"`{method.formula}`",
                method.answers,
                method.needs,
                str(method.passes),
                method.rule,
            )
            for name, method in METHODS.items()
        ]


class CommandHelp(Directive):
    """The output of ``pcacam COMMAND --help``."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return the help as a literal block."""
        script = "from pcacam_jax.cli import main; main()"
        environment = {**os.environ, "COLUMNS": "100", "NO_COLOR": "1", "TERM": "dumb"}
        command = [sys.executable, "-c", script, self.arguments[0], "--help"]
        text = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
        return [nodes.literal_block(text, text.rstrip(), language="text")]


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directives."""
    app.add_directive("estimator-table", Estimators)
    app.add_directive("cam-method-table", CamMethods)
    app.add_directive("notation-table", Notation)
    app.add_directive("command-help", CommandHelp)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
