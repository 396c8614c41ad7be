"""Whole runs from the data to the report, and the demo on the embedded sample of Fashion-MNIST."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pcacam_jax.core.checks import InputError
from pcacam_jax.core.files import folder_written_whole, write_json
from pcacam_jax.core.progress import Progress
from pcacam_jax.data import EMBEDDED_SAMPLE, Dataset, read_dataset
from pcacam_jax.fitting.config import FitConfig
from pcacam_jax.fitting.fit import fit
from pcacam_jax.reports.figures import FIGURES, draw_figures
from pcacam_jax.runs.run import CERTIFICATE, CONFIG, EXPLANATIONS, METRICS, MODEL, POINT, save

DEMO_CONFIG = FitConfig(size=96)
REPORT = "report.json"
OWN_FILES = {CONFIG, METRICS, MODEL, CERTIFICATE, POINT, FIGURES, EXPLANATIONS, REPORT}
"""All that a run folder holds."""


def make_demo(out: Path, progress: Progress) -> dict[str, Any]:
    """Fit the embedded sample at 96 px and write the run with its report to ``out``; return the report."""
    return make_run(lambda: read_dataset(EMBEDDED_SAMPLE), DEMO_CONFIG, out, progress)


def make_run(read: Callable[[], Dataset], config: FitConfig, out: Path, progress: Progress) -> dict[str, Any]:
    """Read, fit, verify and draw; write the run folder ``out`` with report.json, whole or not at all.

    Returns:
        The report: ``metrics``, ``explained_variance_ratio``, ``verification``, ``figures``, ``timings`` (seconds).

    Raises:
        InputError: ``out`` holds other files or cannot be written; bad data, weights or configuration.
    """
    start = time.perf_counter()
    _check_replaceable(out)
    with folder_written_whole(out, marker=CONFIG) as folder:
        fitted = fit(read(), config, progress=progress)
        save(fitted, folder)
        drawing = time.perf_counter()
        with progress.bar("figures", 1) as advance:
            figures = draw_figures(fitted, folder)
            advance(1)
        now = time.perf_counter()
        certificate = fitted.certificate.as_dict()
        report = {
            **fitted.metrics,
            "verification": {key: value for key, value in certificate.items() if key != "comparisons"},
            "figures": figures,
            "timings": {**fitted.timings, "figures": round(now - drawing, 3), "total": round(now - start, 3)},
        }
        write_json(folder / REPORT, report)
    return report


def _check_replaceable(out: Path) -> None:
    """Refuse a folder with anything in it that no run has written, which replacing it would delete."""
    foreign = sorted({path.name for path in out.iterdir()} - OWN_FILES) if out.is_dir() else []
    if foreign:
        raise InputError(
            f"the folder {out} holds what no run has written ({', '.join(foreign[:3])}) and would be replaced; "
            "choose a new or empty folder."
        )
