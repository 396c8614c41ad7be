"""Claim: every supported scikit-learn estimator becomes a stage with its own numbers and the exact derivative.

Command: python experiments/estimators.py
Paper:   puts PCA and a binary SVM on a CNN, and names other reducers and classifiers as future work.
Goal:    over 20 random fits each, max |ours - scikit-learn's| and closed form against jax.jacrev at most 1e-10, against
         central differences about 1e-6, in float64.
Ours:    worst of all 55 rows: 4.8e-13 from scikit-learn, 1.6e-13 from jacrev and 3.3e-07 from differences (all SVC);
         but 4.9e-03 for one output, as the last paragraph says.

A fit draws a data set, the number of classes, the type of labels and hyper-parameters; every output that the estimator
has is compared at 8 points, its Jacobian at 2 of them, and its values at 4 more that lie 5 to 20 deviations outside the
data, relative to values beyond 1. It needs the tests of a clone beside it, whose fits it draws.

"SVC, probability" is the one row that is not compared with scikit-learn's own method: its proba and log_proba are
Platt's sigmoid of the decision, by the fitted A and B. predict_proba itself passes that sigmoid on to an iteration that
stops early: it is up to 4.9e-03 from the sigmoid, the row below, which is no rounding error.
"""

import argparse
import importlib
import sys
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pcacam_jax import from_sklearn
from pcacam_jax.scikit import outputs_of

HEADER: str = """| estimator | outputs | max abs(ours - scikit-learn's) | closed form - jacrev | - differences | far |
|---|---|---|---|---|---|"""

PLATT: str = "SVC, probability"
"""The fits whose proba is compared with Platt's sigmoid, not with predict_proba."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fits", type=int, default=20, help="random fits of every estimator")
    parser.add_argument("--names", nargs="*", default=(), help="estimators to take; by default all")
    parser.add_argument("--out", type=Path, help="Markdown file for the table, beside printing it")
    arguments = parser.parse_args()

    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    fits, parities = importlib.import_module("support.fits"), importlib.import_module("support.parities")
    importlib.import_module("support.fits_kernels")
    start, lines = time.perf_counter(), [HEADER]
    print(HEADER, flush=True)
    with jax.enable_x64(True):
        for name in arguments.names or fits.FITS:
            rows = [worst_of(name, arguments.fits, fits, parities)]
            rows += [gap_to_predict_proba(arguments.fits, fits, parities)] if name == PLATT else []
            print("\n".join(rows), flush=True)
            lines += rows
            jax.clear_caches()  # compiled functions map memory, of which a process may have only so many pieces
    print(f"\n{arguments.fits} fits each, {time.perf_counter() - start:.0f} s")
    if arguments.out:
        arguments.out.write_text("\n".join(lines) + "\n")


def worst_of(name: str, count: int, fits: Any, parities: Any) -> str:
    """Return a row of the table: the largest differences over ``count`` fits of one estimator."""
    found, outputs = [], {}
    for seed in range(count):
        estimator, x = fits.drawn(name, seed)
        for output in outputs_of(estimator):
            outputs[output] = None
            found.append(parities.errors(from_sklearn(estimator, output=output), estimator, output, x))
    worst = (f"{max(column):.1e}" for column in zip(*found, strict=True))
    return f"| {name} | {', '.join(outputs)} | {' | '.join(worst)} |"


def gap_to_predict_proba(count: int, fits: Any, parities: Any) -> str:
    """Return a row of the table: how far Platt's sigmoid is from the ``predict_proba`` of the same machines."""
    gaps = []
    for seed in range(count):
        machine, x = fits.drawn(PLATT, seed)
        points = np.concatenate([x, parities.far_from(x)])
        ours = np.asarray(jax.vmap(from_sklearn(machine, output="proba"))(jnp.asarray(points)))
        gaps.append(np.abs(ours - machine.predict_proba(points)).max(axis=1))
    near, far = (np.max([gap[part] for gap in gaps]) for part in (slice(8), slice(8, None)))
    return f"| {PLATT}, to predict_proba | proba | {near:.1e} | | | {far:.1e} |"


if __name__ == "__main__":
    main()
