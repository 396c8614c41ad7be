"""What is explained, in words: names of targets, of their values and of components."""

from __future__ import annotations

from pcacam_jax.plots.names import inline

TITLES = {"cnn": "CNN", "svm_linear": "Lin-SVM", "svm_rbf": "RBF-SVM"}
"""Titles of the outputs of a run; other outputs are called by their names."""
QUANTITIES = {
    "decision": "decision value",
    "log_proba": "log-probability",
    "pairs": "decision value",
    "predict": "predicted value",
    "proba": "probability",
    "transform": "value",
}
"""Score spaces in words; spaces that are missing here are named as they are."""


def quantity(space: str) -> str:
    """Return what the values of a score space are, such as "log-probability" for "log_proba"."""
    return QUANTITIES.get(space, space)


def words(target: str, label: str, space: str) -> str:
    """Return the name of a target's value in words.

    Args:
        target: the target, such as ``"svm_rbf:predicted"``.
        label: the component or the class that the target selects for this image.
        space: the space of its values, as in :attr:`~pcacam_jax.Explanation.spaces`.

    Example:
        >>> from pcacam_jax.plots.words import words
        >>> words("svm_rbf:predicted", "Shirt", "margin")
        'RBF-SVM predicts Shirt, margin'
    """
    output, _, entry = target.partition(":")
    if space == "component":
        return label
    name = TITLES.get(output, inline(output))
    if space in ("predict", "transform"):
        return f"{name}, {quantity(space)} (output {inline(label)})"
    if entry == "predicted":
        return f"{name} predicts {inline(label)}, {quantity(space)}"
    return f"{name}, {quantity(space)} of {inline(label)}"


def percentage(share: float) -> str:
    """Return a share as a percentage with two significant digits, such as "62 %" or "0.03 %".

    Example:
        >>> from pcacam_jax.plots.words import percentage
        >>> percentage(0.623), percentage(0.0003), percentage(1.0)
        ('62 %', '0.03 %', '100 %')
    """
    return f"{100 * share:.0f} %" if share >= 0.0995 or share == 0 else f"{100 * share:.2g} %"
