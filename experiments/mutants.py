"""Question: would a wrong formula be noticed? Formulas of cam/ and stages/ are broken, one at a time, and tested.

Command: python experiments/mutants.py --count 400 --out mutants.json
Answer:  395 mutants of the sample were tried, 357 were killed. Of the 38 survivors, 23 give the same maps (constants
         that cancel, indices that JAX clips, sizes of blocks and batches, bounds of rounding), 2 fail other tests
         of this project, and for 13 there are tests now.

A mutant changes one operator, number, comparison, sign or function of an expression. It is killed if a test fails, or
takes too long. The survivors are printed with their lines; they are equivalent to the original, or a test is missing.
An interrupted run continues where it stopped.
"""

import argparse
import ast
import copy
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from pcacam_jax.core.files import write_json

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "pcacam_jax"
TIMES_LONGER = 4
"""A mutant whose tests take this many times as long as the tests of the original is killed."""
OPERATORS = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.Pow: ast.Mult}
COMPARISONS = {ast.Lt: ast.GtE, ast.Gt: ast.LtE, ast.LtE: ast.Gt, ast.GtE: ast.Lt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq}
FUNCTIONS = {"sum": "mean", "mean": "sum", "max": "min", "min": "max", "maximum": "minimum", "minimum": "maximum"}
IGNORED = {"memory.py", "trust_words.py", "method.py", "methods.py", "options.py", "__init__.py"}
"""Files without formulas."""

TESTS = {
    "stages": ["tests/stages/test_stages.py", "tests/stages", "tests/cam/test_methods.py"],
    "cam": ["tests/cam/test_methods.py", "tests/cam"],
}
"""The tests of each package, those that fail most often first."""


def mutations(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the changed forms of one node."""
    if isinstance(node, ast.BinOp) and type(node.op) in OPERATORS and not _is_text(node):
        yield ast.BinOp(node.left, OPERATORS[type(node.op)](), node.right)
        yield node.left
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.Invert):
        yield node.operand
    elif isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in COMPARISONS:
        yield ast.Compare(node.left, [COMPARISONS[type(node.ops[0])]()], node.comparators)
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        if node.func.attr in FUNCTIONS:
            changed = copy.deepcopy(node)
            changed.func.attr = FUNCTIONS[node.func.attr]  # pyright: ignore
            yield changed
        elif node.func.attr in ("relu", "abs", "exp", "sqrt", "tanh") and len(node.args) == 1:
            yield node.args[0]
    elif isinstance(node, ast.Constant) and isinstance(node.value, int | float) and not isinstance(node.value, bool):
        yield ast.Constant(node.value + 1)


def _is_text(node: ast.BinOp) -> bool:
    return any(
        isinstance(part, ast.JoinedStr | ast.Constant) and not isinstance(getattr(part, "value", 0), int | float)
        for part in (node.left, node.right)
    )


class Replacer(ast.NodeTransformer):
    """Replaces the expression at one place of a tree."""

    def __init__(self, place: int, form: int) -> None:
        self.place, self.form, self.count, self.line = place, form, -1, 0

    def visit(self, node: ast.AST) -> Any:
        """Count the nodes in their order and replace the chosen one."""
        self.count += 1
        if self.count == self.place:
            self.line = getattr(node, "lineno", 0)
            return ast.copy_location(list(mutations(node))[self.form], node)
        return self.generic_visit(node)


def candidates(path: Path) -> list[tuple[int, int]]:
    """Return the places and forms of all mutants of a file, outside of docstrings, annotations and error messages."""
    tree, found, count = ast.parse(path.read_text()), [], -1

    def walk(node: ast.AST, skipped: bool) -> None:
        nonlocal count
        count += 1
        skipped = skipped or isinstance(node, ast.Raise | ast.JoinedStr | ast.arguments | ast.Import | ast.ImportFrom)
        if not skipped:
            found.extend((count, form) for form, _ in enumerate(mutations(node)))
        for name, value in ast.iter_fields(node):
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    walk(child, skipped or name in ("annotation", "returns", "decorator_list"))

    walk(tree, False)
    return found


def all_mutants(seed: int) -> list[tuple[str, int, int]]:
    """Return every mutant as (file, place, form) in a random order."""
    files = [path for folder in TESTS for path in sorted((PACKAGE / folder).glob("*.py")) if path.name not in IGNORED]
    mutants = [(str(path.relative_to(PACKAGE)), *chosen) for path in files for chosen in candidates(path)]
    random.Random(seed).shuffle(mutants)
    return mutants


def run_tests(name: str, folder: str, compiled: Path, seconds: float | None = None) -> bool:
    """Return whether the tests of a file pass with the package in ``folder``.

    Raises:
        subprocess.TimeoutExpired: the tests take longer than ``seconds``.
    """
    tests = TESTS[name.partition("/")[0]]
    near = ROOT / "tests" / name.replace("/", "/test_")
    first = [str(near)] if near.is_file() else tests[:1]
    # Without the safe path, Python would import the package of the working directory.
    paths = {"PYTHONPATH": folder, "PYTHONSAFEPATH": "1", "JAX_COMPILATION_CACHE_DIR": str(compiled)}
    for some in (first, tests):
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-n", "0", "-p", "no:cacheprovider", *some]
        if subprocess.run(command, cwd=ROOT, env=os.environ | paths, capture_output=True, timeout=seconds).returncode:
            return False
    return True


def seconds_without_mutants(compiled: Path) -> dict[str, float]:
    """Return how long the tests of each package take if nothing is changed and everything is compiled."""
    seconds = {}
    for package in TESTS:
        for _ in range(2):
            start = time.monotonic()
            if not run_tests(f"{package}/none.py", str(ROOT), compiled):
                raise SystemExit(f"the tests of {package} fail without any change; mend them first.")
            seconds[package] = time.monotonic() - start
    return seconds


def tried(mutant: tuple[str, int, int], compiled: Path, seconds: dict[str, float]) -> dict[str, Any]:
    """Run the tests of one mutant in a copy of the package."""
    name, place, form = mutant
    with tempfile.TemporaryDirectory() as folder:
        copied = Path(folder) / "pcacam_jax"
        shutil.copytree(PACKAGE, copied, ignore=shutil.ignore_patterns("__pycache__"))
        tree, replacer = ast.parse((copied / name).read_text()), Replacer(place, form)
        before = ast.unparse(tree)
        changed = ast.unparse(ast.fix_missing_locations(replacer.visit(tree)))
        (copied / name).write_text(changed)
        limit = TIMES_LONGER * seconds[name.partition("/")[0]]
        try:
            outcome = "survived" if run_tests(name, folder, compiled, limit) else "killed"
        except subprocess.TimeoutExpired:
            outcome = "killed (time)"
    lines = [(a, b) for a, b in zip(before.splitlines(), changed.splitlines(), strict=False) if a != b]
    return {"file": name, "line": replacer.line, "place": place, "form": form, "outcome": outcome, "change": lines[:1]}


def main() -> None:
    """Try mutants, save every outcome, and print the score and the survivors."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("mutants.json"))
    chosen = parser.parse_args()
    outcomes = json.loads(chosen.out.read_text()) if chosen.out.exists() else []
    done = {(row["file"], row["place"], row["form"]) for row in outcomes}
    left = [mutant for mutant in all_mutants(chosen.seed)[: chosen.count] if mutant not in done]
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(chosen.workers) as pool:
        compiled = Path(folder)
        seconds = seconds_without_mutants(compiled) if left else {}
        for future in as_completed(pool.submit(tried, mutant, compiled, seconds) for mutant in left):
            row = future.result()
            outcomes.append(row)
            write_json(chosen.out, outcomes)
            print(f"{len(outcomes)} of {chosen.count}: {row['outcome']} {row['file']}:{row['line']}", flush=True)
    survivors = [row for row in outcomes if row["outcome"] == "survived"]
    print(f"{len(outcomes) - len(survivors)} of {len(outcomes)} mutants were killed; wrote {chosen.out}")
    for row in survivors:
        print(f"survived: {row['file']}:{row['line']} {row['change']}")


if __name__ == "__main__":
    main()
