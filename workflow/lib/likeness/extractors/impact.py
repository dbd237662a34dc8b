"""The networks of IMPACT, published as TorchScript; features are the layers of a whole-body segmentation network.

Boussot et al., IMPACT: A generic semantic loss for multimodal image registration, arXiv:2503.24121,
https://huggingface.co/VBoussot/impact-torchscript-models; TS/M730 is TotalSegmentator's network for organs in MRI
(D'Antonoli et al., Radiology 2025, arXiv:2405.19492). The inputs of a model are an image, the number of layers to
return, the image's minimum, maximum, mean and standard deviation, and its orientation; the output is a list of layers,
that at the image's resolution first. Models for MRI, such as this one, subtract the mean and divide by the standard
deviation. Models for CT expect Hounsfield units rather than intensities in [0, 1] and are rejected.

TorchScript files contain code, so they cannot be loaded as weights only. The file is stored byte for byte with its
hash, and executed only after a check that its operations are restricted to tensor computations.
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
"""Number of inputs: image, number of layers, statistics, orientation."""
PROBE = 64
"""Edge length in voxels of the volume used to determine the layers of a model."""
MANY = 100
"""More layers than any network has; a model then returns all."""
SMALLEST_STD = 1e-3
"""Lower bound on the standard deviation of an image in [0, 1], so that a nearly constant one is not amplified."""
NAMESPACES = ("aten", "prim")
FORBIDDEN = {
    *("aten::save", "aten::load", "aten::from_file"),
    *("prim::PythonOp", "prim::IgnoredPythonOp", "prim::CallMethod", "prim::CallFunction", "prim::fork"),
    *("prim::rpc_async", "prim::rpc_sync", "prim::rpc_remote"),
}
"""Operations that access files or other machines, or that hide other operations."""


class Impact(Extractor):
    """Run a TorchScript model of IMPACT.

    Args:
        size: size of the file in bytes.
        sha256: SHA-256 of the file.
        strides: strides of its layers along every axis of a volume.

    Attributes:
        layers: number of layers to return.
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
        # not a registered module: its parameters are part of the buffer already, and must not be trained
        object.__setattr__(self, "network", None)

    def _load_from_state_dict(self, state: dict[str, Any], prefix: str, *others: Any) -> None:
        super()._load_from_state_dict(state, prefix, *others)
        content = self.program.cpu().numpy().tobytes()
        if hashlib.sha256(content).hexdigest() != self.sha256:
            msg = f"the model does not have the hash {self.sha256}"
            raise RuntimeError(msg)
        self.take(content)

    def take(self, content: bytes) -> None:
        """Load the TorchScript model contained in ``content``.

        Raises:
            ValueError: if it does more than tensor computations.
        """
        network = load(content)
        object.__setattr__(self, "network", network.to(self.program.device))

    def _apply(self, function: Any, recurse: bool = True) -> Impact:
        super()._apply(function, recurse)
        if self.network is not None:
            self.network._apply(function)
        return self

    def cut(self, layers: int) -> None:
        """Return the first ``layers`` layers only.

        Raises:
            ValueError: if there are fewer layers.
        """
        if not 0 < layers <= len(self.strides):
            msg = f"levels: {layers - 1} requested, but the extractor has levels 0 to {len(self.strides) - 1}"
            raise ValueError(msg)
        self.layers = layers

    def extent(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Return the field of view of the feature maps in voxels: the volume, padded to multiples of the strides."""
        return padded_to([max(axis) for axis in zip(*self.strides[: self.layers], strict=True)], shape)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Map ``(batch, 1, *spatial)`` to the first layers of the model.

        Volumes are processed one by one, because the model takes a single mean, and in full precision even under
        autocast.
        """
        precision = next(self.network.parameters()).dtype
        with torch.autocast(image.device.type, enabled=False):
            layers = [self._layers(volume[None].to(precision)) for volume in image]
        return [torch.cat(maps) for maps in zip(*layers, strict=True)]

    def _layers(self, volume: Tensor) -> list[Tensor]:
        # clamping the variance rather than the standard deviation, whose gradient at 0 is not finite
        spread = volume.var().clamp(min=SMALLEST_STD**2).sqrt()
        statistics = torch.stack([volume.amin(), volume.amax(), volume.mean(), spread])
        padded = pad(volume, self.extent(volume.shape[2:]))
        return [_turned(layer) for layer in run(self.network, _turned(padded), self.layers, statistics)]


def _turned(volume: Tensor) -> Tensor:
    """Reverse the axes: volumes are (x, y, z) here and (z, y, x) in nnU-Net's networks."""
    return volume.permute(0, 1, 4, 3, 2)


def run(network: torch.jit.ScriptModule, volume: Tensor, layers: int, statistics: Tensor) -> list[Tensor]:
    """Call an IMPACT model for a volume ``(1, 1, *spatial)``, with axes in the model's order."""
    # without the optimisation of repeated calls, which would change the rounding from the third call on
    with torch.jit.optimized_execution(False):
        return network(volume, torch.tensor([layers]), statistics, torch.tensor([]))


def load(content: bytes) -> torch.jit.ScriptModule:
    """Load a TorchScript model from memory to the CPU, in evaluation mode and frozen.

    Raises:
        ValueError: if the bytes are not TorchScript, or the model does more than tensor computations.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            # the only method that loading itself executes
            code = [entry for entry in archive.infolist() if entry.filename.endswith(".py")]
            restored = any(b"__setstate__" in archive.read(entry) for entry in code)
        with _undeprecated():
            network = None if restored else torch.jit.load(io.BytesIO(content), map_location="cpu")
    except Exception as error:  # a damaged file can raise any error
        msg = f"is not a TorchScript model ({type(error).__name__})"
        raise ValueError(msg) from error
    if network is None:
        msg = "runs code while it is loaded"
        raise ValueError(msg)
    if not hasattr(network, "forward") or len(network.forward.schema.arguments) != 1 + ARGUMENTS:
        msg = "takes inputs other than an image, a number of layers, statistics and an orientation"
        raise ValueError(msg)
    for kind in sorted({node.kind() for node in nodes(network.inlined_graph)}):
        if kind in FORBIDDEN or kind.split("::")[0] not in NAMESPACES:
            msg = f"does more than tensor computations ({kind})"
            raise ValueError(msg)
    for parameter in network.parameters():
        parameter.requires_grad = False
    return network.eval()


@contextmanager
def _undeprecated() -> Iterator[None]:
    """Suppress torch's deprecation warnings: IMPACT is published as TorchScript."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`torch.jit", DeprecationWarning)
        yield


def nodes(block: Any) -> Iterator[Any]:
    """Iterate over the operations of a graph, including those inside branches and loops."""
    for node in block.nodes():
        yield node
        for inner in node.blocks():
            yield from nodes(inner)


def describe(content: bytes) -> dict[str, Any]:
    """Return the architecture of a model: its hash, and the strides of its layers with features.

    Raises:
        ValueError: if it is not an IMPACT model for volumes of any intensity unit.
    """
    network = load(content)
    volume = torch.rand((1, 1, *(PROBE,) * 3), generator=torch.Generator().manual_seed(0))
    layers, scaled = (_probe(network, image) for image in (volume, 1 + 2 * volume))
    # some models return class indices last, which have no gradient
    layers = [layer for layer in layers if layer.is_floating_point()]
    if not layers:
        msg = "returns no layers of features"
        raise ValueError(msg)
    if not torch.allclose(layers[0], scaled[0], rtol=1e-3, atol=1e-3):
        msg = "expects intensities in a specific unit, such as those of CT, rather than in [0, 1]"
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
    """A small network with the inputs and normalisation of IMPACT's, for tests."""

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
        """Return the first ``layers`` layers."""
        image = (image - statistics[2]) / statistics[3]
        found: list[torch.Tensor] = []
        for stage in self.stages:
            if len(found) < int(layers.item()):
                image = stage(image)
                found.append(image)
        return found


def build(config: dict[str, Any]) -> Impact:
    """Build the extractor for a model; if ``config`` has channels instead, with a small random model, for tests."""
    if "channels" not in config:
        return Impact(config["bytes"], config["sha256"], config["strides"])
    file = io.BytesIO()
    with _undeprecated():
        torch.jit.save(torch.jit.script(Standin(config["channels"])), file)
    extractor = build(describe(file.getvalue()))
    extractor.load_state_dict({"program": _bytes(file.getvalue())})
    return extractor


def read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Read an IMPACT model for volumes.

    Raises:
        UserError: if the file is not such a model, or does more than tensor computations.
    """
    content = path.read_bytes()
    try:
        return describe(content), {"program": _bytes(content)}
    except (ValueError, RuntimeError) as error:
        msg = str(error) if isinstance(error, ValueError) else "fails on a volume"
        msg = f"{path}: {msg}; fetch the file again, or use another IMPACT model"
        raise UserError(msg) from error


def _bytes(content: bytes) -> Tensor:
    return torch.frombuffer(bytearray(content), dtype=torch.uint8)
