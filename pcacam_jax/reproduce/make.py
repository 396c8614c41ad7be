"""Reproduce: gather outcomes, measure every claim, draw, write the page."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pcacam_jax.checks import InputError
from pcacam_jax.files import writable_folder, write_json, written_whole
from pcacam_jax.progress import Progress
from pcacam_jax.reproduce.claim import Claim, Finding
from pcacam_jax.reproduce.find import find_claims
from pcacam_jax.reproduce.gather import Gathered, Order, gather
from pcacam_jax.reproduce.page import Section, page, report

PAGE, REPORT, FIGURES = "reproduction.md", "reproduction.json", "figures"


def reproduce(names: Sequence[str], order: Order, progress: Progress) -> tuple[dict[str, Any], list[Section]]:
    """Reproduce the claims of these names, all if none is given, and write the page to ``order.out``.

    Returns:
        What reproduction.json holds, and the sections of the page.

    Raises:
        InputError: an unknown claim, scale or set, a place that cannot be written to, or no claim that can be made.
    """
    claims = find_claims(names)
    writable_folder(order.out)
    gathered = gather(order, {name for claim in claims for name in claim.sets}, progress)
    sections = []
    with progress.bar("claims", len(claims)) as advance:
        for claim in claims:
            sections.append(_section(claim, gathered, order.out))
            advance(1, claim.name)
    if not any(section.finding for section in sections):
        reasons = "; ".join(dict.fromkeys(gathered.missing.values()))
        raise InputError(f"none of the claims could be made ({', '.join(claim.name for claim in claims)}): {reasons}")
    content = report(order, gathered, sections)
    with written_whole(order.out / PAGE) as temporary:
        temporary.write_text(page(content, sections), encoding="utf-8")
    write_json(order.out / REPORT, content)
    return content, sections


def _section(claim: Claim, gathered: Gathered, out: Path) -> Section:
    """Measure and draw one claim; without any of its sets there is nothing to measure."""
    outcomes = claim.of(gathered.outcomes)
    if claim.sets and not outcomes:
        return Section(claim, None, [])
    finding: Finding = claim.measure(outcomes)
    return Section(claim, finding, _draw(claim, outcomes, writable_folder(out / FIGURES)))


def _draw(claim: Claim, outcomes: Any, folder: Path) -> list[str]:
    from pcacam_jax import plots

    figures = claim.draw(outcomes)
    for name, figure in figures.items():
        plots.save(figure, folder / f"{name}.png", dpi=110)
    return [f"{FIGURES}/{name}.png" for name in figures]
