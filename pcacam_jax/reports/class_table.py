"""The scores of every class as a table of text."""

from collections.abc import Sequence
from typing import Any, NamedTuple

CLASSIFIERS = {"cnn": "CNN", "svm_linear": "Lin-SVM", "svm_rbf": "RBF-SVM"}
"""The classifiers of a run, as the paper names them."""
MOST_ROWS = 20
"""The largest number of classes in the table."""


class ClassTable(NamedTuple):
    """Precision, recall and F1 of every class on the test images, one row per class."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str
    """Which classes are left out; empty if there are none."""


def class_table(scores: dict[str, Any], class_names: Sequence[str]) -> ClassTable:
    """Return the scores of every class on the test images.

    Args:
        scores: ``metrics["class_scores"]`` of a run.
        class_names: the names of the C classes.

    Returns:
        The table. With more than 20 classes, those with the lowest mean F1 are listed.

    Example:
        >>> from pcacam_jax.reports.class_table import class_table
        >>> test = {"confusion": [[3, 1], [0, 4]], "precision": [1.0, 0.8], "recall": [0.75, 1.0], "f1": [0.86, 0.89]}
        >>> class_table({"cnn": {"test": test}}, ["cat", "dog"]).rows[0]
        ('cat', '4', '1.00 / 0.75 / 0.86')
    """
    tests = {name: parts["test"] for name, parts in scores.items()}
    means = [sum(test["f1"][c] or 0 for test in tests.values()) for c in range(len(class_names))]
    worst = sorted(range(len(class_names)), key=lambda c: means[c])[:MOST_ROWS]
    images = [sum(row) for row in next(iter(tests.values()))["confusion"]]
    rows = [(class_names[c], f"{images[c]:,}", *(_cell(test, c) for test in tests.values())) for c in sorted(worst)]
    left = len(class_names) - len(worst)
    note = f"the {MOST_ROWS} classes with the lowest F1; the other {left} are in metrics.json" if left else ""
    titles = (CLASSIFIERS.get(name, name) for name in tests)
    return ClassTable(("class", "images", *titles), tuple(rows), note)


def _cell(test: dict[str, Any], c: int) -> str:
    values = (test[key][c] for key in ("precision", "recall", "f1"))
    return " / ".join("-" if value is None else f"{value:.2f}" for value in values)
