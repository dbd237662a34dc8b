"""Model of ``dataset.yaml``, the self-description of a dataset: keys, types, limits and descriptions.

Jobs read the file without this model, so values are used exactly as written; defaults come from
:data:`likeness.data.layout.DEFAULTS`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, GetJsonSchemaHandler, StringConstraints, model_validator
from pydantic.json_schema import JsonSchemaValue

from likeness import metrics
from likeness.config import faults
from likeness.config.values import LINE, Block, Misfit, distinct, tagged
from likeness.data import layout
from likeness.data.layout import DEFAULTS
from likeness.userinput.errors import DatasetError, plain, suggest

Identifier = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=64)]
Unit = Annotated[str, StringConstraints(pattern=r"^[^$\s\x00-\x1f\x7f-\x9f]+$", max_length=16)]
LabelName = Annotated[str, StringConstraints(pattern=LINE, min_length=1, max_length=100)]
LabelValue = Annotated[int, Field(ge=0, le=2**31 - 1)]
Value = Annotated[int, Field(ge=0)]
Length = Annotated[float, Field(ge=1e-9, le=1_000_000_000)]
Intensity = Annotated[float, Field(ge=-1e30, le=1e30)]
Entry = tagged({"text": str, "number": float}, lambda value: "text" if isinstance(value, str) else "number")


def _of_truth(name: str) -> str:
    """Refuse the name of a metric that no observer's labels or landmarks could have."""
    cards = {name: metrics.card(name) for name in metrics.names()}
    known = [name for name, card in cards.items() if card["better"] and {"label", "landmarks"} & {*card["needs"]}]
    if name not in known:
        raise Misfit("no_metric", name=plain(name), fix=suggest(name, known))
    return name


ABSENT: Any = None
"""Default of a key that may be omitted but not be null."""


class Written(Block):
    """A block in which a key without a value is an error, because jobs read the file as written."""

    @model_validator(mode="before")
    @classmethod
    def _open(cls, value: Any) -> Any:
        return value

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: Any, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return handler(core_schema)


class Intensities(Written):
    """Linear mapping of intensities to the range 0 to 1, with clipping. By default each image's quantiles .001 and .999
    over all its voxels become 0 and 1. A brain-extracted image and its whole head then share one scale if the brain
    holds the brightest voxels; if something outside it is brighter (scalp fat), name the column subject in shared_by or
    give a fixed range."""

    rule: Literal["quantile", "range"]
    """Meaning of low and high, quantile (quantiles of each image) or range (intensities)."""
    low: Intensity = ABSENT
    """Quantile (default .001) or intensity that becomes 0."""
    high: Intensity = ABSENT
    """Quantile (default .999) or intensity that becomes 1."""
    shared_by: str = ABSENT
    """A column of images.csv, for the rule quantile. Images with the same entry share one scale, from the lowest of
    their low quantiles to the highest of their high ones; an image without an entry is scaled on its own."""


class Landmarks(Written):
    """What the columns x, y and z of landmark files mean. Without this key the files have the columns i, j and k,
    voxels along the axes of the image file."""

    space: Literal["voxel", "world"]
    """Whether coordinates are zero-based voxels or places in the unit of the header of a NIfTI image, mm for most."""
    convention: Literal["ras", "lps"] = ABSENT
    """Direction of x and y in the world: right and anterior (ras, the default, as in NIfTI) or left and posterior (lps,
    as in DICOM, ITK and ANTs)."""
    file: Literal["xy", "ij"] = ABSENT
    """What x is in a picture: the column (xy, the default) or the first axis of the file, the row (ij). In NIfTI files
    x is the first axis."""


class PairRule(Written):
    """How pairs are formed in every split that pairs.csv does not list: all ordered pairs of two different images of
    the split that satisfy every key given; where there are atlases, of an image of the split and an atlas."""

    moving: dict[str, Entry] = {}  # type: ignore[valid-type]
    """Column and value required of the moving image, for example modality and brain."""
    fixed: dict[str, Entry] = {}  # type: ignore[valid-type]
    """Column and value required of the fixed image."""
    within: str = ABSENT
    """A column in which both images must have the same entry; an image without an entry is in no pair."""
    different: str = ABSENT
    """A column in which the images must differ, for example subject; an image without an entry differs from any
    other."""
    max_gap: Annotated[float, Field(gt=0)] = ABSENT
    """Maximum difference between the positions of the two images, which must not be equal."""
    max_pairs: Annotated[int, Field(ge=1)] = ABSENT
    """Maximum number of pairs in each split, drawn at random with the dataset's seed; by default all."""


class DatasetFile(Written):
    """A dataset's description of itself, next to its images.csv and, where pairs are listed, pairs.csv."""

    name: Identifier
    """Name of the dataset in tables, figures and file names; letters, digits, '.', '_' and '-'."""
    description: str = DEFAULTS["description"]
    """What the images show and what is registered to what, in a sentence or two."""
    spatial_dims: Literal[2, 3]
    """Number of spatial axes of every image, 2 or 3."""
    spacing: Annotated[list[Length], Field(min_length=2, max_length=3)]
    """Distance between neighbouring voxels along each axis, in spacing_unit; for pictures (PNG, TIFF) in the order row,
    column, for a TIFF stack slice, row, column, for NIfTI x, y, z of the canonical orientation (right, anterior,
    superior), whatever the order of the axes in the file."""
    spacing_unit: Unit
    """Unit of spacing, in which distances are reported, for example mm, um, nm or px."""
    labels: dict[LabelValue, LabelName] = DEFAULTS["labels"]
    """Name of every value, from 0 to 2147483647, that occurs in the label maps; needed where images have label maps.
    Results have the names alone: if a value exceeds 32767, all are numbered anew in the prepared images."""
    evaluate: Annotated[list[Value], Field(json_schema_extra={"uniqueItems": True}), AfterValidator(distinct)] = (
        DEFAULTS["evaluate"]
    )
    """The label values to score; needed where images have label maps."""
    kinds: dict[str, Annotated[list[Value], Field(min_length=1)]] = DEFAULTS["kinds"]
    """Label values of structures that share one appearance and differ in location only, under the name of the group,
    for example all parcels of grey matter; the data sheet reports how much of the groups' label entropy intensity
    explains. A value not listed is a group of its own."""
    background: Value | None = DEFAULTS["background"]
    """The label value of the background, which is never scored; null if every value is a structure (in electron
    microscopy 0 may be membrane)."""
    landmarks: Landmarks = Field(default=DEFAULTS["landmarks"])
    accuracy: dict[Annotated[str, AfterValidator(_of_truth)], Length] = DEFAULTS["accuracy"]
    """How exact labels or landmarks are themselves, by metric: the score between two observers, for example
    {dice: 0.92, hd95: 2} or {tre: 1}. The data sheet says by which of them unregistered pairs are as good already."""
    modality: str = DEFAULTS["modality"]
    """Imaging modality, for the data sheet."""
    intensity: Intensities = Field(default=DEFAULTS["intensity"], validate_default=True)
    pairs: PairRule = Field(default=DEFAULTS["pairs"], validate_default=True)
    stress_test: bool = DEFAULTS["stress_test"]
    """true if all subjects derive from one template, so that results show where a method breaks rather than which is
    better; stated wherever results on the dataset are shown."""
    within_subject: bool = DEFAULTS["within_subject"]
    """true if splits share subjects or images, for example because all images are of one specimen, so that train,
    validation and test are not independent; stated on the data sheet. Otherwise that is refused."""
    licence: str = DEFAULTS["licence"]
    """Licence of the data."""
    source: str = DEFAULTS["source"]
    """Where the data come from."""
    citation: str = DEFAULTS["citation"]
    """What to cite wherever a result on the data is shown."""
    note: str = DEFAULTS["note"]
    """What a reader of the results should know about the data."""


def check(folder: str | Path) -> None:
    """Check the ``dataset.yaml`` of a dataset folder, without looking at the other files.

    Raises:
        DatasetError: with one line for every problem, each with file, key and fix.
    """
    path = Path(folder) / "dataset.yaml"
    document: dict[Any, Any] = layout.read_document(path)
    faults.checked(DatasetFile, document, str(path), DatasetError)
