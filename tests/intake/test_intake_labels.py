"""Tables of labels in the words, code pages and habits of many countries' spreadsheets."""

import openpyxl
import pytest

from cxrlib.errors import InputError
from cxrlib.films.settings import LABELS
from cxrlib.films.table_words import meaning_of
from cxrlib.intake.labels import FilmLabels, read_film_labels
from cxrlib.intake.pseudonyms import Pseudonyms

PSEUDONYMS = Pseudonyms(b"a key for nobody's films")


def read(folder, text: str, encoding: str = "utf-8") -> FilmLabels:
    file = folder / "labels.csv"
    file.write_bytes(text.encode(encoding))
    return read_film_labels(file, PSEUDONYMS)


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Pat.-Nr.;COVID\n1;pos.\n2;neg.\n", "cp1252"),
        ("N° patient;Résultat\n1;positif\n2;négatif\n", "cp1252"),
        ("ID paciente;Diagnóstico\n1;positivo\n2;negativo\n", "utf-8"),
        ("ID do paciente;Resultado\n1;positivo\n2;negativo\n", "utf-8"),
        ("ID paziente;Esito\n1;positivo\n2;negativo\n", "utf-8"),
        ("Patiëntnummer;Uitslag\n1;positief\n2;negatief\n", "utf-8"),
        ("Nr pacjenta;Wynik\n1;dodatni\n2;ujemny\n", "cp1250"),
        ("ID pacienta;Výsledek\n1;pozitivní\n2;negativní\n", "cp1250"),
        ("Beteg azonosító;Eredmény\n1;pozitív\n2;negatív\n", "cp1250"),
        ("Hasta No;Sonuç\n1;pozitif\n2;negatif\n", "cp1254"),
        ("ID пациента;Результат\n1;положительный\n2;отрицательный\n", "cp1251"),
        ("Ασθενής;Αποτέλεσμα\n1;θετικό\n2;αρνητικό\n", "cp1253"),
        ("患者编号,结果\n1,阳性\n2,阴性\n", "gb18030"),
        ("患者ID,結果\n1,陽性\n2,陰性\n", "cp932"),
        ("환자번호,결과\n1,양성\n2,음성\n", "cp949"),
        ("PatientID,RT-PCR\n1,Detected\n2,Not detected\n", "utf-8"),
    ],
)
def test_columns_and_words_of_many_languages_are_known_in_their_code_pages(tmp_path, text, encoding):
    labels = read(tmp_path, text, encoding)
    assert sorted(labels.columns.values()) == ["label", "patient_id"]
    assert [(row.number, row.label) for row in labels.rows.values()] == [(2, "positive"), (3, "negative")]


@pytest.mark.parametrize("sums", ["Summe:;1", "Total;2", "Mittelwert;0,5", "合计;2"])
def test_sums_that_fill_every_column_are_no_patient(tmp_path, sums):
    labels = read(tmp_path, f"PatID;Befund\n1;1\n2;0\n{sums}\n")
    assert [row.number for row in labels.rows.values()] == [2, 3]


@pytest.mark.parametrize("shortened", ["1E+12", "1.2E+12", '"1,23457E+12"'])
def test_a_shortened_number_is_no_id(tmp_path, shortened):
    with pytest.raises(InputError, match=r"row 2: accession_number: found `1.*E\+12`, a number that a spreadsheet has"):
        read(tmp_path, f"Accession No.,label\n{shortened},1\n")


@pytest.mark.parametrize(
    ("word", "meaning"),
    [("No Finding", "negative"), ("non-COVID", "negative"), ("COVID-19 negative", "negative"),
     ("suspected", "uncertain"), ("Verdacht", "uncertain"), ("k. A.", ""), ("o.B.", ""), ("(+)", ""),
     (".", "uncertain"), ("", "uncertain")],
)  # fmt: skip
def test_words_are_compared_without_spaces_and_full_stops(word, meaning):
    assert meaning_of(word) == meaning


@pytest.mark.parametrize(
    "text",
    [
        "PatID;Befund\n1;1,0\n2;0,0\n",
        "PatID;Diagnose\n1;COVID+\n2;COVID-\n",
        "PatID;Diagnose\n1;COVID-19 +\n2;COVID–\n",
        "PatID;Diagnose\n1;SARS-CoV-2 positiv\n2;PCR: negativ\n",
        ",PatID,label\n0,1,1\n1,2,0\n",
        "PatID;positiv;negativ\n1;x;\n2;;X\n",
        "PatID,positive,negative\n1,1,0\n2,0,1\n",
        "PatID,label\n1.0,1.0\n2.0,0.0\n",
        'PatID;Befund\n="1";pos\n="2";neg\n',
        "PatID;Befund\n'1;pos\n'2;neg\n",
        "'PatID';'Befund'\n'1';'pos'\n'2';'neg'\n",
        "PatID;Befund\r1;pos\r2;neg\r",
        "PatID\tBefund\t\t\n 1 \tpos.\t\t\n2\tneg.\t\t\n",
    ],
)  # fmt: skip
def test_tables_of_programs_and_habits_are_read(tmp_path, text):
    labels = read(tmp_path, text)
    found = [(row.number, row.label) for row in labels.rows.values()]
    assert found == [(2, "positive"), (3, "negative")]
    assert [labels.label_of({"patient_id": PSEUDONYMS.of("patient_id", name)})[0] for name in "12"] == [*LABELS][::-1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("PatID;positiv;negativ\n1;x;x\n", "row 2: marked as negative and positive; expected one mark"),
        ("PatID;positiv;negativ\n1;;vielleicht\n", "row 2: found `vielleicht, `, expected x in one"),
        ("PatID;Befund\n1;#NV\n", "row 2: label: found `#NV`, a formula without a value; open the table"),
        ("PatID;Befund\n1;weak +\n", "--word 'weak [+]=negative'"),
        ("PatID;Datum;Befund\n1;2020111;pos\n", "row 2: date: found `2020111`, expected a day such as"),
    ],
)
def test_what_is_wrong_with_a_row_is_said_with_its_remedy(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        read(tmp_path, text)


def workbook(folder, rows, change=lambda sheet: None):
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    change(book.active)
    book.save(folder / "labels.xlsx")
    return folder / "labels.xlsx"


def test_days_of_a_spreadsheet_without_their_format_are_days(tmp_path):
    file = workbook(tmp_path, [("PatID", "Datum", "Befund"), (1, 43922, "pos"), (1, 43923.5, "neg")])
    labels = read_film_labels(file, PSEUDONYMS)
    for day, label in (("20200401", "positive"), ("20200402", "negative")):
        keys = {"patient_id": "1", "study_date": day}
        assert labels.label_of({kind: PSEUDONYMS.of(kind, text) for kind, text in keys.items()})[0] == label


def test_merged_cells_count_for_each_of_their_rows(tmp_path):
    rows = [("PatID", "Ergebnis", None), (None, "COVID", "Tag"), (1, "pos", 1), (2, None, 2), (3, "neg", 3)]
    file = workbook(tmp_path, rows, lambda sheet: [sheet.merge_cells(it) for it in ("A1:A2", "B1:C1", "B3:B4")])
    found = read_film_labels(file, PSEUDONYMS).rows.values()
    assert [(row.number, row.label) for row in found] == [(3, "positive"), (4, "positive"), (5, "negative")]


def test_hidden_rows_hidden_sheets_and_formulas_without_values_are_not_taken_silently(tmp_path):
    rows = [("PatID", "Befund"), (1, "pos"), (2, "pos"), (3, "neg")]

    def hide(sheet):
        sheet.row_dimensions[3].hidden = True

    with pytest.raises(InputError, match="row 3: hidden, as are 0 more; expected rows that can be seen: show those"):
        read_film_labels(workbook(tmp_path, rows, hide), PSEUDONYMS)

    def another(sheet):
        sheet.sheet_state = "hidden"
        new = sheet.parent.create_sheet("new")
        for row in rows[:2]:
            new.append(row)
        sheet.parent.active = new

    assert len(read_film_labels(workbook(tmp_path, rows, another), PSEUDONYMS).rows) == 1
    with pytest.raises(InputError, match=r"row 2: label: found `=IF.*`, a formula without a value; open the table"):
        read_film_labels(workbook(tmp_path, [rows[0], (1, '=IF(A2<3,"pos","neg")')]), PSEUDONYMS)
