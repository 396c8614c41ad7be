"""The table of estimators, complete, since it imports every room that enters some; and as Markdown."""

from pcacam_jax.scikit import (  # noqa: F401 (for what they enter)
    composition,
    elementwise,
    feature_selection,
    gaussian,
    kernel_methods,
    linear_models,
    multiclass,
    perceptrons,
    probability,
    reducers,
    svm,
)
from pcacam_jax.scikit.registry import ENTRIES

FAMILIES = ("affine", "kernel expansion", "quadratic", "elementwise", "norm", "dense chain", "selection", "composition")
"""Every family of stages, in the order of the table."""


def as_markdown() -> str:
    """Return a Markdown table of all estimators, grouped by their family of stages."""
    lines = ["| estimator | stage | formula | outputs | limits |", "|---|---|---|---|---|"]
    for entry in sorted(ENTRIES.values(), key=lambda entry: FAMILIES.index(entry.stage)):
        cells = (f"`{entry.kind.__name__}`", entry.stage, entry.formula, ", ".join(entry.spaces), entry.limits)
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(lines)
