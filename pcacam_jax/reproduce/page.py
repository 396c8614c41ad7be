"""The page: the paper's numbers beside ours, as Markdown that also reads well as plain text, and as JSON."""

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from pcacam_jax.core.progress import KEPT
from pcacam_jax.core.text import listed
from pcacam_jax.reproduce.claim import Claim, Finding, Table
from pcacam_jax.reproduce.measure import where_and_when
from pcacam_jax.reproduce.paper import TABLE3
from pcacam_jax.reproduce.settings import check_scale

if TYPE_CHECKING:
    from pcacam_jax.reproduce.gather import Gathered, Order

SCHEMA = 1


class Section(NamedTuple):
    """What the page holds of a claim: without a finding, only why."""

    claim: Claim
    finding: Finding | None
    figures: list[str]
    """Paths relative to the page."""


def report(order: "Order", gathered: "Gathered", sections: Sequence[Section]) -> dict[str, Any]:
    """Return the page's content as plain data."""
    return {
        "schema": SCHEMA,
        "command": order.command([section.claim.name for section in sections]),
        "scale": order.scale,
        "about": check_scale(order.scale).about,
        "data_root": order.data_root.resolve().name if order.data_root else None,
        "seeds": list(order.seeds),
        **where_and_when(),
        "sets": {name: _set_record(outcome.record) for name, outcome in gathered.outcomes.items()},
        "missing": gathered.missing,
        "claims": {section.claim.name: _claim_record(section) for section in sections},
    }


def _set_record(record: dict[str, Any]) -> dict[str, Any]:
    left_out = ("curves", "statements", "schema")
    return {name: value for name, value in record.items() if name not in left_out}


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
        blocks += ["## Sets that could not be had"]
        blocks += ["\n".join(f"- {TABLE3[name].title}: {escape(why)}" for name, why in content["missing"].items())]
    return "\n\n".join(blocks) + "\n"


def _header(content: dict[str, Any]) -> Iterator[str]:
    machine, versions = content["machine"], content["versions"]
    yield "# The paper, reproduced"
    yield (
        "Omae, PCA- and SVM-Grad-CAM for Convolutional Neural Networks: Closed-form Jacobian Expression (2025), "
        "[arXiv 2508.11880](https://arxiv.org/abs/2508.11880). Every number called ours was measured by the runs below."
    )
    facts = {
        "scale": f"{content['scale']}: {content['about']}",
        "data root": content["data_root"] or "none",
        "seeds": listed([str(seed) for seed in content["seeds"]]) + _spread_note(content["seeds"]),
        "command": content["command"],
        "page written": content["made"],
        "by": ", ".join(f"{name} {version}" for name, version in versions.items()),
        "on": f"{machine['cores']} cores ({machine['processor']}), {machine['device']}",
    }
    yield "\n".join(f"- {name}: {escape(str(fact))}" for name, fact in facts.items())
    if content["sets"]:
        yield "## Settings"
        yield markdown(_settings_table(content["sets"]))
        yield markdown(_runs_table(content["sets"]))
        yield f"The same for all sets: {escape(_shared_settings(content['sets']))}."
        doubts = [(record["title"], doubt) for record in content["sets"].values() for doubt in record["warnings"]]
        if doubts:
            yield "\n".join(["Warnings:", "", *(f"- {title}: {escape(doubt)}" for title, doubt in doubts)])
        yield "The first seed's run of each set is kept: explain an image with it by `pcacam explain runs/SET IMAGE`."


def _spread_note(seeds: list[int]) -> str:
    return "; numbers are means over seeds ± standard deviation" if len(seeds) > 1 else "; one seed, so no spread"


def _settings_table(sets: dict[str, Any]) -> Table:
    """Return images and the settings in which the sets differ, a row for each set."""
    differing = _differing(sets)
    rows = []
    for name, record in sets.items():
        images, paper = record["images"], TABLE3[name]
        counts = (f"{images['train']:,} / {images['test']:,}", f"{paper.train:,} / {paper.test:,}")
        rows.append((record["title"], *counts, *(_value(record["settings"][field]) for field in differing)))
    words = (field.replace("_", " ") for field in differing)
    return Table(("set", "images, train / test", "the paper's", *words), tuple(rows))


def _runs_table(sets: dict[str, Any]) -> Table:
    """Return when and on what each set was measured, and what it took; a kept outcome may be older than the page."""
    rows = []
    for record in sets.values():
        timings, extracted = record["timings"], record["extracted"]
        rate = f"{extracted:,} at {extracted / timings['features']:.1f} images/s" if extracted else KEPT
        training = KEPT if record["resumed"] else f"{timings['training']:.0f} s"
        versions = ", ".join(f"{library} {record['versions'][library]}" for library in ("jax", "scikit-learn"))
        device = f"{record['machine']['device']}, {record['machine']['cores']} cores"
        rows.append((record["title"], record["made"], device, versions, rate, training))
    return Table(("set", "measured", "device", "versions", "features", "training, all seeds"), tuple(rows))


def _shared_settings(sets: dict[str, Any]) -> str:
    settings, differing = next(iter(sets.values()))["settings"], _differing(sets)
    shared = (field for field in settings if field not in differing)
    return "; ".join(f"{field.replace('_', ' ')} {_value(settings[field])}" for field in shared)


def _differing(sets: dict[str, Any]) -> list[str]:
    settings = [record["settings"] for record in sets.values()]
    return [field for field in settings[0] if any(own[field] != settings[0][field] for own in settings)]


def _value(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(map(_value, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _section(section: Section, content: dict[str, Any]) -> Iterator[str]:
    claim, finding, missing = section.claim, section.finding, content["missing"]
    yield f"## {claim.paper}: {claim.title}"
    yield f"The paper: {claim.statement}"
    absent = [TABLE3[name].title for name in claim.sets if name in missing]
    if finding is None:
        yield f"Not made: {listed(absent)} could not be had; the reasons stand at the end."
        return
    if absent:
        yield f"Without {listed(absent)}, which could not be had; the reasons stand at the end."
    for table in finding.tables:
        yield f"**{escape(table.title)}**\n\n{markdown(table)}" if table.title else markdown(table)
    for words, sentences in (("Large differences:", finding.gaps), ("What this shows:", finding.verdicts)):
        if sentences:
            yield "\n".join([words, "", *(f"- {escape(sentence)}" for sentence in sentences)])
    if section.figures and claim.first_seed and len(content["seeds"]) > 1:
        yield f"The figures are of the first seed, {content['seeds'][0]}."
    for path in section.figures:
        yield f"`{path}`\n\n![{escape(claim.paper)}: {escape(claim.title)}]({path})"


def markdown(table: Table) -> str:
    """Return a Markdown table whose columns are aligned, so that it reads as plain text; numbers stand to the right."""
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
    """Return text with what Markdown would read as markup made harmless; no line breaks."""
    text = re.sub(r"([\\`*\[\]<>|#])", r"\\\1", re.sub(r"\s+", " ", text)).strip()
    return re.sub(r"(?<!\w)_|_(?!\w)", r"\\_", text)  # inside a word an underscore is no markup
