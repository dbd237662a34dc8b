"""Extractors whose weights others published: their layouts, their arithmetic, and what is refused.

Values marked as golden were computed once with the authors' own code, on weights and images made by ``filled`` and
``picture``: neel-dey/anatomix at a29b8a8, facebookresearch/dinov2 at b8931f7, CLIP in transformers 5.23; for
EfficientNet, on the published weights, with efficientnet-lite-pytorch 0.1.0.
"""
# ruff: noqa: ARG002

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from likeness import extractors, losses
from likeness.extractors import adm, anatomix, dinov2, efficientnet, impact, sources, stable_diffusion, vgg
from likeness.losses.base import Registration
from likeness.runtime.atomic import write_json
from likeness.runtime.published import obtain
from likeness.training.checkpoint import save_weights
from likeness.userinput.errors import UserError

NAMES = {"anatomix": 3, "dinov2": 2, "efficientnet": 2, "impact": 3, "stable_diffusion": 2}
LOSSES = {
    "anatomix": "anatomix",
    "dinov2": "dinov2",
    "efficientnet": "natural",
    "impact": "impact",
    "stable_diffusion": "diffusion_sd",
}
SHAPES = {2: (20, 27), 3: (12, 9, 14)}
TEXT = {
    "model_type": "clip_text_model",
    "vocab_size": 40,
    "hidden_size": 8,
    "intermediate_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 7,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-5,
}

every_extractor = pytest.mark.parametrize("name", NAMES)
ONE_FILE = ["anatomix", "dinov2", "efficientnet"]
of_one_file = pytest.mark.parametrize("name", ONE_FILE)


FIRST = {"anatomix": "model.0.weight", "dinov2": "pos_embed", "efficientnet": "_bn0.bias"}
"""Weights from whose shape the configuration follows."""


def filled(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights that depend on nothing but their names and shapes."""
    made = {}
    for place, key in enumerate(sorted(state)):
        value = state[key]
        wave = torch.sin(torch.arange(value.numel(), dtype=torch.float64) ** 1.5 + place).view(value.shape)
        scale = key.endswith("running_var") or (value.dim() == 1 and key.endswith("weight"))
        made[key] = (1 + 0.3 * wave if scale else 0.2 * wave).to(value) if value.is_floating_point() else value
    return made


def picture(*shape: int) -> Tensor:
    count = torch.Size(shape).numel()
    return (0.5 + 0.5 * torch.sin(torch.arange(count, dtype=torch.float64) ** 1.5)).float().view(1, 1, *shape)


def noise(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(0))


def text_encoder() -> dict[str, Tensor]:
    """Empty weights in the layout of CLIP's text model."""
    width, inner = TEXT["hidden_size"], TEXT["intermediate_size"]
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.token_embedding.weight": (TEXT["vocab_size"], width),
        "embeddings.position_embedding.weight": (TEXT["max_position_embeddings"], width),
        "final_layer_norm.weight": (width,),
        "final_layer_norm.bias": (width,),
    }
    for layer in range(TEXT["num_hidden_layers"]):
        linear = {f"self_attn.{p}_proj": (width, width) for p in ("q", "k", "v", "out")}
        linear |= {"mlp.fc1": (inner, width), "mlp.fc2": (width, inner)}
        for place, shape in [*linear.items(), ("layer_norm1", (width,)), ("layer_norm2", (width,))]:
            shapes[f"encoder.layers.{layer}.{place}.weight"] = shape
            shapes[f"encoder.layers.{layer}.{place}.bias"] = shape[:1]
    return {key: torch.empty(shape) for key, shape in shapes.items()}


def write_diffusers(extractor: nn.Module, folder: Path) -> None:
    """Write the folder of a pipeline of diffusers; the parts that the extractor lacks are random."""
    from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel

    config = stable_diffusion.TINY
    unet, vae = UNet2DConditionModel.from_config(config["unet"]), AutoencoderKL.from_config(config["vae"])
    unet.load_state_dict(extractor.unet.state_dict())
    vae.load_state_dict({**vae.state_dict(), **extractor.vae.state_dict()})
    unet.save_pretrained(folder / "unet")
    vae.save_pretrained(folder / "vae")
    schedule = DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
    schedule.save_pretrained(folder / "scheduler")
    for part in ("text_encoder", "tokenizer"):
        (folder / part).mkdir()
    (folder / "text_encoder" / "config.json").write_text(json.dumps(TEXT))
    state = {f"text_model.{key}": value for key, value in filled(text_encoder()).items()}
    save_file(state, folder / "text_encoder" / "model.safetensors")
    (folder / "tokenizer" / "special_tokens_map.json").write_text(json.dumps({"pad_token": "!"}))


def write(name: str, extractor: nn.Module, path: Path) -> None:
    """Write weights in the layout in which those of this extractor are published."""
    if name == "stable_diffusion":
        write_diffusers(extractor, path)
    elif name == "impact":
        path.write_bytes(extractor.program.numpy().tobytes())
    else:
        torch.save(layout(name, extractor), path)


def layout(name: str, extractor: nn.Module) -> dict[str, Tensor]:
    """Give the weights by the names, and beside those, that the published file has."""
    state = extractor.state_dict()
    if name == "efficientnet":
        state = {efficientnet.published_name(key): value for key, value in state.items()}
        return {**state, "_fc.bias": torch.zeros(1000)}
    return {**state, "mask_token": torch.zeros(1, 128)} if name == "dinov2" else state


def features(extractor: nn.Module, image: Tensor) -> list[Tensor]:
    if isinstance(extractor, stable_diffusion.StableDiffusion):
        return extractor(image, torch.Generator().manual_seed(0), 261, ["middle", "up0", "up1"])
    return extractor(image)


def module(name: str) -> Any:
    return {m.__name__.split(".")[-1]: m for m in (anatomix, dinov2, efficientnet, impact, stable_diffusion)}[name]


@every_extractor
def test_published_file_gives_the_same_features(name: str, tmp_path: Path) -> None:
    tiny = extractors.tiny(name, NAMES[name])
    write(name, tiny, tmp_path / "published")
    config, state = module(name).read(tmp_path / "published")
    save_weights(state, tmp_path / "stored.safetensors")
    write_json(tmp_path / "stored.json", {"architecture": config})
    stored = extractors.load(tmp_path / "stored.safetensors")
    if name == "stable_diffusion":
        # a random prompt is not that of the text encoder
        tiny.prompt = stored.prompt
    image = noise(2, 1, *SHAPES[NAMES[name]])
    for expected, found in zip(features(tiny, image), features(stored, image), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    assert not any(p.requires_grad for p in stored.parameters())


@every_extractor
@pytest.mark.parametrize("size", [5, 17])
def test_takes_any_size_in_float64(name: str, size: int) -> None:
    extractor = extractors.tiny(name, NAMES[name]).double()
    shape = (size, 5, 11)[: NAMES[name]]
    image = noise(1, 1, *shape).double()
    extent = extractor.extent(shape)
    assert all(covered >= n for covered, n in zip(extent, shape, strict=True))
    for level in features(extractor, image):
        assert level.dtype == torch.float64
        assert level.isfinite().all()
        assert all(covered % n == 0 for covered, n in zip(extent, level.shape[2:], strict=True))


@every_extractor
def test_a_batch_is_its_images(name: str) -> None:
    extractor = extractors.tiny(name, NAMES[name])
    images = noise(2, 1, *SHAPES[NAMES[name]]) * torch.tensor([1, 0.2]).view(2, 1, *[1] * NAMES[name])
    single = [features(extractor, image[None]) for image in images]
    for both, *alone in zip(features(extractor, images), *single, strict=True):
        torch.testing.assert_close(both, torch.cat(alone), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "dims"), [*NAMES.items(), ("dinov2", 3), ("efficientnet", 3), ("stable_diffusion", 3)]
)
def test_orders_of_extraction_agree_without_displacement(name: str, dims: int) -> None:
    moving, fixed = noise(2, 1, 1, *SHAPES[dims]).unbind()
    values = []
    for order in ("before", "after"):
        pair = Registration(
            moving, fixed, torch.zeros(1, dims, *SHAPES[dims]), generator=torch.Generator().manual_seed(0)
        )
        loss = losses.build(LOSSES[name], extractor=extractors.tiny(name, dims), extract=order)
        values.append(loss(pair))
    torch.testing.assert_close(*values)


class Code:
    """What a pickle could do."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return (print, ("code of the file was run",))


@of_one_file
def test_refuses_a_pickle_with_code(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "published.pth"
    torch.save({**layout(name, extractors.tiny(name, NAMES[name])), "more": Code()}, path)
    with pytest.raises(UserError, match=f"^{path}: .*fetch it again$"):
        module(name).read(path)
    assert not capsys.readouterr().out


FAULTS = ["text", "a sentence", "a note", "list", "numbered", "other network", "another weight", "a missing one"]
FAULTS += ["another shape", "other axes", "not a number"]
# the file of EfficientNet has further layers, which are not used
REFUSED = [
    (name, fault) for name in ONE_FILE for fault in FAULTS if (name, fault) != ("efficientnet", "another weight")
]


@pytest.mark.parametrize(("name", "fault"), REFUSED)
def test_refuses_a_file_of_something_else(name: str, fault: str, tmp_path: Path) -> None:
    path = tmp_path / "published.pth"
    state = layout(name, extractors.tiny(name, NAMES[name]))
    last = list(extractors.tiny(name, NAMES[name]).state_dict())[-1]
    last = efficientnet.published_name(last) if name == "efficientnet" else last
    # taken for the instructions of a pickle, every text fails in a way of its own
    texts = {"text": "<html>not found</html>", "a sentence": "hello", "a note": "text"}
    if fault in texts:
        path.write_text(texts[fault])
    else:
        contents: dict[str, Any] = {
            "list": [torch.zeros(3)],
            "numbered": {0: torch.zeros(3)},
            "other network": {"conv.weight": torch.zeros(3, 3)},
            "another weight": {**state, "head.weight": torch.zeros(3)},
            "a missing one": {key: value for key, value in state.items() if key != last},
            "another shape": {**state, last: torch.zeros(7, 7)},
            "other axes": {**state, FIRST[name]: torch.tensor(1.0)},
            "not a number": {**state, last: torch.full_like(state[last].float(), float("nan"))},
        }
        torch.save(contents[fault], path)
    with pytest.raises(UserError, match=f"^{path}: .*fetch (it|the file) again$"):
        module(name).read(path)


@pytest.mark.parametrize("fault", ["no blocks", "other heads"])
def test_refuses_a_dinov2_that_cannot_run(fault: str, tmp_path: Path) -> None:
    state = extractors.tiny("dinov2", 2).state_dict()
    if fault == "no blocks":
        state = {key: value for key, value in state.items() if not key.startswith("blocks.")}
    else:
        state["patch_embed.proj.weight"] = state["patch_embed.proj.weight"][:100]
    torch.save(state, tmp_path / "published.pth")
    with pytest.raises(UserError, match=r"so it belongs to a different network; fetch the file again$"):
        dinov2.read(tmp_path / "published.pth")


@pytest.mark.parametrize(
    ("place", "shape"),
    [
        *(("features.0.bias", ()), ("features.0.bias", (0,)), ("features.2.bias", (5,)), ("features.2.bias", (5, 1))),
        *(("features.5.weight", (6, 4, 1, 1)), ("features.14.weight", None)),
    ],
    ids=str,
)
def test_refuses_another_vgg(place: str, shape: tuple[int, ...] | None, tmp_path: Path) -> None:
    state = vgg.build(vgg.TINY).state_dict()
    torch.save(state, tmp_path / "vgg.pth")
    config, found = vgg.read(tmp_path / "vgg.pth")
    assert (config, list(found)) == ({"name": "vgg", **vgg.TINY}, list(state))
    state = {key: value for key, value in state.items() if key != place}
    torch.save(state if shape is None else state | {place: torch.zeros(shape)}, tmp_path / "vgg.pth")
    with pytest.raises(
        UserError, match=rf"vgg\.pth: has (no )?weights '{place}'.*so it belongs to a different network"
    ):
        vgg.read(tmp_path / "vgg.pth")


def test_the_published_networks_have_their_size() -> None:
    with torch.device("meta"):
        sizes = [sum(p.numel() for p in m.build(m.FULL).parameters()) for m in (anatomix, dinov2)]
    assert sizes[0] == pytest.approx(6e6, rel=0.05)
    # the file has names and zeros beside the weights in float32
    assert 0 < dinov2.SOURCE["bytes"] - 4 * sizes[1] < 1e5


def test_cards_name_the_levels_and_taps_that_the_published_networks_have() -> None:
    def entries(loss: str, option: str) -> dict[str, Any]:
        return losses.limits(loss)[option]["items"]

    assert entries("diffusion_adm", "taps")["enum"] == list(adm.PLACES)
    assert entries("deepsim_vgg", "levels")["maximum"] == len(vgg.CONVOLUTIONS) - 1
    assert entries("natural", "levels")["maximum"] == len(extractors.tiny("efficientnet", 2)(noise(1, 1, 8, 8))) - 1
    assert entries("dinov2", "taps")["maximum"] == dinov2.FULL["depth"] - 1
    # the tiny network has a stage less than the published one
    tiny = extractors.tiny("stable_diffusion", 2)
    assert entries("diffusion_sd", "taps")["enum"] == [*tiny.places, "up3"]


def test_efficientnet_of_the_package_computes_what_its_authors_code_does(tmp_path: Path) -> None:
    """Golden; what is installed is what was published."""
    wanted = sources.wanted_by({"sources": {}, "hashes": {}}, "efficientnet")
    path = obtain(wanted, tmp_path)
    assert not list(tmp_path.iterdir())
    assert path.stat().st_size == efficientnet.SOURCE["bytes"]
    config, state = efficientnet.read(path)
    assert config == {"name": "efficientnet", **efficientnet.FULL}
    extractor = extractors.freeze(efficientnet.build(config))
    extractor.load_state_dict(state)
    golden = [
        ((1, 32, 12, 16), [0.0, 1.8360135555, 4.0580034256, 0.3788574338], 2.0270915031),
        ((1, 24, 6, 8), [-1.6043200493, -8.8025674820, 26.2496490479, 1.9045386314], 0.2585422099),
        ((1, 40, 3, 4), [17.7831401825, -9.0261154175, -3.6786632538, 5.9749855995], 0.9402664900),
    ]
    for level, (shape, some, mean) in zip(extractor(picture(24, 32)), golden, strict=True):
        assert level.shape == shape
        torch.testing.assert_close(level[0, :4, 1, 2], torch.tensor(some), rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(level.mean(), torch.tensor(mean), rtol=1e-4, atol=1e-5)


def test_anatomix_computes_what_the_authors_code_does() -> None:
    """Golden."""
    extractor = extractors.tiny("anatomix", 3)
    extractor.load_state_dict(filled(extractor.state_dict()))
    (found,) = extractor(picture(8, 12, 8))
    golden = [-0.8522464036, -0.7461359501, 0.1821742952, 0.5960962176, -2.0530519485, -1.9144159555]
    torch.testing.assert_close(found[0, :, 3, 5, 2], torch.tensor(golden), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found.mean(), torch.tensor(-0.4128579199), rtol=1e-5, atol=1e-5)


def test_anatomix_reads_what_a_compiled_network_saved(tmp_path: Path) -> None:
    state = extractors.tiny("anatomix", 3).state_dict()
    torch.save({f"_orig_mod.{key}": value for key, value in state.items()}, tmp_path / "a.pth")
    assert anatomix.read(tmp_path / "a.pth")[0] == {"name": "anatomix", **anatomix.TINY}


def test_anatomix_depends_on_no_unit_of_intensity() -> None:
    extractor, image = extractors.tiny("anatomix", 3), picture(8, 8, 8)
    torch.testing.assert_close(extractor(image)[0], extractor(3 * image - 1)[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("shape", "golden"),
    [
        ((12, 28), [[1.5425668955, 1.0310233831, 0.1750392169], [0.9281290770, 0.7282240391, 0.7884077430]]),
        ((20, 20), [[1.7115936279, -0.6656294465, -1.5891076326], [1.0185054541, -1.0299081802, -1.8755069971]]),
    ],
    ids=["positions scaled", "positions as learned"],
)
def test_dinov2_computes_what_the_authors_code_does(shape: tuple[int, int], golden: list[list[float]]) -> None:
    """Golden: the last two blocks."""
    extractor = extractors.tiny("dinov2", 2)
    extractor.load_state_dict(filled(extractor.state_dict()))
    extractor.cut([1, 2])
    for level, expected in zip(extractor(picture(*shape)), golden, strict=True):
        torch.testing.assert_close(level[0, :3, 1, 2], torch.tensor(expected), rtol=1e-5, atol=1e-5)


def test_dinov2_drops_the_blocks_behind_the_last_that_is_compared() -> None:
    extractor, image = extractors.tiny("dinov2", 2), picture(20, 20)
    extractor.cut([0, 1, 2])
    expected = extractor(image)[1]
    extractor.cut([1])
    assert len(extractor.blocks) == 2
    torch.testing.assert_close(extractor(image)[0], expected)
    with pytest.raises(UserError, match="blocks 0 to 1"):
        losses.build("dinov2", extractor=extractor, taps=[2])


def test_impact_runs_the_program_in_its_order_of_axes() -> None:
    extractor, volume = extractors.tiny("impact", 3), noise(1, 1, 12, 8, 14)
    statistics = torch.stack([volume.min(), volume.max(), volume.mean(), volume.std()])
    expected = extractor.network(volume.permute(0, 1, 4, 3, 2), torch.tensor([2]), statistics, torch.tensor([]))
    for level, layer in zip(extractor(volume), expected, strict=True):
        torch.testing.assert_close(level, layer.permute(0, 1, 4, 3, 2))


def test_impact_computes_no_more_layers_than_are_compared() -> None:
    extractor = extractors.tiny("impact", 3)
    losses.build("impact", extractor=extractor, levels=[0])
    assert len(extractor(noise(1, 1, 5, 5, 5))) == 1
    with pytest.raises(UserError, match="levels 0 to 1"):
        losses.build("impact", extractor=extractor, levels=[2])


def test_impact_refuses_stored_bytes_of_another_hash(tmp_path: Path) -> None:
    extractor = extractors.tiny("impact", 3)
    write("impact", extractor, tmp_path / "p.pt")
    config, state = impact.read(tmp_path / "p.pt")
    state["program"][len(state["program"]) // 2] += 1
    save_weights(state, tmp_path / "stored.safetensors")
    write_json(tmp_path / "stored.json", {"architecture": config})
    with pytest.raises(UserError, match=r"stored\.safetensors"):
        extractors.load(tmp_path / "stored.safetensors")


class Program(nn.Module):
    """Takes what IMPACT's programs take."""

    def forward(self, image: Tensor, layers: Tensor, statistics: Tensor, orientation: Tensor) -> list[Tensor]:
        return [(image - statistics[2]) / statistics[3]]


class Writes(Program):
    def forward(self, image: Tensor, layers: Tensor, statistics: Tensor, orientation: Tensor) -> list[Tensor]:
        if bool(image.sum() > 1e9):
            torch.save(image, "stolen")
        return [image]


class Reads(Program):
    def forward(self, image: Tensor, layers: Tensor, statistics: Tensor, orientation: Tensor) -> list[Tensor]:
        return [image + torch.from_file("secret", size=1)]


class Restores(Program):
    def __init__(self) -> None:
        super().__init__()
        self.value = torch.zeros(1)

    @torch.jit.export
    def __getstate__(self) -> tuple[Tensor, bool]:
        return self.value, self.training

    @torch.jit.export
    def __setstate__(self, state: tuple[Tensor, bool]) -> None:
        torch.save(state[0], "stolen")
        self.value = state[0]
        self.training = state[1]


class OneArgument(nn.Module):
    def forward(self, image: Tensor) -> list[Tensor]:
        return [image]


class Hounsfield(Program):
    def forward(self, image: Tensor, layers: Tensor, statistics: Tensor, orientation: Tensor) -> list[Tensor]:
        return [image / 100]


class Fails(Program):
    def forward(self, image: Tensor, layers: Tensor, statistics: Tensor, orientation: Tensor) -> list[Tensor]:
        return [image @ torch.zeros(3, 3)]


@pytest.mark.filterwarnings("ignore:.torch.jit")
@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (Writes, "more than tensor computations .aten::save."),
        (Reads, "more than tensor computations .aten::from_file."),
        (Restores, "code while it is loaded"),
        (OneArgument, "inputs other than an image"),
        (Hounsfield, "a specific unit"),
        (Fails, "fails on a volume"),
    ],
)
def test_impact_refuses_what_is_no_program_of_it(kind: type[nn.Module], reason: str, tmp_path: Path) -> None:
    path = tmp_path / "p.pt"
    torch.jit.script(kind()).save(path)
    with pytest.raises(UserError, match=f"^{path}: .*{reason}"):
        impact.read(path)
    assert [p.name for p in tmp_path.iterdir()] == ["p.pt"]


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04"])
def test_impact_refuses_what_is_no_program(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "p.pt").write_bytes(content)
    with pytest.raises(UserError, match="not a TorchScript model"):
        impact.read(tmp_path / "p.pt")
    torch.save({"weight": torch.zeros(3), "more": Code()}, tmp_path / "p.pt")
    with pytest.raises(UserError, match="not a TorchScript model"):
        impact.read(tmp_path / "p.pt")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write("stable_diffusion", extractors.tiny("stable_diffusion", 2), tmp_path / "published")
    return tmp_path / "published"


@pytest.mark.parametrize(
    ("activation", "padding", "golden"),
    [
        ("gelu", "!", [-1.0045545101, -0.1746240258, -0.9345461130, 1.2032954693]),
        ("quick_gelu", "<|endoftext|>", [-1.6265128851, -0.5377489328, -0.7039471865, 1.2490557432]),
    ],
    ids=["version 2", "version 1"],
)
def test_the_empty_prompt_is_what_transformers_makes_of_it(
    activation: str, padding: str, golden: list[float], folder: Path
) -> None:
    """Golden: the last token."""
    (folder / "text_encoder" / "config.json").write_text(json.dumps({**TEXT, "hidden_act": activation}))
    (folder / "tokenizer" / "special_tokens_map.json").write_text(json.dumps({"pad_token": {"content": padding}}))
    found = stable_diffusion.empty_prompt(folder)
    assert found.shape == (1, 7, 8)
    torch.testing.assert_close(found[0, -1, :4], torch.tensor(golden), rtol=1e-5, atol=1e-5)


def test_stable_diffusion_computes_what_diffusers_does(folder: Path) -> None:
    from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel

    config, state = stable_diffusion.read(folder)
    extractor = stable_diffusion.build(config)
    extractor.load_state_dict(state)
    image = picture(16, 32)
    (found,) = extractor(image, torch.Generator().manual_seed(3), 261, ["up1"])

    unet, vae = UNet2DConditionModel.from_pretrained(folder / "unet"), AutoencoderKL.from_pretrained(folder / "vae")
    latent = vae.encode((2 * image - 1).expand(-1, 3, -1, -1)).latent_dist.mode() * vae.config.scaling_factor
    noise = torch.randn(latent.shape, generator=torch.Generator().manual_seed(3))
    latent = DDIMScheduler.from_pretrained(folder / "scheduler").add_noise(latent, noise, torch.tensor([261]))
    kept: list[Tensor] = []
    unet.up_blocks[1].register_forward_hook(lambda _module, _inputs, output: kept.append(output))
    unet(latent, 261, encoder_hidden_states=state["prompt"])
    torch.testing.assert_close(found, kept[0], rtol=1e-4, atol=1e-5)


def test_reads_the_names_that_older_versions_of_diffusers_gave(folder: Path) -> None:
    """Those of the published autoencoders."""
    config, state = stable_diffusion.read(folder)
    path = folder / "vae" / "diffusion_pytorch_model.safetensors"
    older = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    renamed = {}
    for key, value in load_file(path).items():
        new = next((n for n in older if f"attentions.0.{n}." in key), None)
        renamed[key.replace(new, older[new]) if new else key] = value
    save_file(renamed, path)
    found = stable_diffusion.read(folder)
    assert found[0] == config
    assert all(torch.equal(value, found[1][key]) for key, value in state.items())


@pytest.mark.parametrize(("schedule", "root"), [("linear", False), ("scaled_linear", True)])
def test_the_noise_follows_the_schedule_of_diffusers(schedule: str, root: bool) -> None:
    from diffusers import DDIMScheduler

    expected = DDIMScheduler(beta_start=0.001, beta_end=0.02, beta_schedule=schedule).alphas_cumprod.double()
    found = stable_diffusion.signal_rates(0.001, 0.02, 1000, root)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


def test_stable_diffusion_gives_both_images_one_noise_and_is_cut() -> None:
    extractor, images = extractors.tiny("stable_diffusion", 2), picture(16, 16).expand(2, -1, -1, -1)
    (found,) = extractor(images, torch.Generator().manual_seed(0), 261, ["up1"])
    torch.testing.assert_close(found[0], found[1])
    extractor.cut(["up1"])
    assert len(extractor.unet.up_blocks) == 2
    torch.testing.assert_close(extractor(images, torch.Generator().manual_seed(0), 261, ["up1"])[0], found)


@pytest.mark.parametrize(
    "part",
    [
        *(
            "unet/config.json",
            "vae/config.json",
            "unet/diffusion_pytorch_model.safetensors",
            "text_encoder/config.json",
        ),
        *("vae/diffusion_pytorch_model.safetensors", "text_encoder/model.safetensors"),
        *("scheduler/scheduler_config.json", "tokenizer/special_tokens_map.json"),
    ],
)
@pytest.mark.parametrize("fault", ["missing", "text", "empty"])
def test_refuses_a_folder_with_a_broken_part(part: str, fault: str, folder: Path) -> None:
    path = folder / part
    if fault == "missing":
        path.unlink()
    else:
        path.write_text("text" if fault == "text" else "{}")
    with pytest.raises(UserError, match=f"^{folder}.*(fetch the folder again|of these|of the published model)$"):
        stable_diffusion.read(folder)


@pytest.mark.parametrize(
    ("part", "key", "value"),
    [
        ("text_encoder", "vocab_size", 10**6),
        ("text_encoder", "vocab_size", "many"),
        ("text_encoder", "num_hidden_layers", 1),
        ("scheduler", "num_train_timesteps", -1),
        ("scheduler", "num_train_timesteps", 100),
        ("scheduler", "num_train_timesteps", float("inf")),
        ("scheduler", "beta_start", -0.1),
        ("scheduler", "beta_end", 5),
        ("unet", "block_out_channels", [0, 0, 0]),
        ("unet", "norm_num_groups", 0),
        ("vae", "scaling_factor", None),
        ("vae", "scaling_factor", "x"),
    ],
)
def test_refuses_a_folder_with_an_impossible_value(part: str, key: str, value: Any, folder: Path) -> None:
    path = folder / part / ("scheduler_config.json" if part == "scheduler" else "config.json")
    said = json.loads(path.read_text())
    assert key in said
    path.write_text(json.dumps({**said, key: value}))
    with pytest.raises(UserError, match=f"^{folder}.*(fetch the folder again|of the published model)$"):
        stable_diffusion.read(folder)


def test_refuses_a_folder_whose_parts_are_of_different_models(folder: Path) -> None:
    shutil.copy(folder / "vae" / "diffusion_pytorch_model.safetensors", folder / "unet")
    with pytest.raises(UserError, match=f"^{folder / 'unet'}: .*starting with .*; fetch the folder again$"):
        stable_diffusion.read(folder)


def test_refuses_a_folder_of_pickles(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    torch.save({"conv_in.weight": Code()}, folder / "unet" / "diffusion_pytorch_model.bin")
    with pytest.raises(UserError, match="fetch the folder again"):
        stable_diffusion.read(folder)
    assert "code of the file" not in capsys.readouterr().out
