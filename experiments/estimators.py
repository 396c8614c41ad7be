"""Question: does the stage of every supported scikit-learn estimator give its output and the exact derivative?

Command: python experiments/estimators.py
Paper:   uses PCA and a binary SVM; other reducers and classifiers are named as future work.
Goal:    over 20 random fits of each, in float64: max |stage - scikit-learn| and the difference between the closed form
         and jax.jacrev at most 1e-10; the difference from central differences about 1e-6.
Answer:  yes. The largest values of all 71 rows are 4.8e-13 (scikit-learn), 1.6e-13 (jacrev) and 3.3e-07 (differences),
         all for SVC. One output, explained below, differs by 4.9e-03.

A fit draws a dataset, the number of classes, the type of the labels and the hyper-parameters. Every output of the
estimator is compared at 8 points and its Jacobian at 2 of them. The column "far" compares the values at 4 more points,
5 to 20 standard deviations outside the data; it is relative where the values exceed 1. The script needs a clone of the
repository, because it uses the random fits of the tests.

The row "SVC, probability" is not compared with predict_proba. Its proba and log_proba are Platt's sigmoid of the
decision value with the fitted A and B. predict_proba post-processes that sigmoid with an iteration that stops early, so
it differs from the sigmoid by up to 4.9e-03 (the row below it). This is not a rounding error.
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

HEADER: str = """| estimator | outputs | max abs(stage - scikit-learn) | closed form - jacrev | - differences | far |
|---|---|---|---|---|---|"""

PLATT: str = "SVC, probability"
"""The row whose proba is compared with Platt's sigmoid and not with predict_proba."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fits", type=int, default=20, help="random fits of every estimator")
    parser.add_argument("--names", nargs="*", default=(), help="estimators to compare; by default all")
    parser.add_argument("--out", type=Path, help="Markdown file to which the printed table is also written")
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
            jax.clear_caches()  # compiled functions occupy memory maps, whose number is limited per process
    print(f"\n{arguments.fits} fits each, {time.perf_counter() - start:.0f} s")
    if arguments.out:
        arguments.out.write_text("\n".join(lines) + "\n")


def worst_of(name: str, count: int, fits: Any, parities: Any) -> str:
    """Return a row of the table: the largest differences over ``count`` fits of one estimator."""
    errors, outputs = [], {}
    for seed in range(count):
        estimator, x = fits.drawn(name, seed)
        for output in outputs_of(estimator):
            outputs[output] = None
            errors.append(parities.errors(from_sklearn(estimator, output=output), estimator, output, x))
    worst = (f"{max(column):.1e}" for column in zip(*errors, strict=True))
    return f"| {name} | {', '.join(outputs)} | {' | '.join(worst)} |"


def gap_to_predict_proba(count: int, fits: Any, parities: Any) -> str:
    """Return a row of the table: the difference between Platt's sigmoid and ``predict_proba`` of the same SVMs."""
    gaps = []
    for seed in range(count):
        svc, x = fits.drawn(PLATT, seed)
        points = np.concatenate([x, parities.far_from(x)])
        sigmoid = np.asarray(jax.vmap(from_sklearn(svc, output="proba"))(jnp.asarray(points)))
        gaps.append(np.abs(sigmoid - svc.predict_proba(points)).max(axis=1))
    near, far = (np.max([gap[part] for gap in gaps]) for part in (slice(8), slice(8, None)))
    return f"| {PLATT}, to predict_proba | proba | {near:.1e} | | | {far:.1e} |"


if __name__ == "__main__":
    main()
