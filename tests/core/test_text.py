"""Values formatted for sentences."""

import numpy as np
import pytest

from pcacam_jax.core.text import abbreviated, listed, number, one_line, percent, percentile


def test_a_value_of_several_lines_is_put_on_one_line() -> None:
    assert one_line("first\n  second\t third") == "first second third"


@pytest.mark.parametrize(("length", "expected"), [(5, "aaaaa"), (6, "aaaaa...")])
def test_a_long_text_is_cut(length: int, expected: str) -> None:
    assert one_line("a" * length, most=5) == expected


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (0, ""),
        (1, "0"),
        (12, "0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11"),
        (13, "0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, ..."),
    ],
)
def test_twelve_values_are_written_out(count: int, expected: str) -> None:
    assert abbreviated(list(range(count))) == expected
    assert abbreviated(np.arange(count)) == expected


@pytest.mark.parametrize(
    ("names", "expected"), [([], "none"), (["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c")]
)
def test_names_are_joined_as_in_a_sentence(names: list[str], expected: str) -> None:
    assert listed(iter(names)) == expected


@pytest.mark.parametrize(
    ("share", "expected"), [(0.814, "81 %"), (0.0, "0 %"), (1.0, "100 %"), (None, "an undefined share")]
)
def test_shares_are_percentages(share: float | None, expected: str) -> None:
    assert percent(share) == expected


@pytest.mark.parametrize(
    ("percentage", "expected"),
    [(0, "0 %"), (0.004, "0.1 %"), (0.84, "0.8 %"), (1, "1 %"), (96.6, "97 %"), (99.4, "99.4 %"), (99.99, "99.9 %")],
)
def test_only_none_and_all_are_0_and_100_percent(percentage: float, expected: str) -> None:
    assert percentile(percentage) == expected


@pytest.mark.parametrize(("value", "expected"), [(0.456, "0.46"), (0.0, "0.00"), (None, "undefined")])
def test_numbers_have_two_decimals(value: float | None, expected: str) -> None:
    assert number(value) == expected
