"""The page's sections on the terminal."""

from rich.markup import escape
from rich.table import Table

from pcacam_jax.reproduce.page import Section


def section_tables(section: Section) -> list[Table]:
    """Return what was measured of a claim, the last table with the verdicts below it; nothing of one not made."""
    if section.finding is None:
        return []
    tables, title = [], f"{section.claim.paper}: {section.claim.title}"
    for own in section.finding.tables:
        words = f"{title}\n{own.title}" if own.title else title
        table = Table(*own.columns, title=escape(words), title_justify="left", caption_justify="left")
        for row in own.rows:
            table.add_row(*map(escape, row))
        tables.append(table)
    tables[-1].caption = escape("\n".join([*section.finding.gaps, *section.finding.verdicts]))
    return tables
