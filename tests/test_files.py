"""Nothing is half-written, and no cell that people open is a formula."""

import csv
import os
import re

import pandas as pd
import pytest

from cxrlib.errors import InputError
from cxrlib.files import append_log, atomic_path, remove_leftovers, trim_log, unquoted_cell, write_table, write_text


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), atomic_path(path) as temporary:
        temporary.write_text(f"half {1 / 0}")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_process_left_goes_and_what_is_being_written_stays(tmp_path):
    with atomic_path(tmp_path / "data" / "films.npy") as left, atomic_path(tmp_path / "table.csv") as written:
        os.utime(left, (1, 1))
        kept = [tmp_path / ".table.csv.kept", tmp_path / ".lock"]
        for path in kept:
            path.touch()
            os.utime(path, (1, 1))
        remove_leftovers(tmp_path)
        assert not left.exists()
        assert written.exists()
        assert all(path.exists() for path in kept)
        left.touch()


def test_a_folder_that_cannot_be_made_is_said_plainly(tmp_path):
    (tmp_path / "results").write_text("a file where a folder should be")
    with pytest.raises(InputError, match="can't be written"):
        write_text(tmp_path / "results" / "study.yaml", "text")


def test_a_torn_log_line_is_dropped_before_going_on(tmp_path):
    log = tmp_path / "log.csv"
    for images in (10, 20, 30):
        append_log(log, {"images": images, "loss": 0.5})
    with open(log, "a") as file:
        file.write("40")
    trim_log(log, lambda row: int(row["images"]) <= 20)
    append_log(log, {"images": 30, "loss": 0.25})
    with open(log, newline="") as file:
        assert [row["images"] for row in csv.DictReader(file)] == ["10", "20", "30"]


FORMULAS = ("=cmd|' /C calc'!A0", "+1+cmd|'/C calc'!A0", "-2+3+cmd", "@SUM(A1)", "\t=1", "\n=1", "'=1", "''@x", " =1",
            "x;=1", "a\n=cmd|'/C calc'!A0", "no;'=1;\t@x", "＝1", "－1＋cmd")  # fmt: skip


def test_no_cell_that_people_open_is_a_formula_and_each_reads_back(tmp_path):
    plain = ["-2.5", "+19", "it's", "'quoted'", "a=b", "−0.3", "", "a; b", "-2; -3", "a, -b"]
    write_table(
        tmp_path / "t.csv", pd.DataFrame({"comment": [*FORMULAS, *plain], "number": range(len(FORMULAS) + len(plain))})
    )
    read = pd.read_csv(tmp_path / "t.csv", dtype=str, keep_default_na=False)["comment"]
    assert not any(
        part.strip(" ")[:1] in tuple("=@\t＝－")
        for cell in read
        for part in re.split("[;\n]", cell)
        if part not in plain
    )
    assert list(read[len(FORMULAS) :]) == plain
    assert [unquoted_cell(cell) for cell in read] == [*FORMULAS, *plain]
    in_r = [re.sub(r"(^|(?<=[;\t\n]))'(?='* *[=@＝＠\t\n+＋－-])", "", cell) for cell in read]
    assert in_r == [*FORMULAS, *plain]


def test_what_no_text_can_hold_is_left_out(tmp_path):
    write_table(tmp_path / "t.csv", pd.DataFrame({"comment": ["a\0b", "c\ud83dd", "\r=1"]}))
    assert pd.read_csv(tmp_path / "t.csv")["comment"].tolist() == ["ab", "c?d", "'\n'=1"]
