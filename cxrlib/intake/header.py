"""What a DICOM header says: is it a frontal chest film, of whom, and the few facts that may be passed on."""

import os
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from cxrlib.films.listing import IMAGE_SUFFIXES
from cxrlib.intake import judgement
from cxrlib.intake.judgement import words
from cxrlib.intake.labels import BARE, without_zeros
from cxrlib.intake.pseudonyms import Pseudonyms
from cxrlib.intake.rules import Rules, said_by

if TYPE_CHECKING:
    from pydicom import Dataset

    from cxrlib.intake.source import Source

# Every reason that `import.csv` can name. It is passed on, so none quotes anything that a file says.
NOT_DICOM = "not a DICOM file"
EMPTY = "empty file (0 bytes)"
UNOPENED = "can't be opened"
LINK_OUT = "a link that leads out of the source"
LINK_TO_FOLDER = "a link to a folder, not followed"
NOT_A_FILE = "not an ordinary file"
UNPACKED = "an archive: its files are counted one by one"
UNREADABLE_ARCHIVE = "an archive that can't be opened, or holds nothing; is it encrypted?"
FOREIGN_ARCHIVE = "an archive of another kind than ZIP, tar, gzip, bzip2 or xz: unpack it first"
INDEX = "DICOMDIR, an index of other files"
NOT_NAMED = "not named by the DICOMDIR"
NOT_THERE = "named by the DICOMDIR, but not there"
OUTSIDE = "named by the DICOMDIR, but outside of its folder"
DAMAGED = "damaged"
CRASHED = "damaged: the decoder crashed"
SLOW = "damaged: the decoder took too long"
NO_PIXELS = "no pixels"
NO_ID = "no patient id or no image id"
OTHER_MODALITY = "another modality than plain radiography"
FOR_PROCESSING = "raw detector data, not for presentation"
MULTI_FRAME = "several frames"
COLOUR = "a colour image"
BURNED_IN = "set aside: declares text or a face in its pixels"
TOO_LARGE = "too many pixels"
UNKNOWN_SYNTAX = "a compression that can't be read: export it uncompressed"
OTHER_DEPTH = "values of another depth than a film's 8 to 16 bits"
NO_CONTRAST = "one grey value only"
UNLABELLED = "no label"
UNCERTAIN_LABEL = "its label is uncertain or empty"
REJECTED = "left out by a person's decision"
RULED_OUT = "left out by a rule of yours"
DUPLICATE = "a copy of another file (same image id)"

# Those of plain radiography; and those under which a film may come besides, if it says that it shows the chest.
MODALITIES = ("CR", "DX", "DR", "XR", "RG", "DS")
PERHAPS_MODALITIES = ("", "OT", "SC", "RF", "HC", "FS", "XC")
# By the name of the file's class: what says CR or nothing may be something else.
OTHER_CLASSES = re.compile(
    r"CT Image|MR Image|Ultrasound|Mammo|Intra-Oral|Nuclear|Positron|Angio|Tomosynthesis|^RT |Document"
)
OLDEST_AGE_YEARS = 90
MAXIMUM_SIDE_PX = 20_000
MAXIMUM_PIXELS = 100_000_000

# Nothing else is even parsed. What is passed on is made from ViewPosition and its kin, PatientSex, PatientAge (or
# PatientBirthDate) and the year of StudyDate; the ids only as pseudonyms.
TAGS = [
    *judgement.TAGS, "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "AccessionNumber", "PatientID", "Modality",
    "StudyDate", "PatientSex", "PatientAge", "PatientBirthDate", "PresentationIntentType", "NumberOfFrames",
    "SamplesPerPixel", "PhotometricInterpretation", "Rows", "Columns", "BurnedInAnnotation",
    "RecognizableVisualFeatures",
]  # fmt: skip
NO_RULES = Rules()
FOR_PROCESSING_CLASS = "1.2.840.10008.5.1.4.1.1.1.1.1"
BARE_STARTS = (b"\x08\0", b"\0\x08", b"\x02\0")  # the first groups of a file without DICOM's preamble
INDEX_CLASS = "1.2.840.10008.1.3.10"


class Skipped(Exception):
    """A file that is left out: `reason` is one of the texts above; `detail` stays with the key."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason)
        self.reason, self.detail = reason, " ".join(detail.split())[:300]


@dataclass(frozen=True)
class Header:
    """A file's header with pseudonyms for ids. `view` is AP, PA or empty; `sex` F, M or empty; `age` and `year` are
    digits or empty. With a `reason` the file is left out. `turn` and `note` are those of a `Judgement`. `keys` are
    pseudonyms by which a label may be found; `said` are its own words in the `FIELDS`, which stay with the key."""

    reason: str = ""
    detail: str = ""
    image_id: str = ""
    patient_id: str = ""
    view: str = ""
    sex: str = ""
    age: str = ""
    year: str = ""
    turn: str = ""
    note: str = ""
    keys: dict[str, str] = field(default_factory=dict)
    said: dict[str, str] = field(default_factory=dict)


def read_header(path: bytes, source: "Source", pseudonyms: Pseudonyms, rules: Rules = NO_RULES) -> Header:
    """Read the header of the file `path` of `source`, by the rules; whatever is wrong becomes its reason.

    A picture (PNG, JPEG, TIFF …) has no header: its label, and whose it is, is found by its file.
    """
    try:
        dataset = open_dataset(source.file(path), TAGS, stop_before_pixels=True)
    except Skipped as skipped:
        if skipped.reason == NOT_DICOM and os.fsdecode(path).lower().endswith(IMAGE_SUFFIXES):
            return picture_header(os.fsdecode(path), pseudonyms)
        return Header(skipped.reason, skipped.detail)
    # Values are parsed when they are asked for, and a damaged one may raise anything.
    keys: dict[str, str] = {}
    said: dict[str, str] = {}
    try:
        keys, said = keys_of(dataset, os.fsdecode(path), pseudonyms), said_by(dataset)
        if rules.apply(dataset):
            raise Skipped(RULED_OUT)
        return replace(describe(dataset, keys), said=said)
    except Skipped as skipped:
        return Header(skipped.reason, skipped.detail, keys=keys, said=said)
    except Exception as error:
        return Header(DAMAGED, in_plain_words(error))


def picture_header(file: str, pseudonyms: Pseudonyms) -> Header:
    """What is known of a picture without a header: its name."""
    keys = {"file": pseudonyms.of("file", file)}
    return Header(image_id=pseudonyms.of("picture", file), note=judgement.NOT_SAID_VIEW, keys=keys)


def open_dataset(path: Path, tags: list[str], stop_before_pixels: bool) -> "Dataset":
    """A DICOM file's elements of the given names, also of a file without the preamble; raises `Skipped`."""
    import pydicom

    try:
        with open(path, "rb") as file:
            start = file.read(132)
        if not start:
            raise Skipped(EMPTY)
        bare = start[128:132] != b"DICM"
        if bare and start[:2] not in BARE_STARTS:
            raise Skipped(NOT_DICOM)
        return pydicom.dcmread(path, force=bare, stop_before_pixels=stop_before_pixels, specific_tags=list(tags))
    except Skipped:
        raise
    except OSError as error:
        raise Skipped(UNOPENED if error.errno else DAMAGED, str(error.strerror or error)) from None
    except Exception as error:  # pydicom raises nearly every type on damaged files
        raise Skipped(DAMAGED, in_plain_words(error)) from None


def in_plain_words(error: Exception) -> str:
    """What is wrong with a file, for a person who doesn't know what Python calls it."""
    said = " ".join(str(error).split())
    if "issing required" in said:
        return f"an element that every image needs is missing: {said.partition(':')[2].strip() or said}"
    if isinstance(error, TypeError | ValueError) and ("NoneType" in said or "None" in said):
        return "an element that every image needs is empty"
    if isinstance(error, EOFError) or "length" in said or "unexpected end" in said.lower():
        return f"the file is cut short, or says a wrong length: {said}"
    if isinstance(error, AttributeError) and "has no attribute" in said:
        return f"an element that every image needs is missing: {said.rpartition(' ')[2]}"
    return f"can't be decoded: {said}"


def keys_of(dataset: "Dataset", file: str, pseudonyms: Pseudonyms) -> dict[str, str]:
    """The pseudonyms by which a label may be found, whatever the file shows; ids that it lacks are left out."""
    patient, accession = words(dataset, "PatientID"), words(dataset, "AccessionNumber")
    ids = {
        "patient_id": patient,
        "accession_number": accession,
        "study_uid": words(dataset, "StudyInstanceUID"),
        "image_uid": words(dataset, "SOPInstanceUID"),
        "file": file,
        "study_date": words(dataset, "StudyDate"),
        BARE["patient_id"]: without_zeros(patient),
        BARE["accession_number"]: without_zeros(accession),
    }
    return {kind: pseudonyms.of(kind, text) for kind, text in ids.items() if text}


def describe(dataset: "Dataset", keys: dict[str, str]) -> Header:
    """What a parsed header says; raises `Skipped` for one that is left out. Without a patient's id, a label's row may
    name the patient."""
    _check_kind(dataset)
    said = judgement.judge(dataset, words(dataset, "Modality").upper() in MODALITIES)
    if said.reason and said.reason not in judgement.JUDGED:
        raise Skipped(said.reason, said.because)
    if "image_uid" not in keys:
        raise Skipped(NO_ID)
    sex = words(dataset, "PatientSex").upper()
    # Where words decide, a person may decide otherwise: all that a film needs is kept.
    return Header(
        reason=said.reason,
        detail=said.because,
        image_id=keys["image_uid"],
        patient_id=keys.get("patient_id", ""),
        view=said.view,
        turn=said.turn,
        note=said.note,
        sex=sex if sex in ("F", "M") else "",
        age=_age(dataset),
        year=_year(words(dataset, "StudyDate")),
        keys=keys,
    )


def _check_kind(dataset: "Dataset") -> None:
    """Raise `Skipped` for whatever is not one grey film made to be looked at."""
    from pydicom.uid import UID

    classes = {str(dataset.file_meta.get("MediaStorageSOPClassUID", "")), words(dataset, "SOPClassUID")}
    modality = words(dataset, "Modality").upper()
    intent = words(dataset, "PresentationIntentType").upper()
    annotated = {words(dataset, name).upper() for name in ("BurnedInAnnotation", "RecognizableVisualFeatures")}
    colours = words(dataset, "PhotometricInterpretation").upper()
    rows, columns = int(dataset.get("Rows") or 0), int(dataset.get("Columns") or 0)
    if INDEX_CLASS in classes:
        raise Skipped(INDEX)
    if modality not in MODALITIES + PERHAPS_MODALITIES or any(OTHER_CLASSES.search(UID(uid).name) for uid in classes):
        raise Skipped(OTHER_MODALITY, modality)
    if rows == 0 or columns == 0:
        raise Skipped(NO_PIXELS)
    if FOR_PROCESSING_CLASS in classes or intent == "FOR PROCESSING":
        raise Skipped(FOR_PROCESSING)
    if int(dataset.get("NumberOfFrames") or 1) != 1:
        raise Skipped(MULTI_FRAME)
    if int(dataset.get("SamplesPerPixel") or 1) != 1 or colours not in ("MONOCHROME1", "MONOCHROME2"):
        raise Skipped(COLOUR, colours)
    if max(rows, columns) > MAXIMUM_SIDE_PX or rows * columns > MAXIMUM_PIXELS:
        raise Skipped(TOO_LARGE, f"{columns} x {rows}")
    if "YES" in annotated:
        raise Skipped(BURNED_IN)


def _age(dataset: "Dataset") -> str:
    """Whole years at the time of the study, at most 90; from PatientAge, else from the birth date."""
    match = re.fullmatch(r"(\d{3})([DWMY])", words(dataset, "PatientAge").upper())
    if match:
        number, unit = int(match[1]), match[2]
        years = {"D": number // 365, "W": number // 52, "M": number // 12, "Y": number}[unit]
    else:
        born, then = words(dataset, "PatientBirthDate"), words(dataset, "StudyDate")
        if not re.fullmatch(r"\d{8}", born) or not re.fullmatch(r"\d{8}", then) or born > then:
            return ""
        years = int(then[:4]) - int(born[:4]) - (then[4:] < born[4:])
    return str(min(years, OLDEST_AGE_YEARS))


def _year(date: str) -> str:
    return date[:4] if re.fullmatch(r"(19|20)\d{6}", date) else ""
