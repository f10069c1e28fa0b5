"""What PyTorch does around a training step: checkpointing, hooks, anomaly mode, AMP, determinism, compiled autograd."""

import math
import warnings

import pytest
import torch
from torch.utils.checkpoint import checkpoint

from gradspike import nn
from gradspike.nn import Recorder

SIZES = (5, 7, 3)


def network(kind="layers"):
    torch.manual_seed(3)
    inputs, hidden, outputs = SIZES
    tau = torch.nn.Parameter(10e-6 * torch.linspace(0.75, 1.25, hidden))
    first = {
        "layers": lambda: [nn.Synapse(inputs, hidden), nn.LIF(hidden, tau_mem=tau)],
        "fused": lambda: [nn.SynapseLIF(inputs, hidden, tau_mem=tau)],
        "fused, recomputing": lambda: [nn.SynapseLIF(inputs, hidden, tau_mem=tau, recompute_every=4)],
        "recurrent": lambda: [nn.RecurrentLIF(inputs, hidden, tau_mem=tau)],
        "adaptive": lambda: [nn.Synapse(inputs, hidden), nn.AELIF(hidden, tau_mem=tau)],
        "eventprop": lambda: [EventProp(inputs, hidden)],
        "sparse": lambda: [nn.SparseSynapse(torch.ones(inputs, hidden)), nn.LIF(hidden, tau_mem=tau)],
    }[kind]()
    return torch.nn.Sequential(*first, nn.Synapse(hidden, outputs), nn.LI(outputs))


class EventProp(torch.nn.Module):
    def __init__(self, inputs, size):
        super().__init__()
        self.synapse, self.neurons = nn.EventPropSynapse(inputs, size), nn.EventPropLIF(size)

    def forward(self, spikes):
        return self.neurons(*self.synapse(spikes))


KINDS = ["layers", "fused", "fused, recomputing", "recurrent", "adaptive", "eventprop", "sparse"]


def spikes(time=20, batch=4):
    return (torch.rand(time, batch, SIZES[0], generator=torch.Generator().manual_seed(4)) < 0.3).float()


def step(model, forward=None):
    """Output and gradients of one step."""
    model.zero_grad()
    output = (forward or model)(spikes().requires_grad_())
    output.square().mean().backward()
    return [output.detach()] + [parameter.grad.clone() for parameter in model.parameters()]


def assert_same(actual, expected):
    assert len(actual) == len(expected)
    for a, e in zip(actual, expected):
        assert a.dtype == e.dtype and torch.equal(a, e)


@pytest.fixture(params=KINDS)
def model(request):
    model = network(request.param)
    assert all(gradient.abs().max() > 0 for gradient in step(model)[1:]), "nothing to compare"
    return model


@pytest.mark.parametrize("reentrant", [False, True])
def test_activation_checkpointing(model, reentrant):
    def forward(x):
        return checkpoint(model, x, use_reentrant=reentrant)

    assert_same(step(model, forward), step(model))


@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpoint_of_a_part(reentrant):
    model = network()

    def forward(x):
        hidden = checkpoint(model[:2], x, use_reentrant=reentrant)
        return model[2:](hidden)

    assert_same(step(model, forward), step(model))


def test_selective_checkpointing():
    """A policy may keep the results of single operators, by name."""
    from torch.utils.checkpoint import CheckpointPolicy, create_selective_checkpoint_contexts

    model, seen = network(), []

    def policy(context, operator, *args, **kwargs):
        seen.append(str(operator))
        keep = operator == torch.ops.gradspike._lif_forward.default
        return CheckpointPolicy.MUST_SAVE if keep else CheckpointPolicy.PREFER_RECOMPUTE

    def forward(x):
        contexts = lambda: create_selective_checkpoint_contexts(policy)  # noqa: E731
        return checkpoint(model, x, use_reentrant=False, context_fn=contexts)

    assert_same(step(model, forward), step(model))
    assert "gradspike._lif_forward.default" in seen


def test_dropout_is_repeated_by_checkpointing():
    """The state of the random numbers is kept: the second forward pass drops the same neurons."""
    model = network()
    model.insert(2, nn.BatchDropout(SIZES[1], 0.5))
    torch.manual_seed(9)
    expected = step(model)
    torch.manual_seed(9)
    assert_same(step(model, lambda x: checkpoint(model, x, use_reentrant=False)), expected)


def test_saved_tensors_may_be_moved_and_packed(model):
    """Hooks see every tensor that is kept; through a file, a copy or another device they come back as they were."""
    packed = []

    def pack(tensor):
        packed.append(tensor)
        return tensor.detach().numpy().copy(), tensor.dtype

    def unpack(stored):
        return torch.from_numpy(stored[0]).to(stored[1])

    with torch.autograd.graph.saved_tensors_hooks(pack, unpack):
        actual = step(model)
    assert packed
    assert_same(actual, step(model))


def test_saved_tensors_on_the_cpu(model):
    with torch.autograd.graph.save_on_cpu():
        actual = step(model)
    assert_same(actual, step(model))


def test_hooks_may_refuse():
    with (
        torch.autograd.graph.disable_saved_tensors_hooks("no hooks here"),
        pytest.raises(RuntimeError, match="no hooks here"),
        torch.autograd.graph.save_on_cpu(),
    ):
        pass


def test_anomaly_mode(model):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with torch.autograd.detect_anomaly():
            actual = step(model)
    assert_same(actual, step(model))


def test_anomaly_mode_names_the_forward_call():
    """A gradient that is NaN is found at the operator that gives it, with the line that called it."""
    model = network()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with torch.autograd.detect_anomaly(), pytest.raises(RuntimeError, match="returned nan values"):
            (model(spikes()) * math.inf).sum().backward()
    assert any("in forward" in str(warning.message) for warning in caught)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_keeps_states_and_integers_in_float32(model, dtype):
    """Between the operators other code may be narrow; the network itself has the bits of float32."""

    def forward(x):
        with torch.autocast("cpu", dtype=dtype):
            return model(x)

    assert_same(step(model, forward), step(model))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_around_a_narrow_layer(dtype):
    """What a narrow layer gives is widened once, before it is used."""
    torch.manual_seed(3)
    model, encoder = network(), torch.nn.Linear(SIZES[0], SIZES[0])

    with torch.autocast("cpu", dtype=dtype):
        code = encoder(spikes())
        output = model[1:](torch.nn.functional.pad(code, (0, SIZES[1] - SIZES[0])))
    assert code.dtype == dtype and output.dtype == torch.float32
    widened = model[1:](torch.nn.functional.pad(code.float(), (0, SIZES[1] - SIZES[0])))
    assert torch.equal(output, widened)


def test_gradient_scaler(model):
    """A scale that is a power of two, as the scaler's are, changes no bit of a step."""
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10)
    optimizers = []
    for scaled in (False, True):
        copy = network_like(model)
        optimizer = torch.optim.SGD(copy.parameters(), lr=0.5)
        loss = copy(spikes()).square().mean()
        (scaler.scale(loss) if scaled else loss).backward()
        if scaled:
            scaler.step(optimizer)
            scaler.update()
        else:
            optimizer.step()
        optimizers.append([parameter.detach() for parameter in copy.parameters()])
    assert_same(*optimizers)
    assert scaler.get_scale() == 2.0**10


def test_gradient_scaler_skips_an_overflow():
    model = network()
    before = [parameter.detach().clone() for parameter in model.parameters()]
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    scaler.scale(model(spikes()).sum() * 1e38).backward()
    scaler.step(optimizer)
    scaler.update()
    assert_same([parameter.detach() for parameter in model.parameters()], before)
    assert scaler.get_scale() == 2.0**9


def network_like(model):
    import copy

    return copy.deepcopy(model)


def test_deterministic_mode(model):
    expected = step(model)
    torch.use_deterministic_algorithms(True)
    try:
        assert_same(step(model), expected)
        assert_same(step(model), expected)
    finally:
        torch.use_deterministic_algorithms(False)


def test_inference_mode(model):
    expected = step(model)[0]
    with torch.inference_mode():
        output = model(spikes())
        assert output.is_inference()
        assert torch.equal(output, expected)
    with torch.no_grad():
        assert torch.equal(model(spikes()), expected)


def test_inference_tensors_as_inputs():
    """Spikes that were made in inference mode cannot be kept for a backward pass; a clone can."""
    model = network()
    with torch.inference_mode():
        made = spikes()
    with pytest.raises(RuntimeError, match="Inference tensors cannot be saved for backward"):
        model(made)
    with torch.no_grad():
        assert torch.equal(model(made), model(spikes()))
    model(made.clone()).sum().backward()


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")  # compiled autograd's own
@pytest.mark.parametrize("kind", KINDS)
def test_compiled_autograd(kind):
    model = network(kind)
    expected = step(model)
    torch._dynamo.reset()
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    with torch._dynamo.compiled_autograd._enable(torch.compile(backend="aot_eager", fullgraph=True)):
        assert_same(step(model), expected)
        assert_same(step(model, compiled), expected)


def test_compiled_checkpointing():
    model = network()
    expected = step(model)
    torch._dynamo.reset()

    @torch.compile(backend="aot_eager", fullgraph=True)
    def forward(x):
        return model[2:](checkpoint(model[:2], x, use_reentrant=False))

    assert_same(step(model, forward), expected)


def test_accumulated_gradients():
    """Two backward passes add; the sum of two halves differs from the whole batch by rounding alone."""
    model = network()
    x = spikes(batch=6)
    model(x).square().sum().backward()
    whole = [parameter.grad.clone() for parameter in model.parameters()]
    model.zero_grad()
    for part in x.split(3, dim=1):
        model(part).square().sum().backward()
    for actual, expected in zip((parameter.grad for parameter in model.parameters()), whole):
        assert (actual - expected).abs().max() <= 1e-6 * expected.abs().max()


def test_module_and_tensor_hooks():
    """Forward, full backward and tensor hooks run once each, also beside a recorder."""
    model, calls = network(), []
    model[0].register_forward_hook(lambda *_: calls.append("forward"))
    model[0].register_full_backward_hook(lambda *_: calls.append("backward"))
    model[0].weight.register_hook(lambda gradient: calls.append("tensor"))
    model[0].weight.register_post_accumulate_grad_hook(lambda parameter: calls.append("accumulated"))
    recorder = Recorder(model)
    (recorder(spikes().requires_grad_()).square().sum() + recorder.spikes["1"].sum()).backward()
    assert calls[0] == "forward" and sorted(calls[1:]) == ["accumulated", "backward", "tensor"]


def test_second_backward_and_changed_tensors_are_refused_by_pytorch():
    model = network()
    loss = model(spikes()).sum()
    loss.backward()
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        loss.backward()
    loss = model(spikes()).sum()
    with torch.no_grad():
        model[0].weight.add_(1.0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()
