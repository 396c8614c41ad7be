"""Sections of the page as terminal tables."""

from collections.abc import Sequence

from rich.markup import escape
from rich.table import Table

from pcacam_jax.core.text import listed
from pcacam_jax.reproduce.page import Section


def unmeasured(sections: Sequence[Section]) -> str:
    """Return a sentence that names the claims that were not measured; empty if all were."""
    names = [section.claim.name for section in sections if section.finding is None]
    if not names:
        return ""
    return f"not measured, because they need datasets that were left out or are not available: {listed(names)}."


def section_tables(section: Section) -> list[Table]:
    """Return the tables of a claim, the last one with the verdicts as its caption; none if it was not measured."""
    if section.finding is None:
        return []
    tables, title = [], f"{section.claim.paper}: {section.claim.title}"
    for table in section.finding.tables:
        heading = f"{title}\n{table.title}" if table.title else title
        printed = Table(*table.columns, title=escape(heading), title_justify="left", caption_justify="left")
        for row in table.rows:
            printed.add_row(*map(escape, row))
        tables.append(printed)
    tables[-1].caption = escape("\n".join([*section.finding.gaps, *section.finding.verdicts]))
    return tables
