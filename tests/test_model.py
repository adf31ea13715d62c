"""Models in two roles, and their dictionaries."""

import pytest

from pamiq_sched import InferenceModelsDict, TrainingModel, TrainingModelsDict
from pamiq_sched.testing import FakeInferenceModel, FakeTrainingModel


class KeptModel(FakeTrainingModel):
    """A model with a text to keep; notes what is done to it."""

    def __init__(self, text="", **kwargs):
        super().__init__(**kwargs)
        self.text = text
        self.events = []

    def sync_impl(self, inference_model):
        self.events.append("sync")
        super().sync_impl(inference_model)

    def save_state(self, path):
        path.write_text(self.text)

    def load_state(self, path):
        self.events.append("load")
        self.text = path.read_text()


def test_calling_a_training_model_runs_forward():
    assert FakeTrainingModel(lambda a, b: a - b)(5, b=3) == 2


def test_calling_an_inference_model_infers():
    assert FakeInferenceModel(lambda a, b: a - b)(5, b=3) == 2


def test_the_inference_model_is_made_once():
    model = FakeTrainingModel()
    assert model.inference_model is model.inference_model


def test_a_model_without_inference_side_says_so():
    with pytest.raises(RuntimeError, match="has no inference side; make it with has_inference_model=True"):
        _ = FakeTrainingModel(has_inference_model=False).inference_model


def test_a_model_that_no_thread_could_use_is_refused():
    with pytest.raises(ValueError, match="no thread could use it"):
        FakeTrainingModel(has_inference_model=False, inference_thread_only=True)


def test_sync_reaches_the_inference_side():
    model = FakeTrainingModel()
    model.sync()
    model.sync()
    assert model.inference_model.synced == 2


@pytest.mark.parametrize("kwargs", [{"has_inference_model": False}, {"inference_thread_only": True}])
def test_sync_does_nothing_without_an_inference_side_of_its_own(kwargs):
    model = KeptModel(**kwargs)
    model.sync()
    assert model.events == []


def test_the_dictionary_has_the_inference_side_of_every_model_that_has_one():
    models = TrainingModelsDict(
        trained=FakeTrainingModel(),
        hidden=FakeTrainingModel(has_inference_model=False),
        shared=FakeTrainingModel(inference_thread_only=True),
    )
    assert set(models.inference_models_dict) == {"trained", "shared"}
    assert models.inference_models_dict["trained"] is models["trained"].inference_model


def test_a_model_for_the_inference_thread_only_cannot_be_trained():
    models = TrainingModelsDict(shared=FakeTrainingModel(inference_thread_only=True))
    with pytest.raises(KeyError, match="'shared' is for the inference thread only"):
        _ = models["shared"]


def test_an_unknown_training_model_is_refused_with_those_there_are():
    models = TrainingModelsDict(b=FakeTrainingModel(), a=FakeTrainingModel())
    with pytest.raises(KeyError, match=r"no training model 'c'; there are \['a', 'b'\]"):
        _ = models["c"]


def test_an_unknown_inference_model_is_refused_with_those_there_are():
    models = InferenceModelsDict(a=FakeInferenceModel())
    with pytest.raises(KeyError, match=r"no inference model 'c'; there are \['a'\]"):
        _ = models["c"]


@pytest.mark.parametrize("name", ["../x", "", ".x", "a/b", "a\\b"])
def test_a_name_that_cannot_be_a_file_is_refused(name):
    with pytest.raises(ValueError, match="a model's name becomes a file name"):
        TrainingModelsDict({name: FakeTrainingModel()})


def test_every_model_is_saved_and_loaded(tmp_path):
    make = lambda text: {  # noqa: E731
        "trained": KeptModel(text + "1"),
        "hidden": KeptModel(text + "2", has_inference_model=False),
        "shared": KeptModel(text + "3", inference_thread_only=True),
    }
    TrainingModelsDict(make("saved")).save_state(tmp_path / "models")
    loaded = make("other")
    TrainingModelsDict(loaded).load_state(tmp_path / "models")
    assert [model.text for model in loaded.values()] == ["saved1", "saved2", "saved3"]


def test_agents_act_on_what_was_loaded_from_their_first_step(tmp_path):
    models = TrainingModelsDict(a=KeptModel("saved"))
    models.save_state(tmp_path / "models")
    models.load_state(tmp_path / "models")
    assert models["a"].events == ["load", "sync"]


def test_a_training_model_needs_its_three_methods():
    with pytest.raises(TypeError, match="abstract"):
        TrainingModel()
