"""Names of classes, files and estimators as text that every installation of Matplotlib can draw.

A name may hold dollar signs, which are not mathematics, line breaks, and characters that no installed font has. The
latter are written as code points, such as U+72D7, because Matplotlib would warn and draw an empty box.
"""

from __future__ import annotations

import functools
import re
import textwrap
import unicodedata
from collections.abc import Callable, Sequence
from typing import Any

from matplotlib import font_manager, rcParams
from matplotlib.text import Text
from matplotlib.textpath import text_to_path

SMALL = 7
"""Font size of labels and notes, in points."""
MOST_CHARACTERS = 70
"""Longer names are cut in the middle, because names often differ at their ends."""
WITHOUT_UNICODE = re.compile(r"cm(b|ex|mi|r|ss|sy|tt)10|STIX(NonUnicode|Size).*|Last Resort.*")
"""Fonts that draw other characters than their code points say, or a box for every character."""
LEFT_TO_RIGHT = "\N{LEFT-TO-RIGHT MARK}"
"""An invisible character that ends the influence of a right-to-left name on the numbers and signs beside it."""
WIDE = ("W", "F")
"""East Asian characters that are twice as wide as others."""


def readable(name: Any, most: int = MOST_CHARACTERS) -> str:
    r"""Return a name as one line of at most ``most`` characters that an installed font has.

    Args:
        name: the name; white space is written as single blanks, and a blank name in quotes.
        most: longer texts are cut in the middle.

    Example:
        >>> from pcacam_jax.plots.names import readable
        >>> readable("benign\n\tlesion"), readable(" "), readable("a\x00b"), readable("x" * 99, most=9)
        ('benign lesion', "' '", 'a U+0000 b', 'xxxxx…xxx')
    """
    text = str(name)
    if not text.strip():
        return ascii(text)
    text = " ".join(text.split())
    missing = _missing(text)
    text = "".join(f" U+{ord(char):04X} " if char in missing else char for char in text)
    text = " ".join(text.split())
    return text if len(text) <= most else f"{text[: most - most // 3 - 1]}…{text[len(text) - most // 3 :]}"


def inline(name: Any, most: int = MOST_CHARACTERS) -> str:
    """Return :func:`readable` for use inside a sentence: a name in a right-to-left script keeps to its place."""
    text = readable(name, most)
    right_to_left = any(unicodedata.bidirectional(char) in ("R", "AL", "AN") for char in text)
    return f"{LEFT_TO_RIGHT}{text}{LEFT_TO_RIGHT}" if right_to_left else text


def wrapped(text: str, width: float) -> str:
    """Return a text broken into lines of at most ``width`` characters; wide characters count twice."""
    share = sum(unicodedata.east_asian_width(char) in WIDE for char in text) / max(len(text), 1)
    return textwrap.fill(text, max(int(width / (1 + share)), 4))


def mean_width(text: str) -> float:
    """Return the mean width of the characters of a line in inches per point of the font size."""
    return _mean_width(text, tuple(rcParams["font.family"]))


@functools.lru_cache(maxsize=4096)
def _mean_width(text: str, families: tuple[str, ...]) -> float:
    others = {*_not_in_default_font(text), LEFT_TO_RIGHT}
    letters = "".join("x" if char in others else char for char in text) or "x"
    font = font_manager.FontProperties(family=families, size=100)
    return text_to_path.get_text_width_height_descent(letters, font, ismath=False)[0] / (7200 * len(letters))


def write(setter: Callable[..., Text], text: str, size: float, **style: Any) -> Text:
    """Call a method such as ``axes.set_title`` with a text that may hold names, which are not mathematics."""
    return as_plain_text(setter(text, fontsize=size, **style))


def as_plain_text(text: Text) -> Text:
    """Make a text artist draw its text as it is, in fonts that have its characters."""
    text.set_parse_math(False)
    text.set_usetex(False)
    supply = _supply(frozenset(_not_in_default_font(text.get_text())))
    if families := sorted({family for family in supply.values() if family}):
        text.set_fontfamily([*rcParams["font.family"], *families])
    return text


def name_legend(legend: Any, names: Sequence[Any], most: int = MOST_CHARACTERS) -> None:
    """Write names into a legend; as labels of artists, names that begin with an underscore would be left out."""
    for text, name in zip(legend.get_texts(), names, strict=True):
        text.set_text(readable(name, most))
        as_plain_text(text)


def _missing(text: str) -> set[str]:
    """Return the characters that no font has, and those that draw nothing or change the direction of others."""
    supply = _supply(frozenset(_not_in_default_font(text)))
    return {char for char, family in supply.items() if family is None}


def _not_in_default_font(text: str) -> set[str]:
    return {char for char in set(text) if char not in (" ", "\n", LEFT_TO_RIGHT) and not _in_default_font(char)}


@functools.lru_cache(maxsize=4096)
def _in_default_font_of(char: str, families: tuple[str, ...]) -> bool:
    if unicodedata.category(char).startswith("C"):
        return False
    paths = [font_manager.findfont(font_manager.FontProperties(family=[family])) for family in families]
    return any(font_manager.get_font(path).get_char_index(ord(char)) for path in paths)


def _in_default_font(char: str) -> bool:
    return _in_default_font_of(char, tuple(rcParams["font.family"]))


@functools.lru_cache(maxsize=256)
def _supply(chars: frozenset[str]) -> dict[str, str | None]:
    """Return for each character the family of an installed font that has it, or None."""
    supply: dict[str, str | None] = dict.fromkeys(chars)
    left = {char for char in chars if not unicodedata.category(char).startswith("C")}
    for entry in sorted(font_manager.fontManager.ttflist, key=lambda entry: (entry.style, entry.name, entry.fname)):
        if not left:
            break
        if WITHOUT_UNICODE.fullmatch(entry.name):
            continue
        for char in _characters_in(entry.fname, frozenset(left)):
            supply[char] = entry.name
            left.discard(char)
    return supply


def _characters_in(path: str, chars: frozenset[str]) -> list[str]:
    try:
        font = font_manager.get_font(path)
    except (OSError, RuntimeError):
        return []
    return [char for char in chars if font.scalable and font.get_char_index(ord(char))]
