"""The documentation: its Python blocks run from top to bottom, and its prose keeps to the vocabulary."""

import ast
import io
import re
import tokenize
from pathlib import Path

import matplotlib as mpl
import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted(path for path in (ROOT / "docs").rglob("*.md") if "_build" not in path.parts)
PACKAGE = sorted((ROOT / "pcacam_jax").rglob("*.py"))
WORDS = re.compile(
    r"\b(doors?|rooms?|roofs?|floors?|alphabet|witness(es)?|by-products?|anew|told|refus(e|es|ed|al|als|ing)|"
    r"(to|be) had|by heart)\b",
    re.IGNORECASE,
)
"""House words for which the field has its own: lazily imported, module, reference method, residuals, raises, ..."""
MACHINE = re.compile(
    r"(?<!vector )(?<!kernel )(?<!virtual )\bmachines?\b(?! epsilon| learning|-readable)", re.IGNORECASE
)
"""An SVM is called an SVM."""
NAMES = {"own", "found", "wanted", "told", "said"}
"""Variables say what they hold."""
CODE = re.compile(r"``[^`]*``|`[^`]*`|:\w+:`[^`]*`|^ +\w+: ", re.MULTILINE)
"""Code, and the names of arguments in docstrings."""


def blocks(page):
    return re.findall(r"^```python\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)], ids=lambda page: page.stem)
def test_the_python_of_a_page_runs_from_top_to_bottom(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    mpl.use("agg")
    names: dict = {"__name__": "__main__"}
    for number, block in enumerate(blocks(page), start=1):
        exec(compile(block, f"{page.name}, block {number}", "exec"), names)


def prose_of(path):
    """Yield (line, text) of the comments of a module and of its strings of several words, docstrings among them."""
    source = path.read_text()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], CODE.sub("", token.string)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value.strip():
            yield node.lineno, CODE.sub("", node.value)


def house_words(text):
    return [match.group() for pattern in (WORDS, MACHINE) for match in pattern.finditer(text)]


def test_the_package_speaks_plain_english():
    lines = [
        f"{path.relative_to(ROOT)}:{line}: {words}"
        for path in PACKAGE
        for line, text in prose_of(path)
        if (words := house_words(text))
    ]
    assert not lines, "\n".join(lines)


@pytest.mark.parametrize("page", [ROOT / "README.md", *PAGES], ids=lambda page: page.stem)
def test_the_pages_speak_plain_english(page):
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    assert not house_words(CODE.sub("", text))


def bound_names(path):
    """Yield (line, name) of every variable and argument of a module."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg


def test_variables_of_the_package_say_what_they_hold():
    lines = [
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for path in PACKAGE
        for line, name in bound_names(path)
        if name in NAMES
    ]
    assert not lines, "\n".join(lines)


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


def test_house_words_are_recognised():
    assert house_words("It is refused at the door of the room.") == ["refused", "door", "room"]
    assert house_words("the RBF machine") == ["machine"]
    assert not house_words("a support vector machine, a kernel machine, machine epsilon, an armchair")
