"""The examples in the way of hxtorch: they run, keep their accuracies, and give the same with and without a chip."""

import argparse

import pytest
import torch

import gradspike
from gradspike import chip
from gradspike import spiking as hxsnn
from gradspike.examples import spiking_partitioned as partitioned
from gradspike.examples import spiking_quantised as quantised
from gradspike.examples import spiking_sine as sine
from gradspike.examples import spiking_yinyang as yinyang


@pytest.fixture(scope="module")
def data():
    return yinyang.load_data(500, 200)


@pytest.fixture(scope="module")
def full_data():
    return yinyang.load_data()


@pytest.fixture(scope="module")
def large_digits():
    pytest.importorskip("sklearn")
    return partitioned.load_data(120)


@pytest.fixture(scope="module")
def digits():
    pytest.importorskip("sklearn")
    return quantised.load_data(300)


@pytest.fixture(autouse=True)
def one_thread():
    """As the examples' commands: steps of a millisecond leave nothing for a second thread to win."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("example", [yinyang, sine, partitioned, quantised])
@pytest.mark.parametrize("arguments", [["--epochs", "0"], ["--epochs", "two"], ["--unknown"]])
def test_command_line_refuses(example, arguments):
    with pytest.raises(SystemExit) as error:
        example.main(arguments)
    assert error.value.code == 2


class TestYinYang:
    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            ([], "surrogate gradients, simulated, float weights"),
            (["--eventprop"], "EventProp, simulated, float weights"),
            (["--hardware-weights"], "surrogate gradients, simulated, integers"),
            (["--no-mock"], "in the loop with emulator, preset ideal, float weights"),
            (["--no-mock", "--eventprop", "--seed", "1"], "EventProp, in the loop with emulator"),
        ],
    )
    def test_prints_a_row_for_each_seed(self, arguments, said, capsys):
        assert yinyang.main(["--quick", *arguments]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert said in lines[0] and len(lines) == 3
        assert int(lines[2].split()[0]) == (1 if "--seed" in arguments else 0)
        assert 0.2 < float(lines[2].split()[1]) <= 1.0

    @pytest.mark.parametrize("eventprop", [False, True])
    def test_learns_from_few_samples(self, eventprop, data):
        result = yinyang.train(yinyang.Settings(epochs=5, eventprop=eventprop), data)
        assert result.accuracy > 0.6 and result.firing_rate > 0.2

    def test_same_seed_same_network(self, data):
        first, second = (yinyang.train(yinyang.Settings(epochs=1, seed=3), data).model for _ in range(2))
        assert torch.equal(first.hidden_synapse.weight, second.hidden_synapse.weight)
        assert torch.equal(first.readout_synapse.weight, second.readout_synapse.weight)

    def test_integers_give_the_spikes_of_the_chip(self, data):
        simulated = yinyang.train(yinyang.Settings(epochs=2, hardware_weights=True), data).model
        on_chip = yinyang.YinYangModel(yinyang.Settings(mock=False))
        on_chip.load_state_dict(simulated.state_dict())
        on_chip.fit_to_chip()
        with torch.no_grad():
            simulated(data.test_spikes), on_chip(data.test_spikes)
        assert simulated.spikes.sum() > 1000
        assert torch.equal(simulated.spikes, on_chip.spikes)

    def test_weights_fit_the_chip_while_they_train(self, data):
        model = yinyang.YinYangModel(yinyang.Settings(mock=False))
        torch.nn.init.normal_(model.hidden_synapse.weight, 0.5, 2.0)
        torch.nn.init.normal_(model.readout_synapse.weight, 0.0, 2.0)
        model.fit_to_chip()
        assert model.hidden_synapse.hardware_weight().abs().max() == 63
        assert model.readout_synapse.hardware_weight().abs().max() == 63
        scale = model.readout_synapse.weight_transform.keywords["scale"]
        assert 0 < scale < yinyang.WEIGHT_SCALE
        with torch.no_grad():
            model(data.test_spikes[:, :5])
        held = model.experiment.last_run_chip_configs
        assert all(weights.abs().max() == 63 for weights in held.values())

    def test_loss_sees_the_gain_and_gradients_do_not(self, data):
        model = yinyang.YinYangModel(yinyang.Settings())
        scores = model(data.test_spikes[:, :4])
        (gradient,) = torch.autograd.grad(scores.sum(), model.readout_synapse.weight)
        hidden = model.spikes @ model.readout_synapse.weight.detach().t()
        leaf = hidden.requires_grad_()
        experiment = hxsnn.Experiment(mock=True)
        readout = hxsnn.LI(3, experiment, leak=0.0, tau_mem=yinyang.TAU, tau_syn=yinyang.TAU)
        handle = readout(hxsnn.SynapseHandle(graded_spikes=leaf))
        hxsnn.run(experiment, yinyang.NUM_STEPS)
        largest = handle.membrane_cadc.amax(0)
        (of_graded,) = torch.autograd.grad(largest.sum(), leaf)
        assert torch.allclose(scores, 10.0 * largest, atol=1e-5)
        assert torch.allclose(gradient, torch.einsum("tbo,tbi->oi", of_graded, model.spikes), atol=1e-4)

    def test_analog_chip_in_the_loop_runs(self, data):
        few = yinyang.Data(
            data.train_spikes[:, :50], data.train_classes[:50], data.test_spikes[:, :20], data.test_classes[:20]
        )
        result = yinyang.train(yinyang.Settings(epochs=1, mock=False, preset="calibrated"), few)
        assert "calibrated" in result.model.experiment.result.target
        assert result.firing_rate > 0.2

    # Accuracies of the contract: the network of hxtorch's example, in its short form.

    @pytest.mark.slow
    @pytest.mark.parametrize("seed", range(4))
    def test_surrogate_gradients_reach_their_accuracy(self, seed, full_data):
        assert yinyang.train(yinyang.Settings(seed=seed), full_data).accuracy >= 0.92

    @pytest.mark.slow
    @pytest.mark.parametrize("seed", range(5))
    def test_eventprop_reaches_its_accuracy(self, seed, full_data):
        assert yinyang.train(yinyang.Settings(seed=seed, eventprop=True), full_data).accuracy >= 0.82

    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("preset", "eventprop", "least"),
        [("ideal", False, 0.84), ("ideal", True, 0.6), ("calibrated", False, 0.84), ("calibrated", True, 0.6)],
    )
    def test_chip_in_the_loop_reaches_its_accuracy(self, preset, eventprop, least, full_data):
        settings = yinyang.Settings(mock=False, preset=preset, eventprop=eventprop)
        assert yinyang.train(settings, full_data).accuracy > least


class TestSine:
    @pytest.mark.parametrize(("mock", "preset"), [(True, "ideal"), (False, "ideal"), (False, "calibrated")])
    def test_membranes_follow_the_sines(self, mock, preset):
        result = sine.train(sine.Settings(epochs=100, mock=mock, preset=preset))
        assert result.losses[-1] < 0.06 * result.losses[0]
        assert min(sine.explained(result)) > 0.9

    def test_rest_of_an_ideal_chip_is_that_of_the_parameters(self):
        resting = sine.SineModel(sine.Settings(mock=False)).measure_rest()
        assert torch.allclose(resting, torch.full((3,), sine.LEAK[1]))

    def test_rest_of_an_analog_chip_is_measured(self):
        model = sine.SineModel(sine.Settings(mock=False, preset="calibrated"))
        resting = model.measure_rest()
        assert (resting - sine.LEAK[1]).abs().max() > 0.5
        with torch.no_grad():
            membranes = model(torch.zeros(sine.NUM_STEPS, 50, sine.INPUTS))
        assert membranes.mean((0, 1)).abs().max() < 0.05

    def test_prints_losses_and_shares(self, capsys):
        assert sine.main(["--epochs", "10", "--no-mock"]) == 0
        printed = capsys.readouterr().out
        assert "readings at rest [LSB]: 80.0, 80.0, 80.0" in printed
        assert "after 10 epochs" in printed and printed.count("of the variance explained") == 3


class TestPartitioned:
    def test_parts_are_the_whole(self, large_digits):
        """The same weights in one layer give the same scores."""
        torch.manual_seed(0)
        model = partitioned.PartitionedModel(partitioned.Settings())
        experiment = hxsnn.Experiment(mock=True, dt=partitioned.DT)
        first = hxsnn.Synapse(784, 256, experiment)
        second = hxsnn.Synapse(256, 10, experiment)
        with torch.no_grad():
            first.weight.copy_(torch.cat([synapse.weight for synapse in model.hidden_synapses]))
            second.weight.copy_(torch.cat([synapse.weight for synapse in model.readout_synapses], dim=1))
        options = {**model._neurons(0), "execution_instance": None}
        neurons, readout = hxsnn.LIF(256, experiment, **options), hxsnn.LI(10, experiment, **options)
        handle = readout(second(neurons(first(hxsnn.LIFObservables(spikes=large_digits.test_spikes)))))
        hxsnn.run(experiment, partitioned.NUM_STEPS)
        scores = partitioned.SCORE_GAIN * handle.membrane_cadc.amax(0)
        with torch.no_grad():
            assert torch.allclose(model(large_digits.test_spikes), scores, atol=1e-4)
        assert scores.std() > 0.1

    def test_deployed_in_five_instances(self, large_digits):
        torch.manual_seed(0)
        settings = partitioned.Settings(mock=False, epochs=1, batch_size=48)
        model = partitioned.PartitionedModel(settings)
        losses = partitioned.train(model, large_digits, settings)
        assert len(losses) == 1 and losses[0] > 0
        mapping = model.experiment.mapping
        assert "5 execution instances" in mapping.text
        assert model.experiment.uploads == 2  # one for each batch
        held = model.experiment.last_run_chip_configs
        assert {name: tuple(weights.shape) for name, weights in held.items()} == {
            **{f"hidden{part}": (64, 784) for part in range(4)},
            **{f"readout{part}": (10, 64) for part in range(4)},
        }

    def test_prints_accuracies_and_mapping(self, capsys, large_digits):
        options = argparse.Namespace(epochs=1, tuning_epochs=0, backend="emulator", preset="ideal", seed=0)
        partitioned.run(options, large_digits)
        printed = capsys.readouterr().out
        for text in ("784-256-10", "simulated, float weights", "emulator, ideal: deployed", "hidden3 (64)"):
            assert text in printed

    @pytest.mark.slow
    def test_learns_the_digits(self, capsys):
        pytest.importorskip("sklearn")
        assert partitioned.main([]) == 0
        lines = capsys.readouterr().out.splitlines()
        for text in ("simulated", "deployed", "in the loop"):
            line = next(line for line in lines if text in line)
            assert float(line.replace(text, "").split("weights")[-1].split(":")[-1].split()[0]) > 0.9


class TestQuantised:
    def test_chip_holds_what_the_simulation_computes_with(self):
        torch.manual_seed(0)
        experiment = hxsnn.Experiment(mock=True)
        synapse = quantised.QuantisedSynapse(20, 7, experiment, scale=128.0)
        torch.nn.init.normal_(synapse.weight, 0.0, 1.5)
        handle = synapse(hxsnn.LIFObservables(spikes=torch.eye(20).unsqueeze(1)))
        hxsnn.run(experiment, 20)
        integers = synapse.hardware_weight()
        assert integers.abs().max() == 63
        assert torch.equal(handle.graded_spikes[:, 0].t() * 128.0, integers.float())
        assert synapse.get_connections()[1] == (1, 0, int(integers[0, 1]))

    def test_weights_near_the_bound_keep_a_gradient(self):
        synapse = quantised.QuantisedSynapse(1, 1, hxsnn.Experiment(mock=True), scale=64.0)
        torch.nn.init.constant_(synapse.weight, 2.0)
        handle = synapse.forward_func(hxsnn.LIFObservables(spikes=torch.ones(1, 1, 1)))
        (gradient,) = torch.autograd.grad(handle.graded_spikes.sum(), synapse.weight)
        assert 0.0 < float(gradient) < 0.2

    def test_simulation_and_chip_have_the_same_spikes(self, digits):
        torch.manual_seed(0)
        simulated = quantised.QuantisedModel(quantised.Settings())
        losses = quantised.train(simulated, digits, quantised.Settings(epochs=12))
        assert losses[-1] < 0.6 * losses[0]
        deployed = quantised.QuantisedModel(quantised.Settings(mock=False))
        deployed.load_state_dict(simulated.state_dict())
        result = quantised.compare(simulated, deployed, digits)
        assert result.spikes > 500 and result.spikes_differ == 0
        assert result.membranes_differ < 1e-5
        assert result.simulated == result.deployed > 0.5

    def test_the_chip_computes_the_training_forward(self, digits):
        """In the loop too, and what is uploaded follows the weights."""
        torch.manual_seed(0)
        model = quantised.QuantisedModel(quantised.Settings(mock=False))
        quantised.train(model, digits, quantised.Settings(epochs=1))
        with torch.no_grad():
            model(digits.test_spikes)
        held = model.experiment.last_run_chip_configs
        assert torch.equal(held["hidden"].int(), model.hidden_synapse.hardware_weight())
        assert torch.equal(held["readout"].int(), model.readout_synapse.hardware_weight())

    def test_a_file_says_that_it_holds_integers(self, digits, tmp_path):
        model = quantised.QuantisedModel(quantised.Settings())
        with torch.no_grad():
            model(digits.test_spikes)
        hxsnn.save(model.experiment, tmp_path / "digits.pt", name="digits")
        network = chip.read(gradspike.load(tmp_path / "digits.pt"))
        assert network.description["model_card"]["encoder"] == "integers only: hidden, readout"
        assert torch.equal(network.integers()["hidden"].int(), model.hidden_synapse.hardware_weight())

    def test_prints_the_comparison(self, capsys):
        pytest.importorskip("sklearn")
        assert quantised.main(["--quick"]) == 0
        printed = capsys.readouterr().out
        assert "64-100-10" in printed and "0 spikes differ" in printed

    @pytest.mark.slow
    def test_learns_the_digits(self):
        pytest.importorskip("sklearn")
        options = argparse.Namespace(epochs=15, backend="emulator", preset="ideal", seed=0)
        result = quantised.run(options, quantised.load_data())
        assert result.simulated == result.deployed > 0.9
