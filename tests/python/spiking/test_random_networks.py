"""Random networks: an experiment is the plain operators called by hand, and its backend is the experiment."""

import torch
from contract_networks import assert_same
from hypothesis import given, settings
from hypothesis import strategies as st

import gradspike.functional as F
import gradspike.spiking as hxsnn

REST = {"tau_mem": 8e-6, "tau_syn": 5e-6, "membrane_capacitance": 9e-6}
layer = st.fixed_dictionaries(
    {
        "size": st.integers(1, 9),
        "scale": st.sampled_from([1.0, 16.0, 24.0, 63.5]),
        "receptor": st.sampled_from([None, None, "excitatory", "inhibitory"]),
        "threshold": st.sampled_from([0.3, 1.0, 2.5]),
        "leak": st.sampled_from([0.0, 0.1, -0.2]),
        "refractory": st.sampled_from([0.0, 1e-6, 2.5e-6]),
        "sparse": st.booleans(),
        "skip": st.booleans(),
    }
)
networks = st.fixed_dictionaries(
    {
        "layers": st.lists(layer, min_size=1, max_size=3),
        "inputs": st.integers(1, 8),
        "steps": st.integers(1, 25),
        "batch": st.integers(1, 4),
        "integers": st.booleans(),
        "readout": st.booleans(),
        "dt": st.sampled_from([1e-6, 0.5e-6]),
        "seed": st.integers(0, 1000),
    }
)


def build(plan, **options):
    """Runs the plan in an experiment: the handles of the populations, and the parameters."""
    torch.manual_seed(plan["seed"])
    x = (torch.rand(plan["steps"], plan["batch"], plan["inputs"]) < 0.4).float()
    experiment = hxsnn.Experiment(dt=plan["dt"], hardware_weights=plan["integers"], **options)
    first = now = hxsnn.LIFObservables(spikes=x)
    width, handles, weights, modules = plan["inputs"], [], [], []
    for place, entry in enumerate(plan["layers"]):
        last = place == len(plan["layers"]) - 1
        graded = []
        for source, count in ((now, width), *([(first, plan["inputs"])] if entry["skip"] and place else [])):
            synapse = projection(experiment, entry, count)
            modules.append(synapse)
            weights.append(synapse.weight)
            graded.append(synapse(source))
        values = {**REST, "leak": entry["leak"]}
        if last and plan["readout"]:
            neurons = hxsnn.LI(entry["size"], experiment, **values)
        else:
            values.update(reset=0.05, threshold=entry["threshold"], refractory_time=entry["refractory"])
            neurons = hxsnn.LIF(entry["size"], experiment, **values)
        now = neurons(*graded)
        handles.append(now)
        width = entry["size"]
    hxsnn.run(experiment, plan["steps"])
    return x, handles, weights, modules


def projection(experiment, entry, count):
    transform = hxsnn.transforms.weight_transforms.linear_saturating
    import functools

    options = {"transform": functools.partial(transform, scale=entry["scale"]), "receptor": entry["receptor"]}
    connections = (torch.rand(count, entry["size"]) < 0.5).float()
    if entry["sparse"]:
        synapse = hxsnn.SparseSynapse(connections, experiment, **options)
    else:
        synapse = hxsnn.Synapse(count, entry["size"], experiment, **options)
    synapse.weight.data = torch.randn(entry["size"], count) * 2
    if entry["sparse"]:
        synapse.weight.data *= connections.t()
    return synapse


def by_hand(plan, x, weights):
    """Membrane, current and spikes of each population, from the operators."""
    weights, now, results = iter(weights), x, []
    for place, entry in enumerate(plan["layers"]):
        bounds = {None: (-63.0, 63.0), "excitatory": (0.0, 63.0), "inhibitory": (-63.0, 0.0)}[entry["receptor"]]
        arithmetic = (entry["scale"], *bounds, "half_even") if plan["integers"] else (1.0, -63.0, 63.0, "none")
        total = F.graded_spikes(now, next(weights), *arithmetic)
        if entry["skip"] and place:
            total = total + F.graded_spikes(x, next(weights), *arithmetic)
        if place == len(plan["layers"]) - 1 and plan["readout"]:
            result = F.li(total, entry["leak"], **REST, dt=plan["dt"], outputs="membrane+current")
        else:
            result = F.lif(
                total,
                entry["leak"],
                0.05,
                entry["threshold"],
                **REST,
                refractory_time=entry["refractory"],
                dt=plan["dt"],
                outputs="spikes+membrane+current",
            )
            now = result.spikes
        results.append(result)
    return results


def loss_of(traces):
    return sum((t * torch.linspace(-1, 1, t.numel()).reshape(t.shape)).sum() for t in traces)


@settings(max_examples=60)
@given(networks)
def test_an_experiment_is_the_operators_called_by_hand(plan):
    x, handles, weights, _ = build(plan, mock=True)
    results = by_hand(plan, x, weights)
    for handle, result in zip(handles, results):
        assert torch.equal(handle.current, result.current) and torch.equal(handle.membrane_cadc, result.membrane)
        assert not handle.holds("spikes") or torch.equal(handle.spikes, result.spikes)
    ours = torch.autograd.grad(loss_of([h.membrane_cadc for h in handles]), weights)
    theirs = torch.autograd.grad(loss_of([r.membrane for r in results]), weights)
    exact = not any(entry["sparse"] for entry in plan["layers"])  # sparse sums have an order of their own
    for a, b, module in zip(ours, theirs, build(plan, mock=True)[3]):
        b = b * module.mask if isinstance(module, hxsnn.SparseSynapse) else b
        if exact:
            assert torch.equal(a, b)
        else:
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


@settings(max_examples=30)
@given(networks)
def test_an_experiment_with_integers_is_its_ideal_emulator(plan):
    plan = {**plan, "integers": True}
    simulated = build(plan, mock=True)[1]
    measured = build(plan, mock=False, backend="emulator")[1]
    for ours, theirs in zip(simulated, measured):
        assert_same(ours, theirs)


@settings(max_examples=30)
@given(networks)
def test_an_experiment_is_its_module(plan):
    _, handles, _, modules = build(plan, mock=True)
    module = hxsnn.to_module(modules[0].experiment)
    expected = handles[-1].membrane_cadc if plan["readout"] else handles[-1].spikes
    x = build(plan, mock=True)[0]
    assert torch.equal(module(x), expected)


@settings(max_examples=25)
@given(
    st.lists(st.integers(1, 6), min_size=1, max_size=3),
    st.integers(1, 7),
    st.integers(1, 20),
    st.sampled_from([0.0, 1e-6, 2.5e-6]),
    st.tuples(st.booleans(), st.booleans()),
    st.integers(0, 1000),
)
def test_a_recurrent_wrapper_is_the_operator_and_its_emulator(inputs, size, steps, refractory, sparse, seed):
    results = []
    for options in ({"mock": True}, {"mock": False, "backend": "emulator"}):
        torch.manual_seed(seed)
        experiment = hxsnn.Experiment(hardware_weights=True, **options)
        xs = [(torch.rand(steps, 2, count) < 0.4).float() for count in inputs]
        entry = {"size": size, "scale": 20.0, "receptor": None, "sparse": sparse[0]}
        into = [projection(experiment, entry, count) for count in inputs]
        back = projection(experiment, {**entry, "sparse": sparse[1]}, size)
        neurons = hxsnn.LIF(
            size, experiment, leak=0.0, reset=0.05, threshold=1.0, **REST, refractory_time=refractory, dt=1e-6
        )
        parts = {f"into{k}": synapse for k, synapse in enumerate(into)}
        wrapper = hxsnn.HXModuleWrapper(experiment, **parts, back=back, neurons=neurons)
        handle = hxsnn.LIFObservables()
        graded = [synapse(hxsnn.LIFObservables(spikes=x)) for synapse, x in zip(into, xs)]
        neurons(*graded, back(handle), output=handle)
        wrapper()
        hxsnn.run(experiment, steps)
        results.append(handle)
    assert_same(*results)
    expected = F.recurrent_lif(
        torch.cat(xs, dim=-1),
        torch.cat([synapse.weight for synapse in into], dim=1),
        back.weight,
        0.0,
        0.05,
        1.0,
        **REST,
        refractory_time=refractory,
        input_scale=20.0,
        recurrent_scale=20.0,
        outputs="spikes+membrane+current",
    )
    assert torch.equal(results[0].spikes, expected.spikes) and torch.equal(results[0].current, expected.current)
