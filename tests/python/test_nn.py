import copy
import math
import pickle
import warnings

import pytest
import torch

from gradspike import functional as F
from gradspike import nn
from gradspike.functional import _arguments


def spikes_of(time, batch, channels, rate=0.05):
    return (torch.rand(time, batch, channels) < rate).float()


def network():
    return torch.nn.Sequential(nn.Synapse(5, 120), nn.LIF(120), nn.Synapse(120, 3), nn.LI(3))


class TestSynapse:
    def test_forward_is_the_operator(self):
        synapse = nn.Synapse(5, 7, name="hidden", scale=50.0, gradient="returning", rounding="half_away")
        spikes = spikes_of(10, 2, 5, 0.5)
        assert torch.equal(synapse(spikes), F.graded_spikes(spikes, synapse.weight, 50.0, rounding="half_away"))
        assert synapse.projection == "hidden"

    def test_rounding_none_is_the_float_product_and_counts_as_half_even(self):
        synapse = nn.Synapse(5, 7, rounding="none")
        spikes = spikes_of(10, 2, 5, 0.5)
        torch.testing.assert_close(synapse(spikes), spikes @ synapse.weight.t())
        assert synapse.statistics() == F.weight_statistics(synapse.weight, synapse.scale)

    def test_units(self):
        synapse = nn.Synapse(5, 7, scale=64.0, units="lsb")
        spikes = spikes_of(10, 2, 5, 0.5)
        assert torch.equal(synapse(spikes), F.graded_spikes(spikes, synapse.weight, 64.0, units="lsb"))

    @pytest.mark.parametrize("in_features", [1, 2, 5, 10, 63, 120, 784, 4096])
    @pytest.mark.parametrize("receptor", [None, "excitatory", "inhibitory"])
    @pytest.mark.parametrize("max_weight", [63, 126, 315])
    def test_default_scale_keeps_the_initial_weights(self, in_features, receptor, max_weight):
        out_features = max(1, 50000 // in_features)
        synapse = nn.Synapse(
            in_features, out_features, receptor=receptor, min_weight=-max_weight, max_weight=max_weight
        )
        statistics = synapse.statistics()
        assert statistics.clipped_fraction < 0.05
        assert statistics.to_zero_fraction < 0.05
        assert math.log2(synapse.scale).is_integer()

    def test_initial_weights_have_the_documented_spread(self):
        weight = nn.Synapse(100, 1000).weight
        assert weight.std().item() == pytest.approx(1 / math.sqrt(100 * 0.05 * 2.5), rel=0.02)
        assert abs(weight.mean().item()) < 0.01

    def test_squared_response_of_the_default_neuron(self):
        x = torch.zeros(400, 1, 1, dtype=torch.float64)
        x[0] = 1.0
        response = F.li(x).membrane.square().sum().item()
        assert response == pytest.approx(nn.synapse._SQUARED_PSP, rel=0.1)  # the constant is that of continuous time

    def test_receptor_sets_bounds_and_sign(self):
        excitatory, inhibitory = nn.Synapse(4, 4, receptor="excitatory"), nn.Synapse(4, 4, receptor="inhibitory")
        assert (excitatory.min_weight, excitatory.max_weight) == (0.0, 63.0)
        assert (inhibitory.min_weight, inhibitory.max_weight) == (-63.0, 0.0)
        assert (excitatory.weight >= 0).all() and (inhibitory.weight <= 0).all()

    def test_mask(self):
        mask = torch.rand(7, 5) < 0.5
        synapse = nn.Synapse(5, 7, mask=mask)
        spikes = spikes_of(6, 2, 5, 0.5)
        synapse(spikes).sum().backward()
        assert (synapse.weight.grad[~mask] == 0).all()
        assert torch.equal(synapse(spikes), F.graded_spikes(spikes, synapse.weight * mask, synapse.scale))
        assert "mask" in synapse.state_dict()

    def test_transform_module_is_trained(self):
        synapse = nn.Synapse(5, 7, transform=torch.nn.Hardtanh(-0.1, 0.1))
        assert synapse.effective_weight().abs().max() <= 0.1
        scripted = torch.jit.script(synapse)
        spikes = spikes_of(6, 2, 5, 0.5)
        assert torch.equal(scripted(spikes), synapse(spikes))

    def test_dtype_and_device(self):
        assert nn.Synapse(2, 3, dtype=torch.float64).weight.dtype == torch.float64
        assert nn.Synapse(2, 3, device="meta").weight.is_meta

    def test_default_device_moves_no_number(self):
        neurons = nn.LIF(3)
        with torch.device("meta"):
            assert _arguments.number(0.5).device.type == "cpu"
            assert neurons(torch.zeros(2, 1, 3, device="cpu")).device.type == "cpu"

    def test_repr_shows_the_scale(self):
        text = repr(nn.Synapse(5, 120, name="hidden", gradient="identity"))
        assert text == "Synapse(5, 120, scale=16, weights=[-63, 63], gradient=identity, name=hidden)"


class TestLostWeights:
    MESSAGE = "all weights round to zero, the largest is .* LSB: try scale="

    def test_warns_at_construction(self):
        with pytest.warns(UserWarning, match=self.MESSAGE):
            nn.Synapse(5, 7, scale=1e-3)

    def test_warns_at_the_first_call_and_once(self):
        synapse = nn.Synapse(5, 7, name="hidden")
        with torch.no_grad():
            synapse.weight.mul_(1e-4)
        with pytest.warns(UserWarning, match="Synapse 'hidden': " + self.MESSAGE):
            synapse(torch.zeros(1, 1, 5))
        synapse(torch.zeros(1, 1, 5))  # warnings are errors here

    def test_suggested_scale_helps(self):
        synapse = nn.Synapse(5, 7)
        with torch.no_grad():
            synapse.weight.mul_(1e-4)
        with pytest.warns(UserWarning) as caught:
            synapse.check_weights()
        scale = float(str(caught[0].message).split("try scale=")[1].split(" ")[0])
        assert F.weight_statistics(synapse.weight.detach(), scale).to_zero_fraction < 0.05

    def test_does_not_warn_for_zeros_or_for_some_lost_weights(self):
        synapse = nn.Synapse(5, 7)
        with torch.no_grad():
            synapse.weight.zero_()
            synapse.check_weights()
            synapse.weight[0, 0] = 1e-9
            synapse.weight[0, 1] = 1.0
        synapse.check_weights()

    def test_does_not_read_numbers_under_functorch(self):
        synapse = nn.Synapse(5, 7)
        parameters = dict(synapse.named_parameters())
        spikes = spikes_of(3, 2, 5, 0.5)
        gradient = torch.func.grad(lambda p: torch.func.functional_call(synapse, p, spikes).sum())(parameters)
        assert gradient["weight"].shape == (7, 5)


class TestNeurons:
    def test_lif_is_the_operator(self):
        x = torch.randn(20, 2, 4) * 3
        options = {"leak": 0.1, "reset": -0.2, "threshold": 0.9, "tau_mem": 8e-6, "tau_syn": 6e-6}
        options |= {"membrane_capacitance": 9e-6, "refractory_time": 2e-6}
        lif = nn.LIF(4, **options)
        expected = F.lif(x, **options, outputs="spikes+membrane+current")
        assert torch.equal(lif(x), expected.spikes)
        for actual, wanted in zip(lif.traces(x), expected):
            assert torch.equal(actual, wanted)

    def test_li_is_the_operator(self):
        x = torch.randn(20, 2, 4)
        li = nn.LI(4, leak=0.1, tau_mem=8e-6, tau_syn=6e-6, membrane_capacitance=9e-6)
        expected = F.li(x, 0.1, 8e-6, 6e-6, 9e-6, outputs="membrane+current")
        assert torch.equal(li(x), expected.membrane)
        for actual, wanted in zip(li.traces(x), expected):
            assert torch.equal(actual, wanted)

    def test_numbers_stay_numbers_and_tensors_are_registered(self):
        lif = nn.LIF(3, leak=torch.zeros(3), threshold=torch.nn.Parameter(torch.ones(3)), tau_mem=1)
        assert isinstance(lif.tau_mem, float)
        assert dict(lif.named_buffers()).keys() == {"leak"}
        assert dict(lif.named_parameters()).keys() == {"threshold"}
        assert nn.LIF(3).state_dict() == {}

    @pytest.mark.parametrize("name", ["leak", "reset", "threshold", "tau_mem", "tau_syn", "membrane_capacitance"])
    def test_a_parameter_is_trained(self, name):
        value = torch.nn.Parameter(torch.full((4,), 8e-6 if name[0] in "tm" and name != "threshold" else 0.5))
        lif = nn.LIF(4, **{name: value})
        traces = lif.traces(torch.randn(20, 2, 4) * 3)
        (traces.membrane + traces.spikes).sum().backward()
        assert value.grad.abs().sum() > 0

    @pytest.mark.parametrize("refractory_time", [0.0, 2e-6])
    def test_steps_give_the_bits_of_the_run(self, refractory_time):
        x = torch.randn(30, 2, 4) * 3
        lif, li = nn.LIF(4, refractory_time=refractory_time), nn.LI(4, leak=0.2)
        for module, whole in ((lif, lif(x)), (li, li(x))):
            state, steps = None, []
            for row in x:
                step, state = module.step(row, state)
                steps.append(step)
            assert torch.equal(torch.stack(steps), whole)

    def test_double_moves_tensors(self):
        lif = nn.LIF(3, leak=torch.zeros(3)).double()
        assert lif(torch.randn(4, 1, 3, dtype=torch.float64)).dtype == torch.float64

    def test_repr(self):
        text = repr(nn.LIF(3, name="hidden", threshold=torch.ones(3)))
        assert text.startswith("LIF(3, leak=0, reset=0, threshold=[3], tau_mem=1e-05,")
        assert text.endswith("name=hidden)")


class TestNetwork:
    def test_spikes_with_all_defaults(self):
        """Yin-Yang-like input: one spike per channel in 38 steps."""
        for seed in range(10):
            torch.manual_seed(seed)
            model = network()
            spikes = torch.zeros(38, 50, 5)
            spikes.scatter_(0, torch.randint(2, 27, (1, 50, 5)), 1.0)
            recorder = nn.Recorder(model)
            output = recorder(spikes)
            hidden = recorder.spikes["1"]
            assert 0.1 < (hidden.sum(0) > 0).float().mean() < 0.9  # share of neurons that fire in a sample
            assert output.abs().max() > 0
            output.sum().backward()
            assert all(parameter.grad.abs().sum() > 0 for parameter in model.parameters())

    def test_copies_and_pickles(self):
        model = network()
        spikes = spikes_of(20, 2, 5)
        expected = model(spikes)
        assert torch.equal(copy.deepcopy(model)(spikes), expected)
        assert torch.equal(pickle.loads(pickle.dumps(model))(spikes), expected)

    def test_state_dict_is_weights_alone(self):
        model = network()
        model(spikes_of(20, 2, 5))
        assert list(model.state_dict()) == ["0.weight", "2.weight"]
        other = network()
        other.load_state_dict(model.state_dict())
        spikes = spikes_of(20, 2, 5, 0.2)
        assert torch.equal(other(spikes), model(spikes))

    def test_weights_only_checkpoint(self, tmp_path):
        model = network()
        torch.save(model.state_dict(), tmp_path / "weights.pt")
        other = network()
        other.load_state_dict(torch.load(tmp_path / "weights.pt", weights_only=True))
        assert torch.equal(other[0].weight, model[0].weight)

    def test_names_can_be_set_before_scripting(self):
        model = network()
        model[0].projection, model[1].population = "hidden_in", "hidden"
        code = torch.jit.script(model)
        assert code[0].projection == "hidden_in" and code[1].population == "hidden"

    def test_ddp(self, tmp_path):
        import torch.distributed as dist

        dist.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
        try:
            model = network()
            spikes = spikes_of(20, 2, 5, 0.3)
            model(spikes).square().sum().backward()
            expected = [parameter.grad.clone() for parameter in model.parameters()]
            model.zero_grad()
            torch.nn.parallel.DistributedDataParallel(model)(spikes).square().sum().backward()
            for parameter, wanted in zip(model.parameters(), expected):
                assert torch.equal(parameter.grad, wanted)
        finally:
            dist.destroy_process_group()

    def test_checkpointing_recomputes_the_same(self):
        from torch.utils.checkpoint import checkpoint

        model, spikes = network(), spikes_of(20, 2, 5, 0.3)
        model(spikes).square().sum().backward()
        expected = [parameter.grad.clone() for parameter in model.parameters()]
        model.zero_grad()
        checkpoint(model, spikes, use_reentrant=False).square().sum().backward()
        for parameter, wanted in zip(model.parameters(), expected):
            assert torch.equal(parameter.grad, wanted)

    def test_learns(self):
        """A few steps of training lower a classification loss."""
        model = network()
        spikes = spikes_of(30, 60, 5, 0.1)
        labels = spikes.sum((0, 2)).long() % 3
        optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
        losses = []
        for _ in range(40):
            loss = torch.nn.functional.cross_entropy(model(spikes).amax(0), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        assert losses[-1] < 0.8 * losses[0]


class TestRecorder:
    def test_as_a_context(self):
        model = torch.nn.Sequential(nn.Synapse(3, 4), nn.LIF(4, name="first"), nn.Synapse(4, 5), nn.LIF(5))
        spikes = spikes_of(10, 2, 3, 0.5)
        with nn.Recorder(model) as recorder:
            output = model(spikes)
        assert recorder.spikes.keys() == {"first", "3"}
        assert torch.equal(recorder.spikes["3"], output)
        assert torch.equal(recorder.spikes["first"], model[:2](spikes))
        model(spikes)
        assert recorder.spikes["3"].shape == (10, 2, 5)  # nothing is recorded outside

    def test_chunks_are_joined_along_time(self):
        lif = nn.LIF(3)
        x = torch.randn(10, 2, 3) * 3
        with nn.Recorder(lif) as recorder:
            first, second = lif(x[:6]), lif(x[6:])
        assert torch.equal(recorder.spikes[""], torch.cat([first, second]))

    def test_records_carry_gradients(self):
        model = torch.nn.Sequential(nn.Synapse(3, 4), nn.LIF(4))
        recorder = nn.Recorder(model)
        recorder(spikes_of(10, 2, 3, 0.5))
        recorder.spikes["1"].sum().backward()
        assert model[0].weight.grad.abs().sum() > 0

    def test_hooks_are_removed_after_an_error(self):
        model = torch.nn.Sequential(nn.LIF(3))
        with pytest.raises(RuntimeError):
            nn.Recorder(model)(torch.zeros(2, 3))
        assert not model[0]._forward_hooks

    def test_names_must_differ(self):
        model = torch.nn.Sequential(nn.LIF(3, name="a"), nn.LIF(3, name="a"))
        with pytest.raises(
            ValueError, match="Recorder: model must have one LIF layer per name, got two of the name 'a'"
        ):
            nn.Recorder(model)


def test_construction_warns_of_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        network()(spikes_of(5, 1, 5))


class TestRecorderOfEveryNeuron:
    def test_records_whatever_fires(self):
        layers = torch.nn.Sequential(
            nn.Synapse(3, 4), nn.AELIF(4, name="a"), nn.RecurrentLIF(4, 5, name="b"), nn.SynapseLIF(5, 6, name="c")
        )
        recorder = nn.Recorder(layers)
        recorder(torch.ones(7, 2, 3))
        assert {name: tuple(z.shape) for name, z in recorder.spikes.items()} == {
            "a": (7, 2, 4), "b": (7, 2, 5), "c": (7, 2, 6),
        }  # fmt: skip

    def test_membranes_are_not_recorded_and_packed_spikes_refused(self):
        with pytest.raises(ValueError, match="Recorder.*AELIF"):
            nn.Recorder(nn.AELIF(4, fire=False))
        with pytest.raises(ValueError, match="Recorder.*packed"):
            nn.Recorder(nn.SynapseLIF(5, 9, spike_format="packed"))

    def test_prepacked_is_that_of_a_synapse(self):
        for layer in (nn.SynapseLIF(5, 4), nn.EventPropSynapse(5, 4)):
            with pytest.raises(NotImplementedError, match=type(layer).__name__):
                layer.prepacked()

    def test_eventprop_takes_no_parameter_to_train(self):
        for kind in (nn.EventPropLIF, nn.ExactEventPropLIF):
            with pytest.raises(ValueError, match=f"{kind.__name__}.*tau_mem.*Parameter"):
                kind(3, tau_mem=torch.nn.Parameter(torch.tensor(1e-5)))
