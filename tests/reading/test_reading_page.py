"""The reading on a bare page: what is drawn to the pixel, what hands can do, and what is said when things go wrong."""

from types import SimpleNamespace

import numpy as np
import pytest
from reading_browser import CONTRASTS, SCREEN, BarePage, chromium, require_chromium, wait_until

from cxrlib.errors import InputError
from cxrlib.reading.protocol import Task
from cxrlib.reading.questions import QUESTIONS
from cxrlib.reading.viewer import ReadingWidget

SIDE = 64
RANDOM = np.random.default_rng(5)
FILMS = {
    "film0001": RANDOM.integers(0, 256, (SIDE, SIDE), dtype=np.uint8),
    "film0002": RANDOM.integers(1000, 5000, (SIDE, SIDE)).astype(np.uint16),
    "film0003": RANDOM.integers(0, 256, (SIDE, SIDE), dtype=np.uint8),
    "film0004": RANDOM.integers(0, 256, (SIDE, SIDE), dtype=np.uint8),
}


class FewTasks:
    """A sitting of three tasks in memory: a practice film, a film of 16 bits, a pair. `refuse` is what it says to any
    answer while it is set."""

    reader, protocol = "anna", SimpleNamespace(sha256="0" * 64, record={})
    seconds_left = 754.0

    def __init__(self):
        self.tasks = [
            Task("task0001", "A", True, ("film0001",), QUESTIONS["A"]),
            Task("task0002", "A", False, ("film0002",), QUESTIONS["A"]),
            Task("task0003", "B", False, ("film0003", "film0004"), QUESTIONS["B"]),
        ]
        self.given, self.notes, self.refuse = [], [], ""

    done = property(lambda self: len(self.given))
    total = property(lambda self: len(self.tasks))
    open_about = staticmethod(lambda screen: [])
    can_undo = property(lambda self: bool(self.given))
    current = property(lambda self: next(iter(self.tasks[self.done :]), None))
    upcoming = property(lambda self: next(iter(self.tasks[self.done + 1 :]), None))

    def answer(self, task_id, answers, **facts):
        if self.refuse:
            raise InputError(self.refuse)
        assert task_id == self.current.task_id
        practice = self.current.practice
        self.given.append({"answers": answers, **facts})
        return "This film is real: you were right." if practice else None

    def undo_last(self):
        self.given.pop()

    def pause(self):
        self.notes.append("pause")

    def resume(self):
        self.notes.append("resume")


@pytest.fixture(scope="module")
def browser():
    require_chromium()
    with chromium() as opened:
        yield opened


@pytest.fixture
def open_page(browser):
    """`open_page(skip=1, **context)`: a bare page at one of the three tasks."""
    contexts = []

    def opener(skip=0, phase="reading", **options):
        context = browser.new_context(**{"viewport": SCREEN, **options})
        session = FewTasks()
        session.given = [{}] * skip
        bare = BarePage(context, ReadingWidget(session, FILMS))
        contexts.append((context, bare))
        reader = bare.open()
        reader.turn_pages(phase)
        return SimpleNamespace(page=bare.page, reader=reader, session=session, bare=bare)

    yield opener
    for context, bare in contexts:
        context.close()
        assert bare.wrong == []


def middle(drawn: np.ndarray) -> np.ndarray:
    """The film's own pixels out of a canvas that shows them one to one."""
    height, width = drawn.shape
    top, left = (height - SIDE + 1) // 2, (width - SIDE + 1) // 2
    return drawn[top : top + SIDE, left : left + SIDE]


def windowed(film: np.ndarray, low: float, high: float) -> np.ndarray:
    return np.clip((film.astype(float) - low) / (high - low) * 255, 0, 255)


def drag(page, dx, dy, button="left"):
    box = page.locator("canvas.film").first.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down(button=button)
    page.mouse.move(x + dx, y + dy, steps=5)
    page.mouse.up(button=button)


@pytest.mark.parametrize("film", [0, 1])
def test_films_are_drawn_to_the_grey(open_page, film):
    opened = open_page(skip=film)
    reader, greys = opened.reader, FILMS[f"film000{film + 1}"]
    reader.press("actual")
    low, high = (0, 255) if film == 0 else (int(greys.min()), int(greys.max()))
    assert np.abs(middle(reader.pixels()) - windowed(greys, low, high)).max() <= 1
    reader.press("invert")
    assert np.abs(255 - middle(reader.pixels()) - windowed(greys, low, high)).max() <= 1
    reader.press("invert")
    centre, width, step = (low + high) / 2, high - low, (high - low) / 32
    for key in "aaaa":
        reader.key(key)
    reader.key("s")
    centre, width = centre + step, width - 4 * step
    expected = windowed(greys, centre - width / 2, centre + width / 2)
    assert np.abs(middle(reader.pixels()) - expected).max() <= 1


def test_left_drag_changes_the_window_as_far_as_the_hand_moves(open_page):
    opened = open_page()
    opened.reader.press("actual")
    drag(opened.page, -120, 60)
    width, centre = 255 - 120 * 255 / 600, 127.5 + 60 * 255 / 600
    expected = windowed(FILMS["film0001"], centre - width / 2, centre + width / 2)
    assert np.abs(middle(opened.reader.pixels()) - expected).max() <= 1
    assert opened.page.locator(".presets").input_value() == "own"
    opened.page.locator("canvas.film").dblclick()
    assert opened.page.locator(".presets").input_value() == "0"


def test_presets_follow_the_films_own_greys(open_page):
    opened = open_page()
    opened.reader.press("actual")
    opened.page.locator(".presets").select_option("Contrast")
    low, high = np.quantile(FILMS["film0001"], [0.01, 0.99])
    expected = windowed(FILMS["film0001"], low, high)
    assert np.abs(middle(opened.reader.pixels()) - expected).max() <= 3
    before = opened.reader.pixels()
    opened.reader.key("g")
    assert not np.array_equal(opened.reader.pixels(), before)


def test_the_wheel_zooms_at_the_pointer_and_the_right_button_moves_the_film(open_page):
    opened = open_page()
    fitted = opened.reader.pixels()
    opened.reader.press("actual")
    for _ in range(8):
        opened.reader.key("+")
    box = opened.page.locator("canvas.film").bounding_box()
    x, y = round(box["x"] + box["width"] / 2 + 40), round(box["y"] + box["height"] / 2 - 25)
    row, column = round(y - box["y"]), round(x - box["x"])
    before = opened.reader.pixels()
    opened.page.mouse.move(x, y)
    opened.page.mouse.wheel(0, -300)
    after = opened.reader.pixels()
    assert not np.array_equal(after, before)
    assert after[row, column] == before[row, column]
    drag(opened.page, 30, -20, button="right")
    moved = opened.reader.pixels()
    assert (np.abs(moved[60:-60, 60:-60].astype(int) - after[80:-40, 30:-90]) <= 1).mean() > 0.97
    opened.reader.press("fit")
    np.testing.assert_array_equal(opened.reader.pixels(), fitted)


def test_two_films_are_linked_until_they_are_not(open_page):
    opened = open_page(skip=2)
    reader, page = opened.reader, opened.page
    assert page.locator("canvas.film").count() == 2
    both = [reader.pixels(film) for film in (0, 1)]
    drag(page, -100, 0)
    linked = [reader.pixels(film) for film in (0, 1)]
    assert all(not np.array_equal(*pair) for pair in zip(both, linked, strict=True))
    reader.press("link")
    drag(page, -60, 40, button="right")
    assert not np.array_equal(reader.pixels(0), linked[0])
    np.testing.assert_array_equal(reader.pixels(1), linked[1])
    reader.press("link")
    assert not np.array_equal(reader.pixels(1), linked[1])


def test_tags_are_put_on_the_film_with_the_mouse_and_with_keys(open_page):
    opened = open_page(skip=1)
    page, reader = opened.page, opened.reader
    reader.choose("artefacts", "vessels")
    box = page.locator("canvas.film").bounding_box()
    side = min(box["width"], box["height"])
    page.mouse.click(box["x"] + box["width"] / 2 + side / 4, box["y"] + box["height"] / 2 - side / 4)
    reader.choose("artefacts", "opacity")
    reader.key("m", "ArrowLeft", "ArrowLeft", "Shift+ArrowDown", "Enter")
    reader.choose("artefacts", "something else")
    reader.answer_task({"diagnosis": "positive"})
    tags = opened.session.given[-1]["answers"]["artefacts"]
    assert [tag["tag"] for tag in tags] == ["vessels", "opacity", "something else"]
    assert (tags[0]["x"], tags[0]["y"]) == pytest.approx((0.75, 0.25), abs=0.01)
    assert (tags[1]["x"], tags[1]["y"]) == pytest.approx((0.48, 0.55))
    assert (tags[2]["x"], tags[2]["y"]) == (None, None)


def test_free_text_takes_every_key_and_enter_stores(open_page):
    opened = open_page(skip=1)
    reader = opened.reader
    for question, choice in (("diagnosis", "negative"), ("confidence", "5"), ("origin", "surely real")):
        reader.choose(question, choice)
    reader.choose("realism", "4")
    reader.choose("usable", "no")
    opened.page.locator("textarea").click()
    opened.page.keyboard.type("1 rib, d? mid-zone", delay=1)
    reader.key("Enter")
    reader.leave("task0002", keyboard=True)
    answers = opened.session.given[-1]["answers"]
    assert answers["comment"] == "1 rib, d? mid-zone"
    expected = {"diagnosis": "negative", "confidence": "5", "origin": "surely real", "realism": "4", "usable": "no"}
    assert {name: answers[name] for name in expected} == expected


def test_an_open_question_is_named_and_nothing_is_sent(open_page):
    opened = open_page()
    opened.reader.key("2", "Enter")
    assert "Still open: How sure are you" in opened.reader.message
    assert opened.session.given == []
    assert [said["kind"] for said in opened.bare.sent] == ["ready"]


def test_practice_answers_are_told_and_the_film_stays_until_the_reader_goes_on(open_page):
    opened = open_page()
    reader = opened.reader
    assert opened.page.locator(".badge").is_visible()
    reader.key("1", "1", "1", "1", "1", "Enter")
    reader.wait_for_phase("feedback")
    assert reader.message == "This film is real: you were right."
    assert reader.task == "task0001"
    reader.key("Enter")
    assert reader.phase == "feedback", "a second Enter comes before the feedback can have been read"
    reader.wait_until_seen()
    reader.key("Enter")
    reader.wait_for_task()
    assert reader.task == "task0002"
    assert not opened.page.locator(".badge").is_visible()
    assert "about 13 min left" in reader.root.inner_text()


def test_a_refused_answer_stays_and_can_be_sent_again(open_page):
    opened = open_page(skip=1)
    reader, session = opened.reader, opened.session
    session.refuse = "The answer could not be stored (No space left on device)."
    reader.key("2", "3", "4", "5", "1", "Enter")
    opened.page.wait_for_selector(".message:visible")
    assert "No space left on device" in reader.message
    assert (reader.phase, reader.task) == ("reading", "task0002")
    kept = {"diagnosis": "positive", "confidence": "3", "origin": "perhaps real", "realism": "5", "usable": "yes"}
    assert reader.chosen() == kept
    session.refuse = ""
    again = opened.page.get_by_role("button", name="Send again")
    again.click()
    reader.leave("task0002")
    assert len(session.given) == 2
    sent = [said for said in opened.bare.sent if said["kind"] == "answer"]
    assert sent[0]["submission"] == sent[1]["submission"]


def test_a_lost_kernel_is_said_and_the_answer_outlives_the_page(open_page):
    opened = open_page(skip=1)
    reader, page = opened.reader, opened.page
    reader.key("2", "3")
    opened.bare.lose_kernel()
    assert "connection to the kernel is lost" in page.locator(".connection").inner_text()
    assert reader.chosen() == {"diagnosis": "positive", "confidence": "3"}
    opened.bare.silent = False
    opened.bare.open()
    reader.wait_for_task()
    assert reader.chosen() == {"diagnosis": "positive", "confidence": "3"}
    assert not page.locator(".connection").is_visible()


def test_a_lost_kernel_and_the_keys_are_seen_before_the_first_film_too(open_page, monkeypatch):
    monkeypatch.setattr(FewTasks, "open_about", staticmethod(lambda screen: ["experience"]))
    opened = open_page(phase="about")
    opened.reader.key("?")
    opened.page.locator(".help").click(trial=True, timeout=5000)
    opened.reader.key("?")
    opened.bare.lose_kernel()
    opened.page.locator(".connection").click(trial=True, timeout=5000)
    assert "Run the cell again" in opened.page.locator(".connection").inner_text()


def test_undo_shows_the_last_film_with_the_answer_it_had(open_page):
    opened = open_page(skip=1)
    reader = opened.reader
    reader.answer_task({"realism": "4", "origin": "probably real"})
    reader.key("u")
    opened.page.wait_for_selector('.cxr-reading[data-task="task0002"]')
    assert reader.chosen()["realism"] == "4"
    assert reader.chosen()["origin"] == "probably real"
    assert reader.message.startswith("Your last answer was taken back.")
    assert len(opened.session.given) == 1
    reader.choose("realism", "5")
    assert reader.message == ""


def test_a_pause_hides_the_film_and_stops_the_clock(open_page):
    opened = open_page(skip=1)
    reader, page = opened.reader, opened.page
    reader.key("p")
    assert reader.phase == "paused"
    assert page.locator(".cover").is_visible()
    page.wait_for_timeout(1500)
    reader.key("p")
    reader.key("1", "1", "1", "1", "1", "Enter")
    reader.leave("task0002", keyboard=True)
    assert opened.session.notes == ["pause", "resume"]
    assert 0 < opened.session.given[-1]["seconds"] < 1.4


HOLD = """code => {
    const target = document.activeElement;
    const press = (repeat, type = 'keydown') => target.dispatchEvent(new KeyboardEvent(type, {
        key: code.slice(-1).toLowerCase(), code, repeat, bubbles: true, cancelable: true }));
    press(false);
    for (let i = 0; i < 30; i++) press(%s);
    press(false, 'keyup');
}"""


@pytest.mark.parametrize("repeat", ["true", "false"], ids=["as a repeat", "unmarked"])
def test_a_held_key_gives_one_answer(open_page, repeat):
    opened = open_page(skip=1)
    opened.page.evaluate(HOLD % repeat, "Digit2")
    assert opened.reader.chosen() == {"diagnosis": "positive"}
    opened.reader.key("3")
    assert opened.reader.chosen() == {"diagnosis": "positive", "confidence": "3"}


@pytest.mark.parametrize("key", ["m", "u", "p", "i", "o", "g", "l", "?", "e"])
def test_a_held_key_does_one_thing(open_page, key):
    """Of a switch that is thrown thirty times nobody knows where it ends."""
    opened = open_page(skip=2)
    for _ in range(7):
        opened.page.keyboard.down(key)
    opened.page.keyboard.up(key)
    kinds = [said["kind"] for said in opened.bare.sent if said["kind"] not in ("ready", "ping")]
    assert len(kinds) <= 1
    assert opened.reader.phase == ("paused" if key == "p" else "reading")
    if key == "?":
        assert opened.page.locator(".help").is_visible()
    if key == "i":
        assert opened.page.locator('[data-act="invert"]').get_attribute("aria-pressed") == "true"


def test_a_held_or_a_second_enter_skips_nothing(open_page):
    opened = open_page()
    reader, page = opened.reader, opened.page
    reader.key("1", "1", "1", "1", "1")
    for _ in range(20):
        page.keyboard.down("Enter")
    assert reader.wait_for_phase("feedback") == "feedback"
    page.wait_for_timeout(500)
    page.keyboard.down("Enter")
    assert reader.phase == "feedback", "the key was never let go"
    page.keyboard.up("Enter")
    reader.key("Enter")
    reader.wait_for_task()
    assert reader.task == "task0002"


def test_a_double_click_stores_one_answer_and_skips_no_feedback(open_page):
    opened = open_page()
    reader = opened.reader
    reader.key("1", "1", "1", "1", "1")
    opened.page.locator(".foot .submit").dblclick()
    reader.wait_for_phase("feedback")
    opened.page.wait_for_timeout(200)
    assert (reader.phase, reader.task, len(opened.session.given)) == ("feedback", "task0001", 1)


# As a French keyboard sends them: the key of the digit 6 writes a minus, that of Q lies where others have A.
FRENCH = {"Digit1": "&", "Digit2": "é", "Digit3": '"', "Digit4": "'", "Digit5": "(", "Digit6": "-", "KeyA": "q"}


def test_keys_are_known_by_their_place_and_named_as_they_are_printed(open_page):
    opened = open_page(skip=1)
    press = """([code, key]) => document.activeElement.dispatchEvent(
        new KeyboardEvent('keydown', { key, code, bubbles: true, cancelable: true }))"""
    for code in ("Digit2", "Digit3", "Digit6"):
        opened.page.evaluate(press, [code, FRENCH[code]])
        opened.page.evaluate(press.replace("keydown", "keyup"), [code, FRENCH[code]])
    assert opened.reader.chosen() == {"diagnosis": "positive", "confidence": "3", "origin": "surely real"}
    before = opened.page.locator(".readout").inner_text()
    opened.page.evaluate(press, ["KeyA", "q"])
    assert opened.page.locator(".readout").inner_text() != before
    opened.reader.key("?")
    caps = opened.page.locator('.help kbd[data-code="KeyA"]').all_inner_texts()
    assert caps == ["Q"]


def test_w_brightens_as_a_drag_upwards_does(open_page):
    opened = open_page(skip=1)
    before = opened.reader.pixels().mean()
    opened.reader.key("w", "w", "w")
    assert opened.reader.pixels().mean() > before


def test_time_is_kept_over_a_reload_and_stands_still_where_the_film_can_not_be_seen(open_page):
    opened = open_page(skip=1)
    page, reader = opened.page, opened.reader
    page.wait_for_timeout(600)
    opened.bare.open()
    reader.wait_for_task()
    page.evaluate("document.querySelector('.cxr-reading').style.marginTop = '3000px'")
    page.wait_for_timeout(1200)
    page.evaluate("document.querySelector('.cxr-reading').style.marginTop = ''")
    reader.answer_task()
    assert 0.6 <= opened.session.given[-1]["seconds"] < 1.7


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_can_be_read_in_light_and_dark(open_page, scheme):
    opened = open_page()
    reader, page = opened.reader, opened.page
    page.evaluate(f"document.body.dataset.jpThemeLight = '{str(scheme == 'light').lower()}'")
    page.wait_for_selector(f".cxr-reading[data-theme={scheme}]")
    surface = page.locator(".frame .panel").evaluate("node => getComputedStyle(node).backgroundColor")
    assert (np.mean([int(part) for part in surface[4:-1].split(",")]) < 100) == (scheme == "dark")
    seen = page.evaluate(CONTRASTS, ".cxr-reading")
    opened.session.refuse = "The answer could not be stored."
    reader.key("2", "3", "4", "5", "1", "3", "Enter")
    page.wait_for_selector(".message:visible")
    seen += page.evaluate(CONTRASTS, ".cxr-reading")
    opened.session.refuse = ""
    reader.key("Enter")
    reader.wait_for_phase("feedback")
    reader.wait_until_seen()
    reader.key("?")
    seen += page.evaluate(CONTRASTS, ".cxr-reading")
    reader.key("Escape")
    opened.bare.lose_kernel()
    seen += page.evaluate(CONTRASTS, ".cxr-reading")
    assert len(seen) > 150
    assert [text for text, contrast in seen if contrast < 4.5] == []


def test_a_reading_is_dark_unless_the_notebook_is_light(open_page):
    opened = open_page(color_scheme="light")
    opened.page.wait_for_selector('.cxr-reading[data-theme="dark"]')
    opened.page.evaluate("document.body.dataset.jpThemeLight = 'true'")
    opened.page.wait_for_selector('.cxr-reading[data-theme="light"]')


def test_research_only_is_always_on_the_screen(open_page):
    opened = open_page()
    notice = opened.page.get_by_text("For research only. Not for diagnosis.")
    assert notice.is_visible()
    opened.reader.key("p")
    assert notice.is_visible()
    opened.reader.key("p")
    while opened.reader.phase != "finished":
        opened.reader.answer_task()
    assert notice.is_visible()


@pytest.mark.parametrize(("width", "height"), [(1280, 720), (640, 360), (900, 700)])
def test_nothing_is_cut_off_at_any_size_or_enlargement(open_page, width, height):
    opened = open_page(viewport={"width": width, "height": height})
    page = opened.page
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for name in ("submit", "undo", "pause"):
        box = page.locator(f".foot .{name}, .foot [data-act={name}]").bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
    if height >= 700:
        assert page.locator(".frame").bounding_box()["height"] <= height
    else:
        page.locator(".foot .submit").scroll_into_view_if_needed()
    if width == 1280:
        form = page.locator(".form")
        assert form.evaluate("node => node.scrollHeight <= node.clientHeight")
    assert page.locator("canvas.film").bounding_box()["height"] >= 170
    opened.reader.answer_task()


def test_in_a_narrow_place_pages_films_and_keys_begin_at_their_top(open_page):
    """Where a page is longer than the window, the head stays; after it the film is seen, not the questions' end."""
    opened = open_page(phase="page", viewport={"width": 640, "height": 360})
    page = opened.page
    begin = page.locator(".page .submit")
    begin.scroll_into_view_if_needed()
    assert page.evaluate("scrollY") > 0
    page.locator(".notice").click(trial=True, timeout=5000)
    opened.reader.wait_until_seen()
    begin.click()
    opened.reader.wait_for_task()
    assert page.locator(".films").bounding_box()["y"] >= 0
    page.locator(".foot .submit").scroll_into_view_if_needed()
    opened.reader.key("?")
    assert page.locator(".help h3").bounding_box()["y"] >= 0


def test_a_screen_reader_is_told_what_is_there(open_page):
    opened = open_page()
    page = opened.page
    tree = page.locator(".cxr-reading").aria_snapshot()
    for line in (
        'region "Reading of chest films"',
        'img "Chest film, shown as usual',
        'radiogroup "COVID-19 on this film?"',
        'radio "positive"',
        'group "What looks wrong, and where?"',
        'textbox "Anything else?"',
        'progressbar "Answered"',
        'button "Store and go on"',
        'toolbar "Film"',
        'combobox "Window preset"',
    ):
        assert line in tree, tree
    opened.reader.key("2")
    assert page.get_by_role("radio", name="positive").is_checked()
    assert page.get_by_role("status").inner_text() == "Practice. 1 of 1."
    focused = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert focused == "solid"


def test_keys_do_not_leave_the_reading(open_page):
    opened = open_page()
    page = opened.page
    page.evaluate("window.leaked = []; for (const kind of ['keydown', 'keyup', 'keypress'])"
                  " document.addEventListener(kind, event => leaked.push(event.key))")  # fmt: skip
    opened.reader.key("1", "a", "i", "ArrowLeft", "Enter", "?", "Escape", "Tab", "x")
    page.locator(".position").click()
    opened.reader.key("d", "d")
    assert page.evaluate("leaked") == []
    assert page.locator(".cxr-reading").get_attribute("data-lm-suppress-shortcuts") == "true"


def test_a_closed_view_leaves_nothing_behind(open_page):
    opened = open_page()
    opened.page.evaluate("closeWidget()")
    opened.page.evaluate("document.body.dataset.jpThemeLight = 'true'")
    opened.page.wait_for_timeout(100)
    assert opened.page.locator(".cxr-reading").get_attribute("data-theme") == "dark"


def touch(page, points, moves):
    """Fingers on the film, by their ids, moved in step: what a touch screen sends."""
    page.evaluate("""([points, moves]) => {
        const canvas = document.querySelector('canvas.film');
        const box = canvas.getBoundingClientRect();
        canvas.setPointerCapture = () => {};
        const send = (type, id, [x, y]) => canvas.dispatchEvent(new PointerEvent(type, {
            pointerId: id, pointerType: 'touch', clientX: box.left + x, clientY: box.top + y, button: 0, bubbles: true,
            cancelable: true }));
        points.forEach((point, id) => send('pointerdown', id + 1, point));
        moves.forEach((step) => step.forEach((point, id) => send('pointermove', id + 1, point)));
        points.forEach((point, id) => send('pointerup', id + 1, moves.at(-1)?.[id] ?? point));
    }""", [points, moves])  # fmt: skip


def zoom_shown(opened) -> int:
    return int(opened.page.locator(".readout").inner_text().split("Zoom ")[1].split()[0])


@pytest.mark.parametrize(("width", "height"), [(768, 1024), (1024, 768)], ids=["upright", "lying"])
def test_two_fingers_zoom_one_moves_the_film_and_targets_are_large_enough(open_page, width, height):
    opened = open_page(skip=1, viewport={"width": width, "height": height}, has_touch=True)
    before, zoom = opened.reader.pixels(), zoom_shown(opened)
    touch(opened.page, [[100, 100]], [[[140, 130]]])
    assert (zoom_shown(opened), np.array_equal(opened.reader.pixels(), before)) == (zoom, False)
    opened.reader.key("r")
    touch(opened.page, [[100, 100], [200, 100]], [[[75, 100], [225, 100]], [[50, 100], [250, 100]]])
    assert zoom_shown(opened) == pytest.approx(2 * zoom, rel=0.02)
    sizes = opened.page.evaluate("""[...document.querySelectorAll('.cxr-reading button')]
        .filter(node => node.checkVisibility())
        .map(node => node.getBoundingClientRect()).map(box => Math.min(box.width, box.height))""")
    assert min(sizes) >= 44
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= width


def test_where_a_finger_was_looks_like_no_answer_and_no_button_fills_a_page(open_page):
    opened = open_page(skip=2, phase="page", viewport={"width": 768, "height": 1024}, has_touch=True)
    opened.page.evaluate("document.querySelector('.frame').dataset.films = 2")
    assert opened.page.locator(".page .submit").bounding_box()["width"] < 300
    opened.reader.wait_for_task()
    choices = opened.page.locator("[role=radio]")
    choices.nth(0).hover()
    grounds = [node.evaluate("node => getComputedStyle(node).backgroundColor") for node in choices.all()]
    assert len(set(grounds)) == 1


def test_the_middle_button_moves_the_film_and_buttons_zoom(open_page):
    opened = open_page(skip=1)
    before, zoom = opened.reader.pixels(), zoom_shown(opened)
    drag(opened.page, 60, 30, button="middle")
    assert not np.array_equal(opened.reader.pixels(), before)
    opened.reader.press("zoomIn")
    assert zoom_shown(opened) > zoom
    opened.reader.press("zoomOut")
    assert zoom_shown(opened) == zoom


def test_a_film_is_turned_and_flipped_and_points_stay_where_they_are(open_page):
    opened = open_page()
    opened.reader.press("actual")
    film = FILMS["film0001"]
    opened.reader.press("turn")
    np.testing.assert_array_equal(middle(opened.reader.pixels()), np.rot90(film, -1))
    opened.reader.press("flip")
    np.testing.assert_array_equal(middle(opened.reader.pixels()), np.rot90(film[:, ::-1], -1))
    opened.reader.key("1", "1", "1", "1", "1", "1")
    box = opened.page.locator("canvas.film").bounding_box()
    opened.page.mouse.click(box["x"] + box["width"] / 2 + 16, box["y"] + box["height"] / 2)
    opened.reader.submit()
    opened.reader.wait_for_phase("feedback")
    given = opened.session.given[-1]
    (mark,) = given["answers"]["artefacts"]
    # To the right of the middle on the screen is upwards on a film that was flipped and turned to the right.
    assert (mark["x"], mark["y"]) == (pytest.approx(0.5, abs=0.03), pytest.approx(0.25, abs=0.03))
    assert (given["view"][0]["quarter_turns"], given["view"][0]["flipped"]) == (1, True)


def test_the_lens_enlarges_what_lies_under_the_pointer(open_page):
    opened = open_page(skip=1)
    opened.reader.press("lens")
    box = opened.page.locator("canvas.film").bounding_box()
    opened.page.mouse.move(box["x"] + 300, box["y"] + 300)
    with_lens = opened.reader.pixels()
    opened.reader.key("z")
    without = opened.reader.pixels()
    assert not np.array_equal(with_lens, without)
    np.testing.assert_array_equal(with_lens[:100], without[:100])


def test_the_readout_follows_a_resized_window(open_page):
    opened = open_page(skip=1)
    before = zoom_shown(opened)
    opened.page.set_viewport_size({"width": 1000, "height": 500})
    wait_until(opened.page, f"!document.querySelector('.readout').textContent.includes('Zoom {before} %')")


@pytest.mark.parametrize("kept", [False, True])
def test_a_window_is_kept_for_the_next_film_where_the_protocol_says_so(open_page, kept, monkeypatch):
    monkeypatch.setattr(FewTasks, "protocol", SimpleNamespace(sha256="0" * 64, record={"keep_window": kept}))
    opened = open_page()
    opened.reader.key("i")
    opened.reader.answer_task()
    pressed = opened.page.locator('[data-act="invert"]').get_attribute("aria-pressed")
    assert pressed == str(kept).lower()
