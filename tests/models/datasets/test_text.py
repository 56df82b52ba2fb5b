"""Texts and labels of data sets, taken alone."""

import io

import pytest

from models.datasets.labels import Unfit, cell
from models.datasets.text import utf8


@pytest.mark.parametrize("coded", ["utf-8", "utf-16", "utf-32"])
def test_a_text_longer_than_any_part_of_it_stays_whole(coded: str) -> None:
    lines = [f"{number} é 𝄞\n" for number in range(30_000)]
    file = utf8(io.BytesIO("".join(lines).encode(coded)))
    assert file.readline(1000) == lines[0].encode()
    assert file.read() == "".join(lines[1:]).encode()


def test_lists_in_lists_in_lists_are_no_label_at_last() -> None:
    nested: list[object] = [1.0]
    for _ in range(5000):
        nested = [nested]
    with pytest.raises(Unfit):
        cell(nested)
