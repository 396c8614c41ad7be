"""The tables that the commands print."""

from collections.abc import Iterable, Mapping
from typing import Any

from rich.markup import escape
from rich.table import Table

from pcacam_jax.core.text import percentile, ranked
from pcacam_jax.reports.class_table import class_table
from pcacam_jax.verification.certificate import DTYPES, REFERENCE_METHODS, Certificate, Comparison
from pcacam_jax.verification.comparisons import CURVATURE_METHODS


def report_tables(report: dict[str, Any]) -> list[Table]:
    """Return the scores of a run and the errors of its closed forms."""
    scores = Table("classifier", "train", "test", title="macro F1", title_justify="left")
    for name, score in report["metrics"].items():
        scores.add_row(name, f"{score['train_f1']:.3f}", f"{score['test_f1']:.3f}")
    classes = class_table(report["class_scores"], report["class_names"])
    each = Table(*classes.columns, title="precision / recall / F1 of every class on test images", title_justify="left")
    for row in classes.rows:
        each.add_row(*map(escape, row))
    each.caption = classes.note
    checks = Table("dtype", "max relative error", title="closed form against autodiff", title_justify="left")
    for dtype in DTYPES:
        error = report["verification"][dtype]["max_relative_error"]
        checks.add_row(dtype, "not finite" if error is None else f"{error:.1e}")
    return [scores, each, checks]


def values_table(values: dict[str, Any]) -> Table:
    """Return a table with a row for each target of one image: its value, how it compares, and what its map mixes."""
    count = max(map(len, values["mixture"].values()), default=0)
    compared = any("percentile" in row for row in values["targets"])
    columns = ["rank", "percentile"] * compared
    columns += [f"weights of components 1 to {count}"] * (count > 0)
    trusted = any("trust" in row for row in values["targets"])
    columns += ["can the map be trusted?"] * trusted
    table = Table("target", "entry", "value", *columns, title=escape(values["image"]), title_justify="left")
    if compared:
        table.caption = "percentile: share of the training images whose value is smaller"
    for row in values["targets"]:
        space = "" if row["space"] == "component" else f"{row['space']} "
        value = f"{space}{row['value']:.4g}" + (" (gradient underflowed)" if row["vanished"] else "")
        mixture = ", ".join(f"{weight:+.3g}" for weight in values["mixture"].get(row["target"], []))
        cells = [*(_compared(row) if compared else ()), *[mixture] * (count > 0), *[row.get("trust", "")] * trusted]
        table.add_row(escape(row["target"]), escape(row["label"]), value, *cells)
    return table


def _compared(row: Mapping[str, Any]) -> tuple[str, str]:
    """Return the rank of a class beside the best other one, and the percentile of a value among the training images."""
    if row["rank"] is None:
        return "", percentile(row["percentile"])
    other = f"{escape(row['runner_up'])} {row['runner_up_value']:.3g}"
    return ranked(row["rank"], row["classes"], other), percentile(row["percentile"])


def certificate_tables(certificate: Certificate) -> list[Table]:
    """Return a table of Jacobians and one of second derivatives, if these were compared.

    A table has a row for each map, and a column for each dtype and reference method.
    """
    largest = ", ".join(f"{certificate.max_relative_error(dtype):.1e} in {dtype}" for dtype in DTYPES)
    table = _comparisons("relative error of the closed form against", certificate.comparisons, REFERENCE_METHODS)
    table.caption = f"against autodiff: {largest}"
    if not certificate.curvature:
        return [table]
    title = "relative error of second derivatives against"
    return [table, _comparisons(title, certificate.curvature, CURVATURE_METHODS)]


def _comparisons(title: str, rows: Iterable[Comparison], methods: tuple[str, ...]) -> Table:
    errors: dict[str, dict[tuple[str, str], Comparison]] = {}
    for row in rows:
        errors.setdefault(row.name, {})[row.dtype, row.witness] = row
    columns = [(dtype, method) for dtype in DTYPES for method in methods]
    table = Table("map", *(f"{dtype}\n{method.replace('_', ' ')}" for dtype, method in columns), title=title)
    for name, row in errors.items():
        table.add_row(escape(name), *(_error(row[column]) if column in row else "" for column in columns))
    return table


def _error(row: Comparison) -> str:
    return f"{row.error:.1e}" if row.passed else f"[red]{row.error:.1e} > {row.tolerance:.0e}[/]"
