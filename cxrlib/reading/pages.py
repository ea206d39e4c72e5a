"""What a reader is told before the first film, and where one part of the reading ends and the next begins."""

from collections.abc import Sequence
from typing import Any

from cxrlib.reading.protocol import SECTIONS, Task

# A guess before anybody has read, from how long such tasks take: single films with five questions, and pairs with two.
SECONDS_EACH = {"practice": 30, "A": 25, "B": 12, "C": 12, "D": 10, "L": 20, "J": 30}
PARTS = {
    "A": ("single films", "{number} films, one at a time. What do you see, how sure are you, does the film look real?"),
    "B": ("two films, one of them synthetic", "{number} pairs. Of each pair one film is synthetic: which is it?"),
    "C": ("two films, one patient?", "{number} pairs. Are both films of the same patient?"),
    "D": (
        "two synthetic films side by side",
        "{number} pairs, all of synthetic films. Which film of each pair looks more like a patient's?",
    ),
    "L": ("films to label", "{number} films, one at a time: is there COVID-19 on it, and how sure are you?"),
    "J": ("films to decide on", "{number} films, one at a time: is there COVID-19 on it, and how sure are you?"),
}  # fmt: skip
CONCEALED = (
    "Some films were taken of patients, others were made by a computer program. You are not told how many there are of "
    "each; it may be any number."
)

TASK = (
    "You will see chest films, and be asked a few questions about each. Your answers show how films made by programs "
    "look to people who read films; that must be known before anybody trains with them."
)
# What the reading is about, and what is to be known of its films, by its first part.
ABOUT_FILMS = {
    "L": (
        "You will see chest films of patients, and say what each shows. What all readers say of a film becomes its "
        "label, and programs are trained or tested with it.",
        "Others label the same films. Answer for yourself, and don't talk about films until everybody has finished. "
        "Some films come a second time, to show how steady labels are. “Can't be told” is an answer too.",
    ),
    "J": (
        "These are the films of patients that readers labelled differently, or could not label. What you say becomes "
        "the label.",
        "You are not told who said what. “Can't be told” leaves the film out.",
    ),
}


def section(task: Task) -> str:
    """The part of the reading to which a task belongs, of `SECTIONS`."""
    return "practice" if task.practice else task.block


def page_before(task: Task, tasks: Sequence[Task]) -> dict[str, Any] | None:
    """The page to be read before a task: a heading, paragraphs, and the words of its button; None within a part.

    `tasks` are all of the reader's, in order. Nothing is said of how many films are of which kind.
    """
    order = [section(each) for each in tasks]
    here = next(place for place, each in enumerate(tasks) if each.task_id == task.task_id)
    if here == 0:
        return _instructions(order)
    return None if order[here - 1] == order[here] else _part(order[here], order)


def _instructions(order: Sequence[str]) -> dict[str, Any]:
    practice, scored = order.count("practice"), len(order) - order.count("practice")
    minutes = max(1, round(sum(SECONDS_EACH[name] for name in order) / 60))
    parts, takes = _parts(order), f"about {minutes} {'minute' if minutes == 1 else 'minutes'}."
    several = len(parts) > 1
    lines = [
        *ABOUT_FILMS.get(parts[0], (TASK, CONCEALED)),
        f"There are {scored} tasks{f' in {len(parts)} parts' if several else ''}: {takes}"
        if practice or several
        else f"{_number(parts[0], order)} This takes {takes}",
        "Answer with the mouse, by touch, or with the keys that stand beside the answers; Enter stores. Press ? at any "
        "time to see all keys.",
        "On a film, drag to change brightness and contrast and turn the wheel to zoom; by touch, two fingers zoom and "
        "one moves the film.",
        "You can stop whenever you like: close the page. What is stored stays, and the reading goes on at the first "
        "film without an answer. P pauses.",
    ]
    if practice:
        lines.insert(
            3, f"First come {practice} for practice, with the right answer after each. Practice does not count."
        )
    elif several:
        lines.append(_number(parts[0], order))
    return {"heading": "Before you begin", "lines": lines, "button": "Begin"}


def _part(name: str, order: Sequence[str]) -> dict[str, Any]:
    parts = _parts(order)
    place = parts.index(name) + 1
    title = PARTS[name][0]
    if place > 1:
        before = f"Part {place - 1} is done, and its answers are stored. Take a break if you like."
    else:
        before = "Practice is over. From now on answers count, and you are not told what a film is."
    heading = f"Part {place} of {len(parts)}: {title}"
    return {"heading": heading, "lines": [before, _number(name, order)], "button": "Go on"}


def _number(name: str, order: Sequence[str]) -> str:
    number = order.count(name)
    text = PARTS[name][1].format(number=number)
    return text if number != 1 else text.replace("1 films", "1 film").replace("1 pairs", "1 pair")


def _parts(order: Sequence[str]) -> list[str]:
    return [name for name in SECTIONS if name != "practice" and name in order]
