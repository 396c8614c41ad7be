"""The page that compares the paper's numbers with ours, as JSON and as Markdown that is readable as plain text."""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from pcacam_jax.core.progress import CACHED
from pcacam_jax.core.text import listed
from pcacam_jax.reproduce.claim import Claim, Finding, Table
from pcacam_jax.reproduce.measure import environment
from pcacam_jax.reproduce.paper import TABLE3
from pcacam_jax.reproduce.settings import check_scale

if TYPE_CHECKING:
    from pcacam_jax.reproduce.gather import GatheredOutcomes, ReproductionRequest

SCHEMA = 1
REASONS = "The reasons are listed at the end of the page."


class Section(NamedTuple):
    """One claim on the page; ``finding`` is None if none of its datasets is available."""

    claim: Claim
    finding: Finding | None
    figures: list[str]
    """Paths relative to the page."""


def report(request: "ReproductionRequest", gathered: "GatheredOutcomes", sections: Sequence[Section]) -> dict[str, Any]:
    """Return the page's content as plain data for its JSON file."""
    return {
        "schema": SCHEMA,
        "command": request.command([section.claim.name for section in sections]),
        "scale": request.scale,
        "about": check_scale(request.scale).about,
        "data_root": request.data_root.resolve().name if request.data_root else None,
        "seeds": list(request.seeds),
        **environment(),
        "sets": {name: _set_record(outcome.record) for name, outcome in gathered.outcomes.items()},
        "missing": gathered.missing,
        "excluded": gathered.excluded,
        "claims": {section.claim.name: _claim_record(section) for section in sections},
    }


def _set_record(record: dict[str, Any]) -> dict[str, Any]:
    omitted = ("curves", "statements", "schema")
    return {name: value for name, value in record.items() if name not in omitted}


def _claim_record(section: Section) -> dict[str, Any]:
    claim, finding = section.claim, section.finding
    about = {"title": claim.title, "paper": claim.paper, "statement": claim.statement, "made": finding is not None}
    if finding is None:
        return about
    return about | {
        "verdicts": list(finding.verdicts),
        "gaps": list(finding.gaps),
        "figures": section.figures,
        "data": finding.data,
    }


def page(content: dict[str, Any], sections: Sequence[Section]) -> str:
    """Return the page as Markdown."""
    blocks = [*_header(content), *(block for section in sections for block in _section(section, content))]
    if content["missing"]:
        blocks += ["## Datasets that are not available"]
        blocks += [
            "\n".join(f"- {TABLE3[name].title}: {escape(reason)}" for name, reason in content["missing"].items())
        ]
    return "\n\n".join(blocks) + "\n"


def _header(content: dict[str, Any]) -> Iterator[str]:
    machine, versions = content["machine"], content["versions"]
    yield "# Reproduction of the paper"
    yield (
        "Omae, PCA- and SVM-Grad-CAM for Convolutional Neural Networks: Closed-form Jacobian Expression (2025), "
        "[arXiv 2508.11880](https://arxiv.org/abs/2508.11880). "
        "Numbers labelled as ours were measured in the runs below."
    )
    facts = {
        "scale": f"{content['scale']}: {content['about']}",
        "data root": content["data_root"] or "none",
        **({"left out by --sets or --scale": listed(_titles(content["excluded"]))} if content["excluded"] else {}),
        "seeds": listed([str(seed) for seed in content["seeds"]]) + _spread_note(content["seeds"]),
        "command": content["command"],
        "page written": content["made"],
        "versions": ", ".join(f"{name} {version}" for name, version in versions.items()),
        "machine": f"{machine['cores']} cores ({machine['processor']}), {machine['device']}",
    }
    yield "\n".join(f"- {name}: {escape(str(fact))}" for name, fact in facts.items())
    if content["sets"]:
        yield "## Settings"
        yield markdown(_settings_table(content["sets"]))
        yield markdown(_runs_table(content["sets"]))
        yield f"Settings shared by all datasets: {escape(_shared_settings(content['sets']))}."
        warnings = [(record["title"], warning) for record in content["sets"].values() for warning in record["warnings"]]
        if warnings:
            yield "\n".join(["Warnings:", "", *(f"- {title}: {escape(warning)}" for title, warning in warnings)])
        yield (
            "The run of each dataset's first seed is saved in `runs`. "
            "To explain an image with it, run `pcacam explain runs/SET IMAGE`."
        )


def _titles(names: Iterable[str]) -> list[str]:
    return [TABLE3[name].title for name in names]


def _spread_note(seeds: list[int]) -> str:
    return (
        "; numbers are means over seeds ± standard deviation"
        if len(seeds) > 1
        else "; one seed, so no standard deviation"
    )


def _settings_table(sets: dict[str, Any]) -> Table:
    """Return a table of the numbers of images and of the settings that differ between datasets, one row per dataset."""
    differing = _differing(sets)
    rows = []
    for name, record in sets.items():
        images, paper = record["images"], TABLE3[name]
        counts = (f"{images['train']:,} / {images['test']:,}", f"{paper.train:,} / {paper.test:,}")
        rows.append((record["title"], *counts, *(_value(record["settings"][field]) for field in differing)))
    titles = (field.replace("_", " ") for field in differing)
    return Table(("dataset", "images, train / test", "images in the paper", *titles), tuple(rows))


def _runs_table(sets: dict[str, Any]) -> Table:
    """Return a table of when, where and how fast each dataset was measured.

    A cached outcome can be older than the page.
    """
    rows = []
    for record in sets.values():
        timings, extracted = record["timings"], record["extracted"]
        rate = f"{extracted:,} at {extracted / timings['features']:.1f} images/s" if extracted else CACHED
        training = CACHED if record["resumed"] else f"{timings['training']:.0f} s"
        versions = ", ".join(f"{library} {record['versions'][library]}" for library in ("jax", "scikit-learn"))
        device = f"{record['machine']['device']}, {record['machine']['cores']} cores"
        rows.append((record["title"], record["made"], device, versions, rate, training))
    return Table(("dataset", "measured", "device", "versions", "features", "training, all seeds"), tuple(rows))


def _shared_settings(sets: dict[str, Any]) -> str:
    settings, differing = next(iter(sets.values()))["settings"], _differing(sets)
    shared = (field for field in settings if field not in differing)
    return "; ".join(f"{field.replace('_', ' ')} {_value(settings[field])}" for field in shared)


def _differing(sets: dict[str, Any]) -> list[str]:
    settings = [record["settings"] for record in sets.values()]
    return [field for field in settings[0] if any(other[field] != settings[0][field] for other in settings)]


def _value(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(map(_value, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _section(section: Section, content: dict[str, Any]) -> Iterator[str]:
    claim, finding = section.claim, section.finding
    yield f"## {claim.paper}: {claim.title}"
    yield f"The paper: {claim.statement}"
    absent = _titles(name for name in claim.sets if name in content["missing"])
    if finding is None:
        needed = " or ".join(_titles(claim.sets))
        yield f"Not measured, because it needs {needed}." + (f" {REASONS}" if absent else "")
        return
    if absent:
        yield f"Measured without {listed(absent)}. {REASONS}"
    for table in finding.tables:
        yield f"**{escape(table.title)}**\n\n{markdown(table)}" if table.title else markdown(table)
    for heading, sentences in (("Large differences:", finding.gaps), ("What this shows:", finding.verdicts)):
        if sentences:
            yield "\n".join([heading, "", *(f"- {escape(sentence)}" for sentence in sentences)])
    if section.figures and claim.first_seed and len(content["seeds"]) > 1:
        yield f"The figures show the first seed, {content['seeds'][0]}."
    for path in section.figures:
        yield f"`{path}`\n\n![{escape(claim.paper)}: {escape(claim.title)}]({path})"


def markdown(table: Table) -> str:
    """Return a Markdown table that is aligned for reading as plain text, with columns of numbers to the right.

    Example:
        >>> from pcacam_jax.reproduce.claim import Table
        >>> from pcacam_jax.reproduce.page import markdown
        >>> print(markdown(Table(("dataset", "F1"), (("MNIST", "0.991"),))))
        | dataset |    F1 |
        | ------- | ----: |
        | MNIST   | 0.991 |
    """
    rows = [tuple(map(escape, row)) for row in (table.columns, *table.rows)]
    widths = [max(3, *(len(row[i]) for row in rows)) for i in range(len(table.columns))]
    right = [all(_numeric(row[i]) for row in table.rows) for i in range(len(table.columns))]
    rule = [("-" * (width - 1) + ":" if numeric else "-" * width) for width, numeric in zip(widths, right, strict=True)]
    lines = [[_padded(*cell) for cell in zip(row, widths, right, strict=True)] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in [lines[0], rule, *lines[1:]])


def _padded(text: str, width: int, right: bool) -> str:
    return text.rjust(width) if right else text.ljust(width)


def _numeric(text: str) -> bool:
    return bool(re.match(r"[-+]?[\d.]", text)) or text in ("", "-")


def escape(text: str) -> str:
    """Return text on one line, with the characters escaped that Markdown would interpret."""
    text = re.sub(r"([\\`*\[\]<>|#])", r"\\\1", re.sub(r"\s+", " ", text)).strip()
    return re.sub(r"(?<!\w)_|_(?!\w)", r"\\_", text)  # an underscore inside a word is not markup
