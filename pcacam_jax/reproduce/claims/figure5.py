"""Claim: validation accuracy has converged within 300 epochs.

Command: pcacam reproduce figure5 --data-root DIR --scale full
         (or --scale sample)
Paper:   Figure 5, six curves of validation accuracy against epochs that "have converged"; no numbers.
Ours:    on the samples, 6 of 6 datasets have converged: the late change is at most .003.
"""

import numpy as np

from pcacam_jax.core.text import listed
from pcacam_jax.reproduce.claim import Claim, Finding, Outcomes, Table, spread_text
from pcacam_jax.reproduce.outcome import Outcome
from pcacam_jax.reproduce.paper import SETS

CONVERGED = 0.01
"""Converged means that mean validation accuracy changes by at most this between the last two fifths of the epochs."""


def late_change(outcome: Outcome) -> float:
    """Return the change of mean validation accuracy from the second-last fifth of the epochs to the last fifth."""
    curve = np.mean(outcome.record["curves"]["validation_accuracy"], axis=0)
    fifth = max(1, len(curve) // 5)
    return float(curve[-fifth:].mean() - curve[-2 * fifth : -fifth].mean()) if len(curve) > 1 else 0.0


def best(outcome: Outcome) -> list[float]:
    """Return the best validation accuracy of every seed."""
    curves = outcome.record["curves"]["validation_accuracy"]
    return [curve[epoch - 1] for curve, epoch in zip(curves, outcome.record["best_epochs"], strict=True)]


def measure(outcomes: Outcomes) -> Finding:
    changes = {name: late_change(outcome) for name, outcome in outcomes.items()}
    rows = [
        (
            outcome.title,
            str(len(outcome.record["curves"]["validation_accuracy"][0])),
            ", ".join(map(str, outcome.record["best_epochs"])),
            spread_text(best(outcome)),
            f"{changes[name]:+.4f}",
        )
        for name, outcome in outcomes.items()
    ]
    unconverged = [outcomes[name].title for name, change in changes.items() if abs(change) > CONVERGED]
    verdict = (
        f"Training has converged on {len(rows) - len(unconverged)} of {len(rows)} datasets"
        + (f", but not on {listed(unconverged)}. " if unconverged else ". ")
        + f"Converged means that mean validation accuracy changes by at most {CONVERGED} between the last two fifths "
        "of the epochs."
    )
    return Finding(
        tables=(
            Table(("dataset", "epochs", "selected epochs", "best validation accuracy", "late change"), tuple(rows)),
        ),
        verdicts=(verdict,),
        data={
            name: {"movement": changes[name], "best": best(outcome), "best_epochs": outcome.record["best_epochs"]}
            for name, outcome in outcomes.items()
        },
    )


def draw(outcomes: Outcomes) -> dict:
    from pcacam_jax.reproduce.figures import shared_legend, sheet, validation_curves

    figure, panels = sheet(outcomes, (4.2, 3.2))
    axes = [validation_curves(*panel) for panel in panels]
    seeds = len(next(iter(outcomes.values())).seeds)
    several = f"mean of {seeds} seeds" if seeds > 1 else "one seed"
    names = (
        f"training, {several}",
        f"validation, {several}" + (" and their range" if seeds > 1 else ""),
        "selected epoch of each seed",
    )
    shared_legend(figure, axes[0], names=names)
    return {"figure5": figure}


CLAIM = Claim(
    name="figure5",
    title="validation accuracy against epochs",
    paper="Figure 5",
    statement="validation accuracy has converged within 300 epochs on every dataset.",
    sets=SETS,
    measure=measure,
    draw=draw,
)
