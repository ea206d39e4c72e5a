"""The look at doubtful films in a browser: what is asked, what is answered, and that decisions are kept."""

import json
import queue
import threading
import urllib.error
import urllib.request
from urllib.parse import urlsplit

import check_book
import pytest
from dicom_films import Hospital
from reading_browser import wait_until

from cxrlib.intake.look_over import look_over


class Looking:
    """An import that waits for a person, in a thread of its own."""

    def __init__(self, hospital: Hospital) -> None:
        said: queue.Queue[str] = queue.Queue()
        self.result: list = []

        def run() -> None:
            self.result.append(hospital.run(look=lambda work: look_over(work, said.put)))

        self.thread = threading.Thread(target=run, daemon=True)
        self.thread.start()
        self.said = said.get(timeout=60)
        self.address = self.said.rpartition(" ")[2]

    def ask(self, what: str, message=None, address: str = "", **headers: str):
        content = None if message is None else json.dumps(message).encode()
        request = urllib.request.Request(f"{address or self.address}{what}", content, headers)
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.read()

    def end(self):
        self.ask("done", {})
        self.thread.join(timeout=60)
        (imported,) = self.result
        return imported


@pytest.fixture
def hospital(tmp_path):
    hospital = Hospital(tmp_path)
    hospital.add("unclear", ViewPosition="", SeriesDescription="Thorax 2 Ebenen")
    hospital.add("lateral", ViewPosition="LL"), hospital.add("used")
    return hospital


def reasons(hospital):
    return {name: row["reason"] for name, row in hospital.private_table().items()}


def test_decisions_of_the_page_are_applied_kept_and_taken_back(hospital):
    looking = Looking(hospital)
    films = json.loads(looking.ask("films"))
    by_why = {film["why"]: number for number, film in enumerate(films)}
    assert {"can't tell whether it is a frontal view", "not a frontal view"} <= set(by_why)
    assert all(film["decided"] is None for film in films)
    assert looking.ask("0").startswith(b"\x89PNG")
    for number in by_why.values():
        looking.ask("decide", {"film": number, "used": True})
    looking.ask("decide", {"film": by_why["not a frontal view"], "used": None})
    assert looking.end().used == 2
    assert reasons(hospital) == {"unclear": "", "lateral": "not a frontal view", "used": ""}
    assert hospital.run().used == 2
    looking = Looking(hospital)
    again = {film["name"]: film["decided"] for film in json.loads(looking.ask("films"))}
    assert again[films[by_why["can't tell whether it is a frontal view"]]["name"]] is True
    looking.end()


def test_nothing_answers_without_the_secret_or_to_another_name(hospital):
    looking = Looking(hospital)
    port = urlsplit(looking.address).port
    for what, options in {
        "": {"address": f"http://127.0.0.1:{port}/"},
        "films": {"address": f"http://127.0.0.1:{port}/{'x' * 32}/"},
        "9": {}, "../films": {}, "-1": {}, "nothing": {},
    }.items():  # fmt: skip
        with pytest.raises(urllib.error.HTTPError, match="404"):
            looking.ask(what, **options)
    with pytest.raises(urllib.error.HTTPError, match="404"):
        looking.ask("films", Host="evil.example")
    for message in ({"film": -1, "used": True}, {"film": 0, "used": "yes"}, {"film": 99, "used": True}, {}, [1]):
        with pytest.raises(urllib.error.HTTPError, match="400"):
            looking.ask("decide", message)
    page = looking.ask("").decode()
    assert "http" not in page, "the page loads nothing from elsewhere"
    assert looking.end().used == 1


def test_where_no_film_is_in_doubt_nothing_is_served(tmp_path):
    said = []
    hospital = Hospital(tmp_path)
    hospital.write_labels("patient_id,label", "P1,positive")
    hospital.run(look=lambda work: look_over(work, said.append))
    assert said == ["No film is in doubt: there is nothing to look at"]


@pytest.mark.long
def test_a_person_decides_by_keyboard(hospital):
    playwright = pytest.importorskip("playwright.sync_api")
    looking = Looking(hospital)
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=check_book.browser_path(), args=list(check_book.ARGUMENTS))
        page = browser.new_page()
        problems = []
        page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
        page.goto(looking.address)
        wait_until(page, "document.getElementById('picture').naturalWidth > 0")
        count = len(json.loads(looking.ask("films")))
        for number in range(count):
            page.get_by_text(f"Film {number + 1} of {count}").wait_for()
            page.keyboard.press("u")
            page.get_by_text(f"{count - number - 1} undecided").wait_for()
        page.keyboard.press("s")
        page.keyboard.press("d")
        page.get_by_text("this page may be closed").wait_for()
        browser.close()
    looking.thread.join(timeout=60)
    assert problems == []
    assert looking.result[0].used == 2, "all three, but for the last of those in doubt"
