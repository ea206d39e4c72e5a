"""A study file is accepted as a whole or refused with one message that says what to do."""

import pytest
import yaml

from cxrlib.errors import InputError
from cxrlib.study import REPOSITORY, load_study


def test_the_demo_says_that_it_is_simulated():
    study = load_study("demo")
    assert study.simulated
    assert "simulated" in study.summary


def test_names_and_paths_give_the_same_study(tiny_study_file):
    study = load_study(tiny_study_file)
    assert study.results.root == tiny_study_file.parent.parent / "results" / "tiny"
    assert study.generator_folds == ("all", "fold0", "fold1")
    assert study.classifier_folds("synthetic-crossfit") == ("fold0", "fold1")
    assert study.classifier_folds("baseline") == ("all",)


def test_every_study_of_the_project_is_valid(monkeypatch, tmp_path):
    for name in ("CXR_DATA", "COVIDX_V8B", "HOSPITAL_FILMS"):
        monkeypatch.setenv(name, str(tmp_path))
    names = [file.stem for file in (REPOSITORY / "studies").glob("*.yaml")]
    assert {"demo", "public", "public-small", "paper", "hospital-template"} <= set(names)
    for name in names:
        assert load_study(name).name == name


def test_the_paper_study_is_the_papers_recipe(monkeypatch, tmp_path):
    monkeypatch.setenv("COVIDX_V8B", str(tmp_path))
    monkeypatch.setenv("HOSPITAL_FILMS", str(tmp_path))
    study = load_study("paper")
    recipe = study.classifier
    assert (recipe.network, recipe.weights, recipe.image_size, recipe.batch_size) == ("resnet50", "imagenet", 224, 16)
    assert (recipe.frozen_epochs, recipe.frozen_learning_rate) == (5, 0.001)
    assert (recipe.epochs, recipe.maximum_learning_rate) == (30, 0.006)
    assert (recipe.horizontal_flip, recipe.rotation_degrees) == (True, 5.0)
    assert study.synthesis.images_per_label == 10_000
    assert study.gan.initialise_from == "random"
    assert not study.data.hospital.publishable


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"gan": {"resolutoin": 64}}, "gan.resolutoin: unknown key; did you mean `resolution`?"),
        ({"clasifier": {}}, "clasifier: unknown key; did you mean `classifier`?"),
        ({"gan": {"batch_size": "many"}}, "gan.batch_size: found 'many'; input should be a valid integer"),
        ({"gan": {"resolution": 65}}, "gan.resolution: found 65; a generator's resolution is 32, 64"),
        ({"data": {"folds": 17}}, "17 folds need at least 17 hospital patients of each label, but one label has 16"),
        ({"data": {"hospital": {"reader": "dicomm"}}}, "data.hospital"),
        (
            {"classifier": {"arms": ["baselin"]}},
            "classifier.arms: found `baselin`, which is no arm; did you mean `baseline`?",
        ),
        ({"synthesis": {"truncation": 1.5}}, "synthesis.truncation: found 1.5"),
        ({"gan": {"initialise_from": "public"}}, "needs public_images above 0"),
        ({"seed": -1}, "seed: found -1"),
    ],
)
def test_a_wrong_study_is_refused_in_words(write_tiny_study, changes, said):
    file = write_tiny_study(**changes)
    with pytest.raises(InputError) as caught:
        load_study(file)
    assert said in str(caught.value)
    assert str(file) in str(caught.value)
    assert not (file.parent.parent / "results").exists()


def test_a_missing_key_is_named(tiny_study_file):
    values = yaml.safe_load(tiny_study_file.read_text())
    del values["data"]["validation"]
    tiny_study_file.write_text(yaml.safe_dump(values))
    with pytest.raises(InputError, match=r"data\.validation: missing; it has no default"):
        load_study(tiny_study_file)


@pytest.mark.parametrize("text", ["name: [", "just words", "- a\n- b", "\x00", "name: !!python/object:os.system {}"])
def test_a_file_that_is_no_study_is_refused(tmp_path, text):
    file = tmp_path / "broken.yaml"
    file.write_text(text)
    with pytest.raises(InputError, match=r"broken\.yaml"):
        load_study(file)


def test_unknown_study_lists_the_known_ones():
    with pytest.raises(InputError, match=r"known studies: .*demo"):
        load_study("dmeo")


def test_nothing_of_the_environment_gets_into_what_is_printed(write_tiny_study, tmp_path, monkeypatch):
    monkeypatch.setenv("WHERE", str(tmp_path))
    told = "A study of ${WHERE}, ${HOME} and ${NO_SUCH}"
    hospital = {"reader": "folder", "folder": "${WHERE}/films", "findings": {"negative": told}}
    hospital["labels"] = {"negative ${WHERE}": "negative", "folder": "positive"}
    study = load_study(write_tiny_study(title=told, summary=told, data={"hospital": hospital}))
    assert (study.title, study.summary, study.data.hospital.findings["negative"]) == (told,) * 3
    assert study.data.hospital.folder == tmp_path / "films"
    assert "negative ${WHERE}" in study.data.hospital.labels


def test_an_unset_environment_variable_is_named(write_tiny_study, monkeypatch):
    monkeypatch.delenv("NO_SUCH_FOLDER", raising=False)
    file = write_tiny_study(data={"hospital": {"reader": "folder", "folder": "${NO_SUCH_FOLDER}/x"}})
    with pytest.raises(InputError, match=r"data\.hospital\.folder: .*NO_SUCH_FOLDER is not set"):
        load_study(file)
