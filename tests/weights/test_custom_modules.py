"""The weights of a user's own network: its own, random, or a checkpoint's, strictly."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import classifiers
import pytest
import torch
from safetensors.torch import save_file
from state_dicts import as_run, same

from resnet_serve.architectures import custom_modules as module_architecture
from resnet_serve.checkpoints.reading import Reading
from resnet_serve.errors import InputFileError, UsageError
from resnet_serve.weights import custom_modules
from resnet_serve.weights.assumptions import Assumption, Subject

MODULE = "classifiers:VGGLike"


@pytest.fixture
def reading(tmp_path: Path) -> Reading:
    path = tmp_path / "preprocessing.json"
    path.write_text(json.dumps({"resize": 32, "crop": [32, 32], "resize_mode": "exact"}))
    return Reading(preprocessing=path)


def test_its_own_weights_are_kept(reading: Reading) -> None:
    loaded = custom_modules.load("classifiers:seeded_vgg", None, reading=reading)
    assert loaded.source == "as classifiers:seeded_vgg returns it"
    assert loaded.trained
    expected = classifiers.seeded_vgg().eval()
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(loaded.network()(images), expected(images))
    again = custom_modules.load("classifiers:seeded_vgg", None, reading=reading)
    assert again.sha256 == loaded.sha256


def test_random_weights_are_settled_and_the_same_every_time(reading: Reading) -> None:
    first, again, other = (
        custom_modules.load(MODULE, spec, reading=reading)
        for spec in ("random", "random:0", "random:1")
    )
    assert not first.trained
    assert first.sha256 == again.sha256 != other.sha256
    assert first.state["model.1.running_mean"].abs().max() > 0


@pytest.mark.parametrize("prefix", ["", "module.", "model."])
@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_a_checkpoint_fits_whatever_wrapped_it(
    tmp_path: Path, reading: Reading, prefix: str, suffix: str
) -> None:
    network = classifiers.seeded_vgg()
    state = {f"{prefix}{name}": tensor for name, tensor in network.state_dict().items()}
    path = tmp_path / f"net.{suffix}"
    save_file(state, path) if suffix == "safetensors" else torch.save({"state_dict": state}, path)
    loaded = custom_modules.load(MODULE, str(path), reading=reading)
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(loaded.network()(images), network.eval()(images))
    assert loaded.trained


def test_names_that_are_others_in_the_family_are_its_own(tmp_path: Path, reading: Reading) -> None:
    network = classifiers.backbone_and_head()
    network.load_state_dict(as_run(network.state_dict()))
    torch.save({"state_dict": network.state_dict()}, tmp_path / "net.pth")
    path, module = str(tmp_path / "net.pth"), "classifiers:backbone_and_head"
    loaded = custom_modules.load(module, path, reading=reading)
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(loaded.network()(images), network.eval()(images))
    assert loaded.notices == ()


def test_a_checkpoint_of_another_network_lists_names_of_both(
    tmp_path: Path, reading: Reading
) -> None:
    torch.save(classifiers.InceptionLike().state_dict(), tmp_path / "net.pth")
    with pytest.raises(InputFileError, match="has none of the 25 entries of VGGLike") as refusal:
        custom_modules.load(MODULE, str(tmp_path / "net.pth"), reading=reading)
    assert "(model.0.weight, model.0.bias, " in str(refusal.value)
    assert "its own 80 are stem.conv.weight, stem.bn.weight, " in str(refusal.value)


def test_a_checkpoint_that_fits_in_part_lists_ten_keys_and_counts(
    tmp_path: Path, reading: Reading
) -> None:
    state = classifiers.seeded_vgg().state_dict()
    kept = {name: tensor for name, tensor in state.items() if name.startswith("model.0")}
    torch.save(kept, tmp_path / "net.pth")
    with pytest.raises(InputFileError, match="2 of its 25 entries are there") as refusal:
        custom_modules.load(MODULE, str(tmp_path / "net.pth"), reading=reading)
    assert str(refusal.value).count(" is missing") == 10
    assert " more" in str(refusal.value)


@pytest.fixture
def factories(tmp_path: Path) -> Path:
    """Factories whose networks have names like those of metrics, wrappers and two networks."""
    path = tmp_path / "nets.py"
    path.write_text(FACTORIES)
    return path


FACTORIES = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, conv="conv_f1", head="metric"):
        super().__init__()
        self.names = conv, head
        self.add_module(conv, nn.Conv2d(3, 4, 3, 2, 1))
        self.add_module(head, nn.Linear(4, 5))

    def forward(self, x):
        conv, head = (getattr(self, name) for name in self.names)
        return head(torch.relu(conv(x)).mean((2, 3)))


class Two(nn.Module):
    def __init__(self):
        super().__init__()
        for name in ("rgb", "edge"):
            block = nn.ModuleDict({"conv1": nn.Conv2d(4, 4, 3, 1, 1)})
            self.add_module(name, nn.ModuleDict(
                {"conv1": nn.Conv2d(3, 4, 3, 2, 1), "layer1": nn.ModuleList([block])}
            ))
        self.fc = nn.Linear(8, 5)

    def one(self, branch, x):
        x = torch.relu(branch["conv1"](x))
        return branch["layer1"][0]["conv1"](x).mean((2, 3))

    def forward(self, x):
        return self.fc(torch.cat([self.one(self.rgb, x), self.one(self.edge, x * x)], 1))


def loss_and_acc(): return Net("loss", "acc")
def decay(): return Net("decay", "val_accuracy")
def student_and_teacher(): return Net("student", "teacher")
def parallel(): return nn.DataParallel(Net())
def compiled(): return torch.compile(Net())
def both(): return torch.compile(nn.DataParallel(Net()))
def wrapped():
    network = nn.Module()
    network.model, network.forward = Net(), lambda x: network.model(x)
    return network
def scripted(): return torch.jit.script(nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten()))
def exported(): return torch.export.export(nn.Flatten(), (torch.zeros(1, 3, 4, 4),))
def lazy(): return nn.Sequential(nn.LazyConv2d(3, 3), nn.Flatten())
def meta():
    with torch.device("meta"):
        return Net()
def quantized():
    network = Net()
    network.register_buffer("q", torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8))
    return network
def sparse():
    network = Net()
    network.register_buffer("s", torch.ones(2, 2).to_sparse())
    return network
def stateful():
    class Stateful(Net):
        def get_extra_state(self): return {"a": 1}
        def set_extra_state(self, state): pass
    return Stateful()
def changing():
    network = Net()
    def double(module, _):
        with torch.no_grad():
            module.metric.weight.mul_(2)
    network.register_load_state_dict_post_hook(double)
    return network
"""


def numbered(factories: Path, factory: str) -> tuple[str, dict[str, torch.Tensor]]:
    """The value of --module, and a state dict for it that no factory makes."""
    spec = f"{factories}:{factory}"
    network = module_architecture.make(module_architecture.find_factory(spec), spec)
    return spec, {
        name: torch.full_like(tensor, number)
        for number, (name, tensor) in enumerate(network.state_dict().items(), start=2)
    }


@pytest.mark.parametrize(
    "factory",
    [
        *("Net", "loss_and_acc", "decay", "student_and_teacher", "Two"),
        *("parallel", "wrapped"),
        pytest.param("compiled", marks=pytest.mark.slow),
        pytest.param("both", marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("prefix", ["", "module.", "loss.acc.", "-"])
def test_every_entry_comes_from_the_file_whatever_it_is_called(
    tmp_path: Path, factories: Path, reading: Reading, factory: str, prefix: str
) -> None:
    spec, state = numbered(factories, factory)
    shown = prefix
    if prefix == "-":  # saved from the inner network
        prefix, shown = "model." if factory == "wrapped" else "", ""
        written = {name.removeprefix(prefix): tensor for name, tensor in state.items()}
    else:
        written = {f"{prefix}{name}": tensor for name, tensor in state.items()}
    torch.save(written, tmp_path / "w.pth")
    loaded = custom_modules.load(spec, str(tmp_path / "w.pth"), reading=reading)
    assert same(loaded.state, state)
    assert same(loaded.network().state_dict(), state)
    said = [notice for notice in loaded.notices if "prefix" in notice]
    assert bool(said) == bool(prefix)
    assert not shown or repr(shown) in said[0]


def test_what_the_module_lacks_is_listed_and_left_out(
    tmp_path: Path, factories: Path, reading: Reading
) -> None:
    spec, state = numbered(factories, "Net")
    beside = {"loss.weight": torch.ones(2), "acc": torch.ones(()), "epoch": 3}
    torch.save({"state_dict": {**state, **beside}, "epoch": 3}, tmp_path / "w.pth")
    loaded = custom_modules.load(spec, str(tmp_path / "w.pth"), reading=reading)
    assert same(loaded.state, state)
    assert loaded.notices[0] == (
        f"ignored in {tmp_path}/w.pth, as Net has no such entry: loss.weight, acc, epoch"
    )


@pytest.mark.parametrize("missing", ["conv_f1.weight", "conv_f1.bias", "metric.weight"])
def test_no_entry_may_be_missing_or_different(
    tmp_path: Path, factories: Path, reading: Reading, missing: str
) -> None:
    spec, state = numbered(factories, "Net")
    for change, text in (
        ({}, f"{missing} is missing"),
        ({missing: state[missing][:1]}, f"{missing} is (1"),
        ({missing: state[missing].to(torch.int64)}, f"{missing} is int64, not float32"),
    ):
        rest = {name: tensor for name, tensor in state.items() if name != missing}
        torch.save(rest | change, tmp_path / "w.pth")
        with pytest.raises(InputFileError) as refusal:
            custom_modules.load(spec, str(tmp_path / "w.pth"), reading=reading)
        assert text in str(refusal.value)


@pytest.mark.parametrize(
    ("factory", "text", "remedy"),
    [
        ("scripted", "returned a TorchScript module", "Return the Python module"),
        pytest.param(
            *("exported", "returned an ExportedProgram", "Return the Python module"),
            marks=pytest.mark.slow,
        ),
        ("lazy", "lazy layers", "Call it once"),
        ("meta", "meta device", "Make it on the CPU"),
        ("quantized", "q is quantized (qint8)", ".dequantize()"),
        ("sparse", "s is a sparse tensor (sparse coo)", ".to_dense()"),
        ("stateful", "entries that are no tensors: _extra_state", "get_extra_state"),
    ],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_networks_without_plain_weights_are_refused(
    tmp_path: Path, factories: Path, reading: Reading, factory: str, text: str, remedy: str
) -> None:
    torch.save({"metric.weight": torch.ones(1)}, tmp_path / "w.pth")
    for spec in (None, "random", str(tmp_path / "w.pth")):
        with pytest.raises(InputFileError) as refusal:
            custom_modules.load(f"{factories}:{factory}", spec, reading=reading)
        assert text in str(refusal.value)
        assert remedy in str(refusal.value)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda t: torch.nested.nested_tensor([t[0], t[1, :1]]), "is a nested tensor"),
        (lambda t: t.to(torch.complex64), "is complex (complex64)"),
        (lambda t: t.to_sparse(), "is a sparse tensor (sparse coo)"),
        (lambda t: t.to("meta"), "is a meta tensor"),
        (lambda t: torch.quantize_per_tensor(t, 0.1, 0, torch.qint8), "is quantized (qint8)"),
        (lambda t: t.to(torch.float8_e5m2), "is of eight bits"),
    ],
    ids=["nested", "complex", "sparse", "meta", "qint8", "float8"],
)
def test_tensors_of_a_file_that_are_not_plain_are_named(
    tmp_path: Path,
    factories: Path,
    reading: Reading,
    change: Callable[[torch.Tensor], torch.Tensor],
    text: str,
) -> None:
    spec, state = numbered(factories, "Net")
    torch.save({**state, "metric.weight": change(state["metric.weight"])}, tmp_path / "w.pth")
    with pytest.raises(InputFileError) as refusal:
        custom_modules.load(spec, str(tmp_path / "w.pth"), reading=reading)
    assert f"metric.weight {text}" in str(refusal.value)


def test_a_module_that_changes_what_it_loads_is_refused(
    tmp_path: Path, factories: Path, reading: Reading
) -> None:
    spec, state = numbered(factories, "changing")
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(InputFileError, match=r"changes metric\.weight when it"):
        custom_modules.load(spec, str(tmp_path / "w.pth"), reading=reading)


def test_values_that_are_not_finite_are_refused(tmp_path: Path, reading: Reading) -> None:
    state = classifiers.seeded_vgg().state_dict()
    state["model.0.weight"][0, 0, 0, 0] = torch.nan
    torch.save(state, tmp_path / "net.pth")
    with pytest.raises(InputFileError, match="not finite"):
        custom_modules.load(MODULE, str(tmp_path / "net.pth"), reading=reading)


def test_weights_of_the_family_are_not_its(reading: Reading) -> None:
    for spec in ("imagenet", "digits"):
        with pytest.raises(UsageError, match="weights of the family"):
            custom_modules.load(MODULE, spec, reading=reading)


def test_labels_are_as_many_as_it_answers(reading: Reading) -> None:
    names = tuple("abcdefghij")
    assert custom_modules.load(MODULE, "random", labels=names, reading=reading).labels == names
    with pytest.raises(UsageError, match="2 labels for a network of 10 classes"):
        custom_modules.load(MODULE, "random", labels=("a", "b"), reading=reading)


def test_without_a_word_on_images_imagenet_s_are_assumed_and_that_is_said() -> None:
    loaded = custom_modules.load(MODULE, "random")
    assert loaded.preprocessing.crop == (224, 224)
    assert loaded.assumptions == (
        Assumption(
            Subject.PREPROCESSING,
            "256 to 224 × 224, bilinear, ImageNet's mean and std (torchvision's V1 table)",
            "--preprocessing FILE",
        ),
    )


@pytest.mark.parametrize("field", ["class_to_idx", "classes"])
def test_the_class_names_that_a_file_states_are_used(
    tmp_path: Path, reading: Reading, field: str
) -> None:
    names = [f"kind {number}" for number in (3, 1, 2, 0, 4, 5, 6, 7, 8, 9)]
    stated = {name: index for index, name in enumerate(names)} if field != "classes" else names
    path = tmp_path / "net.pth"
    torch.save({"state_dict": classifiers.seeded_vgg().state_dict(), field: stated}, path)
    loaded = custom_modules.load(MODULE, str(path), reading=reading)
    assert loaded.labels == tuple(names)
    assert f"the class names are those of {field} in {path}" in loaded.notices
    with pytest.raises(InputFileError, match="different orders") as refusal:
        custom_modules.load(MODULE, str(path), reading=reading, labels=tuple(sorted(names)))
    assert "Omit --labels" in str(refusal.value)


def test_class_names_of_another_number_are_not_used_and_that_is_said(
    tmp_path: Path, reading: Reading
) -> None:
    path = tmp_path / "net.pth"
    torch.save({"state_dict": classifiers.seeded_vgg().state_dict(), "classes": ["a", "b"]}, path)
    loaded = custom_modules.load(MODULE, str(path), reading=reading)
    assert loaded.labels[0] == "class 0"
    assert "classes has 2 names for 10 classes: it is not used" in loaded.notices
