"""An arm is declared once: one that nothing knows goes through settings, training films, tables, words and figures."""

import made_results as made
import pytest

from cxrlib.chapters.classifiers import shown
from cxrlib.chapters.results import figures
from cxrlib.chapters.results import shown as results_shown
from cxrlib.chapters.style import arm_look
from cxrlib.classifiers.arms import ARMS, GENERATOR, RUNGS, Arm, arm_of
from cxrlib.classifiers.settings import ClassifierSettings
from cxrlib.study import load_study


@pytest.fixture
def toy(monkeypatch):
    arm = Arm("toy", "public films and a third of the synthetic ones", "Does a toy help?", GENERATOR, synthetic=33)
    monkeypatch.setitem(ARMS, "toy", arm)
    return arm


def test_a_new_arm_is_known_to_the_study_and_to_the_order_of_work(toy, write_tiny_study):
    study = load_study(write_tiny_study(classifier={"arms": ["baseline", "toy"], "equal_steps": ["toy"]}))
    assert study.classifier_arms == ("baseline", "toy", "toy-equal-steps")
    assert study.synthetic_folds("toy") == study.classifier_folds("toy") == ("all",)
    assert ClassifierSettings().arms[-1] == "toy"


def test_a_new_arm_has_words_tables_and_a_look_of_its_own(toy):
    arms = ("baseline", "toy", "toy-equal-steps")
    assert shown.arms(arms).loc["toy"].tolist() == [toy.rung, toy.films, toy.answers]
    assert set(results_shown.table_two(made.table2(arms), "hospital").index.get_level_values(0)) == set(arms)
    looks = [arm_look(arm) for arm in ARMS]
    assert len({(line, mark) for _, line, mark in looks}) == len(looks)
    chart = figures.differences(made.differences(arms), "hospital", ["accuracy"], "")
    assert "toy" in [label.get_text() for ax in chart.axes for label in ax.get_yticklabels()]


def test_every_arm_has_its_words_and_its_rung():
    for name in ARMS:
        arm = arm_of(name)
        assert arm.name == name
        assert arm.rung in RUNGS
        assert min(len(arm.films), len(arm.answers)) > 10
