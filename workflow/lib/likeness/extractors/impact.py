"""The networks of IMPACT, published as TorchScript: the layers of one that segments whole bodies.

Boussot et al., IMPACT: A generic semantic loss for multimodal image registration, arXiv:2503.24121; TS/M730 is
TotalSegmentator's network for the organs in MRI (D'Antonoli et al., Radiology 2025, arXiv:2405.19492). A program takes
an image, how many layers to give, the image's minimum, maximum, mean and standard deviation, and its orientation, and
gives its layers, the image's own resolution first. Those for MRI, such as this one, subtract the mean and divide by the
standard deviation. Those for CT expect Hounsfield units, which images in [0, 1] are not, and are refused.

The weights of TorchScript come with a program, so that no reader for weights alone can take them. Its bytes are kept as
they are, under their hash, and the program is only run once it was seen to compute with tensors and nothing else.
"""

from __future__ import annotations

import hashlib
import io
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from likeness.extractors.base import Extractor, pad, padded_to
from likeness.userinput.errors import UserError

SOURCE = {
    "file": "M730.pt",
    "url": "https://huggingface.co/VBoussot/impact-torchscript-models/resolve/main/TS/M730.pt",
    "sha256": None,
    "bytes": None,
    "licence": "Apache-2.0 (TotalSegmentator and IMPACT)",
    "by_hand": "download TS/M730.pt of the model VBoussot/impact-torchscript-models on the Hugging Face hub",
}
TINY = {"channels": [4, 6]}
ARGUMENTS = 4
"""Image, number of layers, statistics, orientation."""
PROBE = 64
"""Edge in voxels of the volume that shows what a program gives."""
MANY = 100
"""More layers than any network has: a program then gives all."""
SMALLEST_STD = 1e-3
"""An image in [0, 1] that varies less is constant: what varies is not blown up."""
NAMESPACES = ("aten", "prim")
FORBIDDEN = {
    *("aten::save", "aten::load", "aten::from_file"),
    *("prim::PythonOp", "prim::IgnoredPythonOp", "prim::CallMethod", "prim::CallFunction", "prim::fork"),
    *("prim::rpc_async", "prim::rpc_sync", "prim::rpc_remote"),
}
"""What reads or writes files, reaches other machines, or hides what it does."""


class Impact(Extractor):
    """Runs a TorchScript program of IMPACT.

    Args:
        size: of the program, in bytes.
        sha256: of the program.
        strides: of its layers, one for every axis of a volume.

    Attributes:
        layers: how many of its layers are given.
    """

    dimensions = 3
    program: Tensor
    network: Any

    def __init__(self, size: int, sha256: str, strides: Sequence[Sequence[int]]) -> None:
        super().__init__()
        self.sha256 = sha256
        self.strides = [tuple(stride) for stride in strides]
        self.layers = len(strides)
        self.register_buffer("program", torch.zeros(size, dtype=torch.uint8))
        # beside the registered modules: its parameters are in the program already, and nothing is to train them
        object.__setattr__(self, "network", None)

    def _load_from_state_dict(self, state: dict[str, Any], prefix: str, *others: Any) -> None:
        super()._load_from_state_dict(state, prefix, *others)
        content = self.program.cpu().numpy().tobytes()
        if hashlib.sha256(content).hexdigest() != self.sha256:
            msg = f"the program is not the one with the hash {self.sha256}"
            raise RuntimeError(msg)
        self.take(content)

    def take(self, content: bytes) -> None:
        """Load the program that the bytes are.

        Raises:
            ValueError: if it does anything but compute.
        """
        network = load(content)
        object.__setattr__(self, "network", network.to(self.program.device))

    def _apply(self, function: Any, recurse: bool = True) -> Impact:
        super()._apply(function, recurse)
        if self.network is not None:
            self.network._apply(function)
        return self

    def cut(self, layers: int) -> None:
        """Give the first layers only.

        Raises:
            ValueError: if there are not as many.
        """
        if not 0 < layers <= len(self.strides):
            msg = f"levels: {layers - 1} asked for, but the extractor has levels 0 to {len(self.strides) - 1}"
            raise ValueError(msg)
        self.layers = layers

    def extent(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Give the extent in voxels that feature maps cover: the volume's, padded to what the layers stride."""
        return padded_to([max(axis) for axis in zip(*self.strides[: self.layers], strict=True)], shape)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Map ``(batch, 1, *spatial)`` to the program's first layers.

        One volume after the other, because the program takes one mean for all; in full precision also under autocast.
        """
        precision = next(self.network.parameters()).dtype
        with torch.autocast(image.device.type, enabled=False):
            layers = [self._layers(volume[None].to(precision)) for volume in image]
        return [torch.cat(maps) for maps in zip(*layers, strict=True)]

    def _layers(self, volume: Tensor) -> list[Tensor]:
        # not the deviation but the variance is clamped: at 0 the root has no gradient
        spread = volume.var().clamp(min=SMALLEST_STD**2).sqrt()
        statistics = torch.stack([volume.amin(), volume.amax(), volume.mean(), spread])
        padded = pad(volume, self.extent(volume.shape[2:]))
        return [_turned(layer) for layer in run(self.network, _turned(padded), self.layers, statistics)]


def _turned(volume: Tensor) -> Tensor:
    """Reverse the axes: medical volumes here are (x, y, z), in nnU-Net's networks (z, y, x)."""
    return volume.permute(0, 1, 4, 3, 2)


def run(network: torch.jit.ScriptModule, volume: Tensor, layers: int, statistics: Tensor) -> list[Tensor]:
    """Call a program of IMPACT for a volume ``(1, 1, *spatial)``, axes in its order."""
    # without the optimisation of repeated calls, which would make the third call round otherwise than the first
    with torch.jit.optimized_execution(False):
        return network(volume, torch.tensor([layers]), statistics, torch.tensor([]))


def load(content: bytes) -> torch.jit.ScriptModule:
    """Load a TorchScript program from memory, onto the CPU, frozen.

    Raises:
        ValueError: if the bytes are none, or the program does anything but compute with tensors.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            # of all methods this one is run by the loading itself
            code = [entry for entry in archive.infolist() if entry.filename.endswith(".py")]
            restored = any(b"__setstate__" in archive.read(entry) for entry in code)
        with _undeprecated():
            network = None if restored else torch.jit.load(io.BytesIO(content), map_location="cpu")
    except Exception as error:  # a broken file raises whatever it leads the readers to do
        msg = f"is no TorchScript program ({type(error).__name__})"
        raise ValueError(msg) from error
    if network is None:
        msg = "runs code of its own while it is loaded"
        raise ValueError(msg)
    if not hasattr(network, "forward") or len(network.forward.schema.arguments) != 1 + ARGUMENTS:
        msg = "takes other arguments than an image, a number of layers, statistics and an orientation"
        raise ValueError(msg)
    for kind in sorted({node.kind() for node in nodes(network.inlined_graph)}):
        if kind in FORBIDDEN or kind.split("::")[0] not in NAMESPACES:
            msg = f"does more than compute with tensors ({kind})"
            raise ValueError(msg)
    for parameter in network.parameters():
        parameter.requires_grad = False
    return network.eval()


@contextmanager
def _undeprecated() -> Iterator[None]:
    """Keep torch from advising other formats: IMPACT is published in this one."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`torch.jit", DeprecationWarning)
        yield


def nodes(block: Any) -> Iterator[Any]:
    """Go through the operations of a graph, also those inside branches and loops."""
    for node in block.nodes():
        yield node
        for inner in node.blocks():
            yield from nodes(inner)


def describe(content: bytes) -> dict[str, Any]:
    """Give the architecture of a program: its hash, and the strides of the layers that can be compared.

    Raises:
        ValueError: if it is no program of IMPACT for volumes of any unit of intensity.
    """
    network = load(content)
    volume = torch.rand((1, 1, *(PROBE,) * 3), generator=torch.Generator().manual_seed(0))
    layers, scaled = (_probe(network, image) for image in (volume, 1 + 2 * volume))
    # a class per voxel, which some give last, has no gradient
    layers = [layer for layer in layers if layer.is_floating_point()]
    if not layers:
        msg = "gives no layers of features"
        raise ValueError(msg)
    if not torch.allclose(layers[0], scaled[0], rtol=1e-3, atol=1e-3):
        msg = "expects intensities in a unit of its own, such as CT's, which images in [0, 1] do not have"
        raise ValueError(msg)
    return {
        "name": "impact",
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "strides": [[PROBE // size for size in _turned(layer).shape[2:]] for layer in layers],
    }


def _probe(network: torch.jit.ScriptModule, volume: Tensor) -> list[Tensor]:
    statistics = torch.stack([volume.amin(), volume.amax(), volume.mean(), volume.std()])
    with torch.no_grad():
        return run(network, volume, MANY, statistics)


class Standin(nn.Module):
    """A small network with the arguments and the normalisation of IMPACT's."""

    def __init__(self, channels: list[int]) -> None:
        super().__init__()
        self.stages = nn.ModuleList(
            nn.Sequential(
                nn.Conv3d(a, b, 3, stride=1 + (a > 1), padding=1), nn.InstanceNorm3d(b, affine=True), nn.LeakyReLU()
            )
            for a, b in zip([1, *channels], channels, strict=False)
        )

    def forward(
        self,
        image: torch.Tensor,
        layers: torch.Tensor,
        statistics: torch.Tensor,
        orientation: torch.Tensor,  # noqa: ARG002
    ) -> list[torch.Tensor]:
        """Give the first layers."""
        image = (image - statistics[2]) / statistics[3]
        found: list[torch.Tensor] = []
        for stage in self.stages:
            if len(found) < int(layers.item()):
                image = stage(image)
                found.append(image)
        return found


def build(config: dict[str, Any]) -> Impact:
    """Build the extractor for a program; without one, with a small random program of the stated channels."""
    if "channels" not in config:
        return Impact(config["bytes"], config["sha256"], config["strides"])
    file = io.BytesIO()
    with _undeprecated():
        torch.jit.save(torch.jit.script(Standin(config["channels"])), file)
    extractor = build(describe(file.getvalue()))
    extractor.load_state_dict({"program": _bytes(file.getvalue())})
    return extractor


def read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Read a program of IMPACT for volumes.

    Raises:
        UserError: if it is none, or does anything but compute with tensors.
    """
    content = path.read_bytes()
    try:
        return describe(content), {"program": _bytes(content)}
    except (ValueError, RuntimeError) as error:
        msg = str(error) if isinstance(error, ValueError) else "fails on a volume"
        msg = f"{path}: {msg}; fetch the file again, or state another program of IMPACT"
        raise UserError(msg) from error


def _bytes(content: bytes) -> Tensor:
    return torch.frombuffer(bytearray(content), dtype=torch.uint8)
