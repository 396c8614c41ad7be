"""How the values of an explanation compare: with the other classes, and with the training images of the run."""

from typing import NamedTuple

import numpy as np

from pcacam_jax.core.checks import InputError
from pcacam_jax.core.explanation import Explanation
from pcacam_jax.core.text import percentile, ranked, shown
from pcacam_jax.fitting.reference import Reference
from pcacam_jax.head.hybrid import HybridHead
from pcacam_jax.reports.figures import words


class Comparison(NamedTuple):
    """How the value of one target at one image compares."""

    target: str
    """The target, such as ``"svm_rbf:predicted"``."""
    label: str
    """The class or component that it means at this image."""
    value: float
    """Its value."""
    percentile: float
    """Percentage of the training images with a smaller value of this class or component; ties count half."""
    class_name: str | None
    """The class of ``class_percentile``: that of the target, or for a component the one that the CNN predicts."""
    class_percentile: float | None
    """The same percentage among the training images of this class; None for a head without classes."""
    rank: int | None
    """Rank of the class among all, 1 for the highest value; None for a component."""
    classes: int | None
    """Number of classes; None for a component."""
    runner_up: str | None
    """The class with the highest value of all others; None for a component."""
    runner_up_value: float | None
    """Its value."""
    sentence: str
    """All of this in words."""

    @property
    def summary(self) -> str:
        """How the value compares in words, without the target and the value itself."""
        text = f"higher than on {percentile(self.percentile)} of all training images"
        if self.class_percentile is not None:
            text += f" and on {percentile(self.class_percentile)} of those of {self.class_name}"
        if self.rank is None or self.classes is None:
            return text
        return f"rank {ranked(self.rank, self.classes, f'{self.runner_up} {self.runner_up_value:.3g}')}; {text}"


def comparisons(explanation: Explanation, head: HybridHead, reference: Reference) -> list[list[Comparison]]:
    """Return for each image of an explanation how the value of each target compares.

    Args:
        explanation: an explanation with the values of all ``outputs``, from :meth:`~pcacam_jax.runs.run.Run.explain`.
        head: the head that it explains.
        reference: the training images of the run.

    Raises:
        InputError: the explanation has no ``outputs``, or those of another head.
        TypeError: ``explanation`` is no explanation.
    """
    if not isinstance(explanation, Explanation):
        raise TypeError(f"explanation must be an Explanation; got {type(explanation).__name__} {shown(explanation)}.")
    if explanation.outputs is None:
        raise InputError("explanation must hold the values of all outputs; make it with the method explain of the run.")
    outputs = {name: np.asarray(values) for name, values in explanation.outputs.items()}
    sizes = {name: len(entries) for name, entries in head.outputs.items()}
    if {name: values.shape[-1] for name, values in outputs.items()} != sizes:
        raise InputError("explanation must be one of this run; make it with the method explain of the run.")
    images, targets = range(len(explanation.labels)), range(len(explanation.targets))
    return [[_comparison(explanation, b, t, outputs, head, reference) for t in targets] for b in images]


def _comparison(
    explanation: Explanation, b: int, t: int, outputs: dict[str, np.ndarray], head: HybridHead, reference: Reference
) -> Comparison:
    target, label = explanation.targets[t], str(explanation.labels[b, t])
    output, column = target.partition(":")[0], int(np.asarray(explanation.columns)[b, t])
    value = float(np.asarray(explanation.values)[b, t])
    class_index = column if output in head.classifiers else _predicted(outputs, head, b)
    rank = classes = runner_up = runner_up_value = None
    if output in head.classifiers:
        scores, names = outputs[output][b], head.outputs[output]
        others = np.where(np.arange(len(scores)) == column, -np.inf, scores)
        rank, classes = int(1 + (others > scores[column]).sum()), len(scores)
        runner_up, runner_up_value = names[int(others.argmax())], float(others.max())
    class_name = None if class_index is None else head.outputs[head.classifiers[0]][class_index]
    overall = reference.percentile(output, column, value)
    of_class = None if class_index is None else reference.percentile(output, column, value, class_index)
    numbers = (overall, class_name, of_class, rank, classes, runner_up, runner_up_value)
    comparison = Comparison(target, label, value, *numbers, sentence="")
    named = f"{words(target, label, explanation.spaces[t])} = {value:.4g}"
    return comparison._replace(sentence=f"{named}{', ' if rank else '; '}{comparison.summary}.")


def _predicted(outputs: dict[str, np.ndarray], head: HybridHead, b: int) -> int | None:
    return int(outputs["cnn"][b].argmax()) if "cnn" in head.classifiers else None
