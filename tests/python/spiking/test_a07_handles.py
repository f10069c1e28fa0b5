"""A7: handles."""

import copy
import pickle

import pytest
import torch

import gradspike.spiking as hxsnn
from gradspike.spiking import Handle
from gradspike.spiking.handle import handle_type


@pytest.mark.parametrize(
    "kind, name, fields",
    [
        (
            hxsnn.LIFObservables,
            "Handle_current_membrane_cadc_membrane_madc_spikes",
            ["current", "membrane_cadc", "membrane_madc", "spikes"],
        ),
        (
            hxsnn.LIObservables,
            "Handle_current_membrane_cadc_membrane_madc",
            ["current", "membrane_cadc", "membrane_madc"],
        ),
        (hxsnn.SynapseHandle, "Handle_graded_spikes", ["graded_spikes"]),
        (hxsnn.TensorHandle, "Handle_tensor", ["tensor"]),
    ],
)
def test_a7_types(kind, name, fields):
    assert kind.__name__ == name and list(kind.__dataclass_fields__) == fields
    assert all(getattr(kind(), field) is None for field in fields)
    filled = kind(*range(len(fields)))  # positional order is alphabetical
    assert [getattr(filled, field) for field in fields] == list(range(len(fields)))
    assert issubclass(kind, Handle) and isinstance(filled, Handle)


def test_a7_there_is_one_class_for_a_set_of_names():
    assert type(Handle("b", "a")) is type(Handle("a", "b")) is handle_type("a", "b", "a")
    assert type(Handle(a=1, b=2)) is type(Handle(b=1, a=2)) is type(Handle("a", "b"))
    assert type(Handle("current", "membrane_madc", "membrane_cadc")) is hxsnn.LIObservables


def test_a7_aelif_fields():
    neurons = hxsnn.AELIF(2, hxsnn.Experiment(mock=True))
    assert list(neurons.output_type.__dataclass_fields__) == [
        "adaptation_cadc",
        "adaptation_madc",
        "current",
        "membrane_cadc",
        "membrane_madc",
        "spikes",
    ]


def test_a7_the_bundle_of_measured_data():
    neurons = hxsnn.LIF(2, hxsnn.Experiment(mock=True))
    from gradspike.spiking._readout import Observables

    data = neurons.post_process(Observables(torch.ones(3, 1, 2), torch.zeros(3, 1, 2)), 3e-6)
    assert type(data).__name__ == "Handle_adaptation_spikes_voltage"
    assert isinstance(data.voltage, hxsnn.AnalogObservable) and isinstance(data.adaptation, hxsnn.AnalogObservable)
    assert torch.equal(data.spikes, torch.ones(3, 1, 2)) and data.voltage.madc is None


def test_a7_empty_and_filled_construction():
    assert Handle("a", "b") == Handle("a", "b") and Handle("a", "b").a is None
    handle = Handle(a=1, b=2)
    assert (handle.a, handle.b) == (1, 2)


def test_a7_mixed_construction():
    assert Handle("a", a=1, b=2).a == 1
    with pytest.raises(Exception, match="Ambiguous Handle construction mode"):
        Handle("c", a=1)


def test_a7_holds():
    handle = hxsnn.LIFObservables(spikes=torch.zeros(1))
    assert handle.holds("spikes") and not handle.holds("current") and not handle.holds("nonsense")
    assert not handle.holds("clone")  # a method is no field


def test_a7_clone_copies_references_into_itself():
    source, target = hxsnn.SynapseHandle(torch.ones(2)), hxsnn.SynapseHandle()
    assert target.clone(source) is None
    assert target.graded_spikes is source.graded_spikes
    with pytest.raises(AssertionError):
        target.clone(hxsnn.TensorHandle())


def test_a7_equality_goes_by_fields_in_order():
    assert hxsnn.SynapseHandle(torch.ones(2)) == hxsnn.TensorHandle(torch.ones(2))  # names and class do not matter
    assert hxsnn.SynapseHandle(torch.ones(2)) != hxsnn.SynapseHandle(torch.zeros(2))
    assert hxsnn.SynapseHandle(torch.ones(2)) != hxsnn.SynapseHandle(torch.ones(3))
    assert hxsnn.SynapseHandle(torch.ones(2)) != hxsnn.SynapseHandle()
    assert Handle(a=1) != Handle(a=1, b=2)
    assert Handle(a=1) != 1 and Handle(a=1) is not None


def test_a7_equality_of_tensors_with_a_graph():
    x = torch.ones(2, requires_grad=True) * 2
    assert hxsnn.SynapseHandle(x) == hxsnn.SynapseHandle(x.detach().clone())


def test_a7_handles_are_not_hashable():
    with pytest.raises(TypeError, match="unhashable"):
        hash(hxsnn.TensorHandle())


def test_a7_texts_show_the_instance():
    hxsnn.TensorHandle(tensor="first")
    assert repr(hxsnn.TensorHandle(tensor="second")) == "Handle_tensor(tensor='second')"
    assert str(hxsnn.TensorHandle(tensor="second")) == "Handle_tensor(tensor='second')"


def test_a7_fields_can_be_set():
    handle = hxsnn.LIFObservables()
    handle.spikes = torch.ones(1)
    assert handle.holds("spikes")


def test_a7_copies_and_pickles():
    handle = hxsnn.LIFObservables(spikes=torch.ones(2))
    for other in (copy.copy(handle), copy.deepcopy(handle), pickle.loads(pickle.dumps(handle))):
        assert other == handle and type(other) is type(handle) and other is not handle
    own = Handle(first=1, second=2)
    assert type(pickle.loads(pickle.dumps(own))) is type(own)


@pytest.mark.parametrize("names", [("a b",), (1,)])
def test_a7_a_field_is_an_identifier(names):
    with pytest.raises(TypeError, match="a field must be named by an identifier"):
        Handle(*names)
