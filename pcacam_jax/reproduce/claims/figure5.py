"""Claim: validation accuracy has converged within 300 epochs.

Command: pcacam reproduce figure5 --data-root DIR --scale full
         (or --scale sample)
Paper:   Figure 5, six curves of epochs against validation accuracy, "have converged"; no numbers.
Ours:    on the samples, converged in 6 of 6 sets: the last change is at most .003.
"""

import numpy as np

from pcacam_jax.core.text import listed
from pcacam_jax.reproduce.claim import Claim, Finding, Outcomes, Table, spread_text
from pcacam_jax.reproduce.outcome import Outcome
from pcacam_jax.reproduce.paper import SETS

CONVERGED = 0.01
"""Mean validation accuracy may move by this much from the last but one fifth of the epochs to the last."""


def movement(outcome: Outcome) -> float:
    """Return how far mean validation accuracy moves from the last but one fifth of the epochs to the last."""
    curve = np.mean(outcome.record["curves"]["validation_accuracy"], axis=0)
    fifth = max(1, len(curve) // 5)
    return float(curve[-fifth:].mean() - curve[-2 * fifth : -fifth].mean()) if len(curve) > 1 else 0.0


def best(outcome: Outcome) -> list[float]:
    curves = outcome.record["curves"]["validation_accuracy"]
    return [curve[epoch - 1] for curve, epoch in zip(curves, outcome.record["best_epochs"], strict=True)]


def measure(outcomes: Outcomes) -> Finding:
    moving = {name: movement(outcome) for name, outcome in outcomes.items()}
    rows = [
        (
            outcome.title,
            str(len(outcome.record["curves"]["validation_accuracy"][0])),
            ", ".join(map(str, outcome.record["best_epochs"])),
            spread_text(best(outcome)),
            f"{moving[name]:+.4f}",
        )
        for name, outcome in outcomes.items()
    ]
    still = [outcomes[name].title for name, change in moving.items() if abs(change) > CONVERGED]
    verdict = (
        f"Converged, meaning that mean validation accuracy moves by at most {CONVERGED} between the last two fifths of "
        f"the epochs, in {len(rows) - len(still)} of {len(rows)} sets"
        + (f"; not for {listed(still)}." if still else ".")
    )
    return Finding(
        tables=(
            Table(("set", "epochs", "kept epoch of each seed", "best validation accuracy", "late change"), tuple(rows)),
        ),
        verdicts=(verdict,),
        data={
            name: {"movement": moving[name], "best": best(outcome), "best_epochs": outcome.record["best_epochs"]}
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
        "kept epoch of each",
    )
    shared_legend(figure, axes[0], names=names)
    return {"figure5": figure}


CLAIM = Claim(
    name="figure5",
    title="epochs against validation accuracy",
    paper="Figure 5",
    statement="validation accuracy has converged within 300 epochs on every set.",
    sets=SETS,
    measure=measure,
    draw=draw,
)
