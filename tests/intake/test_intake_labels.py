"""Tables of labels in the words, code pages and habits of many countries' spreadsheets."""

import pytest

from cxrlib.errors import InputError
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
