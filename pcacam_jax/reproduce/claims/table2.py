"""Claim: the six closed forms of the Jacobians are correct.

Command: pcacam reproduce table2
Paper:   Table 2: PCA-Grad-CAM for sigmoid and ReLU, SVM-Grad-CAM for both with a linear and an RBF kernel; proved,
         without numbers.
Ours:    all six hold; relative differences from autodiff are at most 2e-7 (float32) and 5e-16 (float64).
"""

import numpy as np

from pcacam_jax.reproduce.claim import Claim, Finding, Outcomes, Table
from pcacam_jax.verification.cases import Draw, table2_cases
from pcacam_jax.verification.certificate import DTYPES, REFERENCE_METHODS, Certificate, certify


def measure(outcomes: Outcomes) -> Finding:
    certificate = certify(table2_cases(Draw(np.random.default_rng(0))), curvature=False)
    errors = {(row.name, row.dtype, row.witness): row for row in certificate.comparisons}
    names = list(dict.fromkeys(row.name for row in certificate.comparisons))
    columns = [(dtype, method) for dtype in DTYPES for method in REFERENCE_METHODS]
    rows = [
        (name.removeprefix("Table 2: "), *(f"{errors[name, *column].error:.1e}" for column in columns))
        for name in names
    ]
    titles = [f"{dtype}, {method.replace('_', ' ')}" for dtype, method in columns]
    return Finding(
        tables=(
            Table(
                ("closed form", *titles), tuple(rows), "relative error of the closed form against each reference method"
            ),
        ),
        verdicts=(verdict(certificate, len(names)),),
        data=certificate.as_dict(),
    )


def verdict(certificate: Certificate, forms: int) -> str:
    failed = sum(not row.passed for row in certificate.comparisons)
    largest = " and ".join(f"{certificate.max_relative_error(dtype):.0e} in {dtype}" for dtype in DTYPES)
    result = "all hold" if not failed else f"{failed} fail"
    number = len(certificate.comparisons)
    return (
        f"{number} comparisons of {forms} closed forms, {result}; the relative error against autodiff is at most "
        f"{largest}."
    )


CLAIM = Claim(
    name="table2",
    title="six closed forms, compared with autodiff and central differences",
    paper="Table 2",
    statement="the Jacobians of PCA- and SVM-Grad-CAM have closed forms for sigmoid and ReLU, linear and RBF kernels.",
    sets=(),
    measure=measure,
)
