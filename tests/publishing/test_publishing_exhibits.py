"""How the book sets tables and numbers: words at the left, numbers whole, and only numbers that are results traced."""

import re
import sys
from pathlib import Path

import pandas as pd
import pytest

BOOK = Path(__file__).resolve().parents[2] / "book"


@pytest.fixture
def exhibits(monkeypatch):
    monkeypatch.syspath_prepend(str(BOOK / "_ext"))
    yield __import__("exhibits")
    sys.modules.pop("exhibits")


def classes(table, place):
    return [cell.get("class") for cell in (line.find_all("td")[place] for line in table.tbody.find_all("tr"))]


def test_words_stand_at_the_left_and_short_numbers_are_never_broken(exhibits):
    frame = pd.DataFrame({"trains on": ["public films", "–", "both"], "mean": ["0.326 ± 0.017", "–", "100 %"]})
    table = exhibits.plain_table(frame.rename_axis("arm").to_html())
    assert classes(table, 0) == ["words"] * 3
    assert classes(table, 1) == ["short"] * 3
    assert table.thead.find_all("th")[-2]["class"] == "words"


def test_a_name_for_columns_leaves_no_empty_line_of_headers(exhibits):
    frame = pd.DataFrame({("training", "positive"): ["1"], ("hospital", "positive"): ["2"]}, index=[("age", "old")])
    frame.index = pd.MultiIndex.from_tuples(frame.index, names=["", "films (patients)"])
    frame.columns.names = ["", ""]
    lines = exhibits.plain_table(frame.to_html()).thead.find_all("tr")
    assert [cell.get_text() for cell in lines[-1].find_all(["td", "th"])][1:] == [
        "films (patients)", "positive", "positive",
    ]  # fmt: skip
    assert len(lines) == 2


def test_counts_have_thousands_and_apostrophes_are_typographic_but_not_in_the_file(exhibits):
    frame = pd.DataFrame({"n": ["1035 (1200)", "2158"], "of": ["the hospital's", "in 95 %"]}, index=["a", "b"])
    table = exhibits.plain_table(frame.to_html())
    assert list(exhibits.rows_of(table)["n"]) == ["1035 (1200)", "2158"]
    shown = exhibits._typed(table.decode_contents())
    assert ">1,035 (1,200)<" in shown
    assert ">2,158<" in shown
    assert "hospital’s" in shown
    assert "95\u00a0%" in shown


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("1,200 films, 86.2 % (84 to 88 %)", ["1,200", "86.2", "84", "88"]),
        ("by −0.08 [−0.14, +0.02].", ["−0.08", "−0.14", "+0.02"]),
        ("efficientnet_lite0 0.1.0, SHA-256 579344248a93, fold1, AC1, shufflenet_v2_x0_5", []),
        ("in 74 % (95 % interval 50 to 89 %), at the 5\u00a0% level", ["74", "50", "89"]),
    ],
)
def test_only_numbers_that_are_results_are_traced_with_their_sign(text, numbers):
    pattern = re.search(r"const NUMBER = /(.*)/;", (BOOK / "_static" / "book.js").read_text(encoding="utf-8"))[1]
    assert re.findall(pattern, text) == numbers
