"""What a user would pick instead, each behind one call: registers two images and gives the field in our convention.

A peer gets both images on one grid and says how it would register them at one of its settings. What is timed is that
registration alone: the images are the peer's own beforehand, and its field is converted to ours afterwards. All of
them are single-threaded where the process is, see `registering.py`.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

Setting = dict[str, Any]
THINNEST = 32
"""Voxels that FireANTs needs along every axis: its coarse levels are never smaller, also where the image is."""


class Ready(NamedTuple):
    """A registration about to be timed, and what makes our field of its result, which is not."""

    register: Callable[[], Any]
    field: Callable[[Any], np.ndarray]
    """``(*spatial, dims)`` in voxels of the fixed grid, into the moving image."""


Build = Callable[[np.ndarray, np.ndarray, Sequence[float], Setting], Ready]
"""Takes the moving and the fixed image ``(*spatial)``, the size of a voxel along each axis and a setting."""


class Peer(NamedTuple):
    """A peer with one measure.

    Attributes:
        method: what the table calls it.
        loss: its measure.
        alike: our loss with the same measure.
        build: gets a registration ready.
        grid: what is tried on validation pairs, its own defaults first.
        refuses: says why a grid of a shape cannot be registered, or nothing.
        grid_3d: another grid for 3D images, where it has one.
        as_it_comes: whether its own defaults are scored on test pairs too, as what most users take.
    """

    method: str
    loss: str
    alike: str
    build: Build
    grid: Sequence[Setting]
    refuses: Callable[[Sequence[int]], str] = lambda _: ""
    grid_3d: Sequence[Setting] | None = None
    as_it_comes: bool = False

    def settings(self, dims: int) -> Sequence[Setting]:
        """Give what is tried on images of so many axes."""
        return self.grid if dims == 2 or self.grid_3d is None else self.grid_3d


def physical(displacement: np.ndarray, spacing: Sequence[float]) -> np.ndarray:
    """Convert a displacement ``(*spatial, dims)`` from physical units along our axes to voxels, float32.

    Images are given to ITK without a direction of their own, so that its axes are ours and nothing is negated.
    """
    return np.ascontiguousarray(displacement / np.asarray(spacing, np.float64), dtype=np.float32)


def reversed_components(displacement: np.ndarray) -> np.ndarray:
    """Reverse the components of ``(*spatial, dims)``: SimpleITK and PyTorch's samplers count our last axis first."""
    return displacement[..., ::-1]


def itk_image(image: np.ndarray, spacing: Sequence[float]) -> Any:
    """Make an image of SimpleITK's, whose axes are ours in reverse order."""
    import SimpleITK as sitk

    made = sitk.GetImageFromArray(np.ascontiguousarray(image, np.float32))
    made.SetSpacing([float(s) for s in reversed(spacing)])
    return made


def syn(
    metric: str,
    moving: np.ndarray,
    fixed: np.ndarray,
    spacing: Sequence[float],
    setting: Setting,
    radius: int = 4,
) -> Ready:
    """Get ANTs' symmetric normalisation ready, without an affine part; it writes its field to a file by itself.

    The radius is that of the window of CC.
    """
    import ants

    from likeness.methods.syn import picture

    images = [picture(image, spacing) for image in (fixed, moving)]
    more = {"syn_metric": "CC", "syn_sampling": radius} if metric == "cc" else {}

    def register() -> Path:
        folder = tempfile.mkdtemp(prefix="likeness-")
        try:
            found = ants.registration(
                *images, type_of_transform="SyNOnly", outprefix=f"{folder}/", random_seed=1, **more, **setting
            )
            return next(Path(path) for path in found["fwdtransforms"] if path.endswith("Warp.nii.gz"))
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise

    def field(path: Path) -> np.ndarray:
        found = ants.image_read(str(path)).numpy()
        shutil.rmtree(path.parent)
        return physical(found, spacing)

    return Ready(register, field)


def demons(moving: np.ndarray, fixed: np.ndarray, spacing: Sequence[float], setting: Setting) -> Ready:
    """Get SimpleITK's fast symmetric forces demons ready, from coarse to fine images as their manual advises."""
    import SimpleITK as sitk

    images = [itk_image(image, spacing) for image in (fixed, moving)]

    def coarse(image: Any, factor: int) -> Any:
        # not along an axis that is thin already
        factors = [factor if size >= 8 * factor else 1 for size in image.GetSize()]
        smooth = sitk.SmoothingRecursiveGaussian(
            image, [max(0.5 * f, 1e-3) * s for f, s in zip(factors, image.GetSpacing(), strict=True)]
        )
        return sitk.Shrink(smooth, factors)

    def register() -> Any:
        engine = sitk.FastSymmetricForcesDemonsRegistrationFilter()
        engine.SetNumberOfIterations(setting["iterations"])
        engine.SetStandardDeviations(setting["sigma"])
        found = None
        for factor in (4, 2, 1):
            levels = [image if factor == 1 else coarse(image, factor) for image in images]
            if found is None:
                found = engine.Execute(*levels)
            else:
                found = sitk.Resample(
                    found, levels[0], sitk.Transform(), sitk.sitkLinear, 0.0, found.GetPixelID(), True
                )
                found = engine.Execute(*levels, found)
        return found

    return Ready(register, partial(_of_itk, spacing=spacing))


def _of_itk(found: Any, spacing: Sequence[float]) -> np.ndarray:
    """Convert an image of displacements of SimpleITK's."""
    import SimpleITK as sitk

    return physical(reversed_components(sitk.GetArrayFromImage(found)), spacing)


def bspline(measure: str, moving: np.ndarray, fixed: np.ndarray, spacing: Sequence[float], setting: Setting) -> Ready:
    """Get SimpleITK's free-form deformation ready: cubic B-splines, from coarse to fine images and meshes."""
    import SimpleITK as sitk

    images = [itk_image(image, spacing) for image in (fixed, moving)]
    sizes = images[0].GetSize()
    factors = [4, 2, 1]

    def register() -> Any:
        # the finest mesh has `distance` voxels between its points, the coarsest four times as many
        mesh = [max(1, round(size / (4 * setting["distance"]))) for size in sizes]
        engine = sitk.ImageRegistrationMethod()
        engine.SetInitialTransformAsBSpline(
            sitk.BSplineTransformInitializer(images[0], mesh), inPlace=True, scaleFactors=[1, 2, 4]
        )
        if measure == "mi":
            engine.SetMetricAsMattesMutualInformation(32)
        else:
            engine.SetMetricAsMeanSquares()
        # a fifth of the voxels, drawn once a level: all of them take a minute on a mesh as fine as the finest
        engine.SetMetricSamplingStrategy(engine.RANDOM)
        engine.SetMetricSamplingPercentage(0.2, 1)
        engine.SetInterpolator(sitk.sitkLinear)
        engine.SetOptimizerAsLBFGS2(numberOfIterations=setting["iterations"], solutionAccuracy=1e-4)
        engine.SetShrinkFactorsPerLevel([f if min(sizes) >= 8 * f else 1 for f in factors])
        engine.SetSmoothingSigmasPerLevel([f / 2 if f > 1 else 0 for f in factors])
        engine.SmoothingSigmasAreSpecifiedInPhysicalUnitsOff()
        return engine.Execute(*images)

    def field(found: Any) -> np.ndarray:
        dense = sitk.TransformToDisplacementField(
            found, sitk.sitkVectorFloat64, sizes, images[0].GetOrigin(), images[0].GetSpacing()
        )
        return _of_itk(dense, spacing)

    return Ready(register, field)


def convexadam(moving: np.ndarray, fixed: np.ndarray, spacing: Sequence[float], setting: Setting) -> Ready:
    """Get ConvexAdam ready on the CPU; its field is ours already."""
    import torch
    from convexAdam.convex_adam_MIND import convex_adam_pt

    del spacing
    images = [torch.from_numpy(np.ascontiguousarray(image, np.float32)) for image in (fixed, moving)]

    def register() -> np.ndarray:
        return convex_adam_pt(*images, dtype=torch.float32, device=torch.device("cpu"), **setting)

    return Ready(register, lambda found: np.ascontiguousarray(found, np.float32))


def fireants(
    measure: str,
    moving: np.ndarray,
    fixed: np.ndarray,
    spacing: Sequence[float],
    setting: Setting,
    window: int = 7,
) -> Ready:
    """Get FireANTs' greedy registration ready on the CPU; the window is that of CC, in voxels of every level."""
    from fireants.io.image import BatchedImages, Image
    from fireants.registration.greedy import GreedyRegistration

    images = [BatchedImages([Image(itk_image(image, spacing), device="cpu")]) for image in (fixed, moving)]

    def register() -> Any:
        engine = GreedyRegistration(
            [8, 4, 2, 1],
            [60, 60, 40, 10],
            *images,
            loss_type=measure,
            cc_kernel_size=window,
            optimizer="Adam",
            progress_bar=False,
            **setting,
        )
        engine.optimize()
        return engine

    def field(found: Any) -> np.ndarray:
        grid = found.get_warp_parameters(*images)["grid"][0].detach().numpy()
        # in halves of the image, from the centre of its first voxel to that of its last
        halves = (np.array(fixed.shape) - 1) / 2
        return np.ascontiguousarray(reversed_components(grid) * halves, np.float32)

    return Ready(register, field)


def _only_3d(shape: Sequence[int]) -> str:
    return "" if len(shape) == 3 else "registers 3D images only"


def _not_for_long(shape: Sequence[int]) -> str:
    return "not tried: with half that radius it takes minutes a pair" if len(shape) == 3 else ""


def _not_thin(shape: Sequence[int]) -> str:
    return "" if min(shape) >= THINNEST else f"needs {THINNEST} voxels along every axis; the images have {min(shape)}"


SYN: list[Setting] = [
    {"flow_sigma": sigma, "reg_iterations": iterations}
    for sigma, iterations in (
        (3, [40, 20, 0]),
        (6, [40, 20, 0]),
        (1.5, [40, 20, 0]),
        (3, [100, 50, 0]),
        (6, [100, 50, 0]),
    )
]
"""The first is what `ants.registration` does unless told otherwise."""
SYN_CC_3D: list[Setting] = [{"flow_sigma": sigma, "reg_iterations": [40, 20, 0]} for sigma in (3, 1, 1.5, 4.5, 6)]
"""More iterations would take several minutes a pair."""
DEMONS: list[Setting] = [{"sigma": sigma, "iterations": 50} for sigma in (1.0, 1.25, 1.5, 2.0, 3.0)]
BSPLINE: list[Setting] = [{"distance": distance, "iterations": 50} for distance in (8, 12, 16, 24, 32)]
CONVEXADAM: list[Setting] = [
    {"lambda_weight": 1.25},
    {"lambda_weight": 0.6},
    {"lambda_weight": 2.5},
    {"lambda_weight": 1.25, "selected_smooth": 3},
    {"lambda_weight": 1.25, "grid_sp": 4, "disp_hw": 4},
]
FIREANTS: list[Setting] = [
    {"smooth_grad_sigma": grad, "smooth_warp_sigma": warp}
    for grad, warp in ((1.0, 0.5), (1.0, 0.25), (2.0, 0.5), (2.0, 1.0), (3.0, 1.5))
]

PEERS: dict[str, Peer] = {
    "syn-mi": Peer("syn", "mi", "nmi", partial(syn, "mi"), SYN, as_it_comes=True),
    "syn-cc": Peer("syn", "cc", "ncc", partial(syn, "cc"), SYN, grid_3d=SYN_CC_3D, as_it_comes=True),
    "syn-cc-wide": Peer("syn", "cc window=17", "ncc", partial(syn, "cc", radius=8), SYN, _not_for_long),
    "demons": Peer("demons", "mse", "mse", demons, DEMONS),
    "bspline-mse": Peer("bspline", "mse", "mse", partial(bspline, "mse"), BSPLINE),
    "bspline-mi": Peer("bspline", "mi", "nmi", partial(bspline, "mi"), BSPLINE),
    "convexadam": Peer("convexadam", "mind", "mind", convexadam, CONVEXADAM, _only_3d),
    "fireants-mse": Peer("fireants", "mse", "mse", partial(fireants, "mse"), FIREANTS, _not_thin),
    "fireants-cc": Peer("fireants", "cc", "ncc", partial(fireants, "cc"), FIREANTS, _not_thin),
    "fireants-cc-wide": Peer(
        "fireants", "cc window=17", "ncc", partial(fireants, "cc", window=17), FIREANTS, _not_thin
    ),
}
"""Contestants that are not ours, by the name that the command line calls them."""
