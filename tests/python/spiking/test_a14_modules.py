"""A14: modules of the user, wrappers, and extensions of the layers."""

import pytest
import torch
from contract_networks import UNIT, Network, emulator, gradients, handle_of, scaled, spikes

import gradspike.spiking as hxsnn
from gradspike.spiking.functional import Unterjubel, linear_exponential_clamp


class Doubled(hxsnn.HXModule):
    def forward_func(self, input):
        return hxsnn.TensorHandle(tensor=2 * input.tensor)


class WithData(hxsnn.HXModule):
    def forward_func(self, input, hw_data=None):
        self.seen = hw_data
        return hxsnn.TensorHandle(tensor=input.tensor)


@pytest.fixture
def experiment():
    return hxsnn.Experiment(mock=True)


# HXModule


def test_a14_a_module_of_the_user_runs(experiment):
    handle = Doubled(experiment)(hxsnn.TensorHandle(tensor=torch.ones(2)))
    assert type(handle) is hxsnn.TensorHandle and not handle.holds("tensor")
    hxsnn.run(experiment, 1)
    assert torch.equal(handle.tensor, 2 * torch.ones(2))


def test_a14_the_second_argument_is_stored_unchecked(experiment):
    anything = lambda: 1  # noqa: E731
    assert Doubled(experiment, anything).chip_coordinate is anything


def test_a14_func_takes_a_tuple_and_hw_data_where_the_signature_has_it(experiment):
    x = hxsnn.TensorHandle(tensor=torch.ones(2))
    assert torch.equal(Doubled(experiment).func((x,)).tensor, 2 * torch.ones(2))
    assert torch.equal(Doubled(experiment).func(x, hw_data="ignored").tensor, 2 * torch.ones(2))
    module = WithData(experiment)
    module.func((x,), hw_data="measured")
    assert module.seen == "measured"
    module.func((x,))
    assert module.seen is None


def test_a14_without_forward_func_is_one_sentence(experiment):
    hxsnn.HXModule(experiment)(hxsnn.TensorHandle(tensor=torch.ones(2)))
    with pytest.raises(NotImplementedError, match="HXModule must implement forward_func"):
        hxsnn.run(experiment, 1)


def test_a14_exec_forward_fills_the_output(experiment):
    x, output = hxsnn.TensorHandle(tensor=torch.ones(2)), hxsnn.TensorHandle()
    Doubled(experiment).exec_forward(x, output)
    assert torch.equal(output.tensor, 2 * torch.ones(2))


def test_a14_exec_forward_takes_a_map_of_measured_data(experiment):
    module, output = WithData(experiment), hxsnn.TensorHandle()
    module.descriptor = "here"
    module.exec_forward(hxsnn.TensorHandle(tensor=torch.ones(2)), output, {"here": "measured"})
    assert module.seen == "measured"


def test_a14_each_call_returns_a_fresh_handle(experiment):
    module = Doubled(experiment)
    first = module(hxsnn.TensorHandle(tensor=torch.ones(2)))
    hxsnn.run(experiment, 1)
    second = module(hxsnn.TensorHandle(tensor=3 * torch.ones(2)))
    hxsnn.run(experiment, 1)
    assert first is not second
    assert torch.equal(first.tensor, 2 * torch.ones(2)) and torch.equal(second.tensor, 6 * torch.ones(2))


def test_a14_inputs_of_other_modules_accumulate(experiment):
    """The partitioned network of the tutorial calls its output layer once for each part."""
    x, outer = spikes(size=6), hxsnn.LIF(3, experiment, **UNIT)
    parts = [hxsnn.Synapse(2, 3, experiment) for _ in range(3)]
    for part in parts:
        torch.nn.init.normal_(part.weight, 2, 2)
    handles = [outer(part(handle_of(x[..., 2 * k : 2 * k + 2]))) for k, part in enumerate(parts)]
    hxsnn.run(experiment, 20)
    single = hxsnn.LIF(3, experiment, **UNIT)
    graded = sum(x[..., 2 * k : 2 * k + 2] @ part.weight.t() for k, part in enumerate(parts))
    expected = single(hxsnn.SynapseHandle(graded_spikes=graded))
    hxsnn.run(experiment, 20)
    torch.testing.assert_close(handles[-1].membrane_cadc, expected.membrane_cadc)
    assert handles[0].holds("spikes")  # gradspike fills every handle


def test_a14_a_second_handle_of_the_user_replaces_the_first(experiment):
    module = Doubled(experiment)
    module(hxsnn.TensorHandle(tensor=torch.ones(2)))
    handle = module(hxsnn.TensorHandle(tensor=5 * torch.ones(2)))
    hxsnn.run(experiment, 1)
    assert torch.equal(handle.tensor, 10 * torch.ones(2))


@pytest.mark.parametrize("mock", [True, False])
def test_a14_calling_a_network_twice_before_a_run_counts_once(mock):
    """The handles of the later call replace those of the earlier one, and both are filled."""
    experiment = hxsnn.Experiment(mock=True, hardware_weights=True) if mock else emulator(hardware_weights=True)
    network, x = Network(experiment), spikes()
    first, second = network(spikes(seed=5)), network(x)
    hxsnn.run(experiment, 20)
    expected = Network(hxsnn.Experiment(mock=True, hardware_weights=True)).run(x)
    for handles in (first, second):
        assert all(map(torch.equal, *((h.membrane_cadc for h in each) for each in (handles, expected))))


def test_a14_a_handle_that_is_given_twice_counts_once(experiment):
    synapse, neurons = hxsnn.Synapse(5, 4, experiment), hxsnn.LIF(4, experiment)
    graded = synapse(handle_of(spikes()))
    handle = neurons(graded, graded)
    hxsnn.run(experiment, 20)
    assert torch.equal(handle.current[0], graded.graded_spikes[0])


@pytest.mark.parametrize("wrong", [torch.ones(2), None, 1, [hxsnn.TensorHandle()]])
def test_a14_an_input_that_is_no_handle_is_refused_at_the_call(experiment, wrong):
    with pytest.raises(TypeError, match="Doubled: input 0 must be a handle"):
        Doubled(experiment)(wrong)


def test_a14_a_result_of_other_fields_is_refused(experiment):
    class Wrong(hxsnn.HXModule):
        def forward_func(self, input):
            return hxsnn.SynapseHandle(graded_spikes=input.tensor)

    Wrong(experiment)(hxsnn.TensorHandle(tensor=torch.ones(2)))
    with pytest.raises(AssertionError, match="cannot take the fields"):
        hxsnn.run(experiment, 1)


def test_a14_a_module_between_layers_on_a_backend():
    class Nothing(hxsnn.HXModule):
        output_type = hxsnn.LIFObservables

        def forward_func(self, input):
            return hxsnn.LIFObservables(spikes=input.spikes)

    results = []
    for options in ({"mock": True}, {"mock": False, "backend": "emulator"}):
        experiment = hxsnn.Experiment(hardware_weights=True, **options)
        network, between, x = Network(experiment), Nothing(experiment), spikes()
        handle = network.readout(network.readout_synapse(between(network.hidden(network.synapse(handle_of(x))))))
        hxsnn.run(experiment, 20)
        results.append(handle.membrane_cadc)
    assert torch.equal(*results)


# Synapses and neurons of the user


class _Rounded(torch.autograd.Function):
    @staticmethod
    def forward(ctx, weight):
        return weight.round()

    @staticmethod
    def backward(ctx, gradient):
        return gradient


class Clamped(hxsnn.Synapse):
    """As in the tutorial on images."""

    def forward_func(self, input):
        graded = linear_exponential_clamp(input.spikes, self.weight, cap=1.0, start_weight=0.0, quantize=True)
        return hxsnn.SynapseHandle(graded_spikes=graded)


class Custom(hxsnn.Synapse):
    def forward_func(self, input, hw_data=None):
        assert hw_data is None  # projections measure nothing
        return hxsnn.SynapseHandle(graded_spikes=input.spikes @ _Rounded.apply(self.weight).t())


@pytest.mark.parametrize("kind", [Clamped, Custom])
@pytest.mark.parametrize("mock", [True, False])
def test_a14_synapses_of_the_user_train_in_simulation_and_on_a_backend(kind, mock):
    experiment = hxsnn.Experiment(mock=True) if mock else emulator()
    synapse, neurons = kind(5, 4, experiment, transform=scaled(63.0)), hxsnn.LIF(4, experiment, **UNIT)
    torch.nn.init.normal_(synapse.weight, 2, 1)
    handle = neurons(synapse(handle_of(spikes())))
    hxsnn.run(experiment, 20)
    (gradient,) = gradients(synapse, handle.spikes, handle.membrane_cadc)
    assert gradient.any() and gradient.isfinite().all()
    if not mock:
        (held,) = experiment.last_run_chip_configs.values()
        assert torch.equal(held.int(), synapse.hardware_weight())
        assert torch.equal(handle.spikes, *experiment.result.spikes.values())


def test_a14_a_gradient_of_a_custom_function_is_used():
    class Doubling(torch.autograd.Function):
        @staticmethod
        def forward(ctx, graded):
            return graded.clone()

        @staticmethod
        def backward(ctx, gradient):
            return 2 * gradient

    class Steep(hxsnn.Synapse):
        def forward_func(self, input):
            return hxsnn.SynapseHandle(graded_spikes=Doubling.apply(super().forward_func(input).graded_spikes))

    found = []
    for kind in (hxsnn.Synapse, Steep):
        torch.manual_seed(0)
        experiment = hxsnn.Experiment(mock=True)
        synapse = kind(5, 4, experiment)
        handle = synapse(handle_of(spikes()))
        hxsnn.run(experiment, 20)
        found.append(gradients(synapse, handle.graded_spikes)[0])
    torch.testing.assert_close(found[1], 2 * found[0])


def test_a14_neurons_of_the_user_take_measured_data():
    class Clipped(hxsnn.LIF):
        def forward_func(self, input, hw_data=None):
            self.seen = hw_data
            return super().forward_func(input, hw_data=hw_data)

    experiment = emulator()
    synapse, neurons = hxsnn.Synapse(5, 4, experiment), Clipped(4, experiment, **UNIT)
    torch.nn.init.normal_(synapse.weight, 3, 1)
    handle = neurons(synapse(handle_of(spikes())))
    hxsnn.run(experiment, 20)
    assert torch.equal(neurons.seen.spikes, handle.spikes) and handle.spikes.any()


# Wrappers


def recurrent_parts(experiment, size=4, seed=0, **options):
    torch.manual_seed(seed)
    parts = {
        "into": hxsnn.Synapse(5, size, experiment, **options),
        "recurrent": hxsnn.Synapse(size, size, experiment, **options),
        "neurons": hxsnn.LIF(size, experiment, **UNIT, tau_mem=6e-6, membrane_capacitance=6e-6),
    }
    torch.nn.init.normal_(parts["into"].weight, 1.5, 1)
    torch.nn.init.normal_(parts["recurrent"].weight, 0, 1)
    return parts


def call(parts, x):
    """The handles of the modules in a circle."""
    promised = hxsnn.LIFObservables()
    return parts["neurons"](parts["into"](handle_of(x)), parts["recurrent"](promised), output=promised)


class Loop(hxsnn.HXModuleWrapper):
    """The recurrent network as a loop of Python: spikes reach the current one step later."""

    def forward_func(self, input, hw_data=None):
        self.measured = hw_data
        into, recurrent, neurons = (self.wrapped[name] for name in ("into", "recurrent", "neurons"))
        graded = into.forward_func(input).graded_spikes
        rows, spiked = [], torch.zeros_like(graded[0])
        for t in range(graded.shape[0]):
            back = spiked @ recurrent.weight.t() if t else torch.zeros_like(graded[0])
            rows.append(graded[t] + back)
            so_far = neurons.forward_func(hxsnn.SynapseHandle(graded_spikes=torch.stack(rows)))
            spiked = so_far.spikes[-1]
        result = neurons.forward_func(
            hxsnn.SynapseHandle(graded_spikes=torch.stack(rows)), hw_data=None if hw_data is None else hw_data[2]
        )
        return hxsnn.SynapseHandle(graded), hxsnn.SynapseHandle(torch.zeros_like(graded)), result


def test_a14_a_wrapper_with_a_function_of_its_own_replaces_its_modules(experiment):
    parts, x = recurrent_parts(experiment), spikes()
    wrapper = Loop(experiment, **parts)
    handle = call(parts, x)
    assert wrapper() is None  # registers
    hxsnn.run(experiment, 20)
    assert handle.spikes.any() and handle.membrane_cadc.shape == (20, 2, 4)


def test_a14_without_a_function_of_its_own_it_is_one_operator():
    x, results = spikes(), []
    for kind in (Loop, hxsnn.HXModuleWrapper):
        experiment = hxsnn.Experiment(mock=True)
        parts = recurrent_parts(experiment)
        wrapper = kind(experiment, **parts)
        handle = call(parts, x)
        wrapper()
        hxsnn.run(experiment, 20)
        results.append(handle)
    assert torch.equal(results[0].spikes, results[1].spikes) and results[0].spikes.any()
    torch.testing.assert_close(results[0].membrane_cadc, results[1].membrane_cadc)


def test_a14_a_wrapper_holds_modules(experiment):
    parts = recurrent_parts(experiment)
    wrapper = hxsnn.HXModuleWrapper(experiment, into=parts["into"])
    assert wrapper.contains(parts["into"]) and not wrapper.contains(parts["neurons"])
    wrapper.update(neurons=parts["neurons"])
    assert wrapper.contains([parts["into"], parts["neurons"]])
    assert not wrapper.contains([parts["into"], parts["recurrent"]])
    assert wrapper.modules == {"into": parts["into"], "neurons": parts["neurons"]}
    assert wrapper.neurons is parts["neurons"]
    assert list(wrapper.modules()) == [wrapper]  # and still PyTorch's own
    assert not wrapper.state_dict() and wrapper.train() is wrapper


@pytest.mark.parametrize("result", [(), (1, 2), None])
def test_a14_one_handle_for_each_module_or_an_assertion(experiment, result):
    class Wrong(hxsnn.HXModuleWrapper):
        def forward_func(self, *inputs, hw_data=None):
            return result

    parts = recurrent_parts(experiment)
    wrapper = Wrong(experiment, **parts)
    call(parts, spikes())
    wrapper()
    with pytest.raises(AssertionError, match="must return a tuple of 3 handles, one for each module in order"):
        hxsnn.run(experiment, 20)


def test_a14_a_partially_called_wrapper_is_refused(experiment):
    parts = recurrent_parts(experiment)
    wrapper = hxsnn.HXModuleWrapper(experiment, **parts)
    parts["neurons"](parts["into"](handle_of(spikes())))
    wrapper()
    with pytest.raises(ValueError, match="either all of its modules are called or none, not called: 'recurrent'"):
        hxsnn.run(experiment, 20)


def test_a14_a_pattern_without_an_operator_needs_a_function_of_its_own(experiment):
    parts = {"first": hxsnn.Synapse(5, 4, experiment), "neurons": hxsnn.LIF(4, experiment)}
    wrapper = hxsnn.HXModuleWrapper(experiment, **parts)
    parts["neurons"](parts["first"](handle_of(spikes())))
    wrapper()
    with pytest.raises(NotImplementedError, match=r"without a forward_func of its own.*first=Synapse, neurons=LIF"):
        hxsnn.run(experiment, 20)


def test_a14_a_wrapper_takes_several_external_inputs(experiment):
    class Sum(hxsnn.HXModuleWrapper):
        def forward_func(self, first, second):
            graded = self.a.forward_func(first).graded_spikes + self.b.forward_func(second).graded_spikes
            handle = hxsnn.SynapseHandle(graded_spikes=graded)
            return handle, hxsnn.SynapseHandle(), self.neurons.forward_func(handle)

    a, b, neurons = hxsnn.Synapse(5, 4, experiment), hxsnn.Synapse(5, 4, experiment), hxsnn.LIF(4, experiment)
    wrapper = Sum(experiment, a=a, b=b, neurons=neurons)
    first, second = spikes(seed=1), spikes(seed=2)
    handle = neurons(a(handle_of(first)), b(handle_of(second)))
    wrapper()
    hxsnn.run(experiment, 20)
    expected = neurons.forward_func(hxsnn.SynapseHandle(graded_spikes=a.graded_spikes(first) + b.graded_spikes(second)))
    assert torch.equal(handle.membrane_cadc, expected.membrane_cadc)


def test_a14_measured_data_reaches_a_function_of_its_own_and_such_a_wrapper_on_a_backend_is_refused():
    """Only the operator's pattern can be put on a chip; what runs there is that pattern, whatever the loop does."""
    experiment = emulator()
    parts, x = recurrent_parts(experiment), spikes()
    wrapper = Loop(experiment, **parts)
    handle = call(parts, x)
    wrapper()
    hxsnn.run(experiment, 20)
    assert wrapper.measured[:2] == (None, None)
    assert torch.equal(wrapper.measured[2].spikes, handle.spikes) and handle.spikes.any()


def test_a14_injection_of_the_user(experiment):
    class Injected(hxsnn.HXModule):
        def forward_func(self, input):
            return hxsnn.TensorHandle(tensor=Unterjubel.apply(input.tensor, torch.zeros_like(input.tensor)))

    x = torch.ones(3, requires_grad=True)
    handle = Injected(experiment)(hxsnn.TensorHandle(tensor=x))
    hxsnn.run(experiment, 1)
    assert not handle.tensor.any() and torch.equal(torch.autograd.grad(handle.tensor.sum(), x)[0], torch.ones(3))
