"""Images of every kind that people have: read rightly, or refused in one sentence that names the file and the fix."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import tifffile
from PIL import Image
from refusals import refused

from likeness.imageio import images
from likeness.userinput.errors import DatasetError

GREY = (np.arange(96).reshape(8, 12) * 2).astype(np.uint8)
GREY16 = GREY.astype(np.uint16) * 300
BILEVEL = GREY > 90
OPAQUE = np.full_like(GREY, 255)
ALPHA = {"photometric": "minisblack", "extrasamples": ["unassalpha"]}
JPEG_ERROR = 3
"""Most by which the decoder of an independent program differs after lossy compression at this quality."""


def tiff(values: np.ndarray, **options: Any) -> Callable[[Path], object]:
    return lambda path: tifffile.imwrite(path, values, **options)


def pages(*written: tuple[np.ndarray, dict[str, Any]]) -> Callable[[Path], None]:
    """Write arrays one after the other into one TIFF, each with its options."""

    def write(path: Path) -> None:
        with tifffile.TiffWriter(path) as file:
            for values, options in written:
                file.write(values, **options)

    return write


def pillow(values: np.ndarray, compression: str) -> Callable[[Path], object]:
    return lambda path: Image.fromarray(values).save(path, compression=compression)


def signed(values: np.ndarray) -> Callable[[Path], object]:
    """Write as ImageJ writes signed 16 bits: unsigned, with a calibration."""
    calibrated = {"cf": 0, "c0": -32768.0, "c1": 1.0, "vunit": "Gray Value"}
    return tiff((values + 32768).astype(np.uint16), imagej=True, metadata=calibrated)


@pytest.mark.parametrize(
    ("write", "wanted"),
    [
        pytest.param(tiff(255 - GREY, photometric="miniswhite"), GREY, id="0 is white"),
        pytest.param(tiff(65535 - GREY16, photometric="miniswhite"), GREY16, id="0 is white, 16 bits"),
        pytest.param(tiff(~BILEVEL, photometric="miniswhite"), BILEVEL, id="0 is white, 1 bit"),
        pytest.param(
            tiff(4095 - GREY16 % 4096, photometric="miniswhite", bitspersample=12), GREY16 % 4096, id="12 bits"
        ),
        pytest.param(pillow(BILEVEL, "group4"), BILEVEL, id="fax"),
        pytest.param(tiff(GREY, compression="lzw", predictor=True), GREY, id="LZW"),
        pytest.param(pillow(GREY, "tiff_lzw"), GREY, id="LZW of another program"),
        pytest.param(tiff(GREY16, compression="jpeg2000"), GREY16, id="JPEG2000"),
        pytest.param(tiff(GREY16, compression="zstd", tile=(16, 16)), GREY16, id="tiles"),
        pytest.param(tiff(GREY16, byteorder=">", compression="deflate", predictor=True), GREY16, id="big-endian"),
        pytest.param(tiff(GREY, bigtiff=True), GREY, id="BigTIFF"),
        pytest.param(tiff(np.stack([GREY, OPAQUE], -1), planarconfig="contig", **ALPHA), GREY, id="opaque alpha"),
        pytest.param(tiff(np.stack([GREY, OPAQUE]), planarconfig="separate", **ALPHA), GREY, id="alpha in a plane"),
        pytest.param(pages((GREY, {}), (GREY[::2, ::2], {"subfiletype": 1})), GREY, id="thumbnail after"),
        pytest.param(pages((GREY[::2, ::2], {"subfiletype": 1}), (GREY, {})), GREY, id="thumbnail before"),
        pytest.param(pages((GREY, {"subifds": 1}), (GREY[::2, ::2], {"subfiletype": 1})), GREY, id="pyramid"),
        pytest.param(signed(GREY.astype(int) * 100 - 900), GREY.astype(int) * 100 - 900, id="signed in ImageJ"),
        pytest.param(tiff(GREY.astype(np.float16) - 90), GREY - 90.0, id="half precision"),
        pytest.param(tiff(GREY, metadata={"axes": "YX"}, ome=True), GREY, id="OME"),
    ],
)
def test_tiff_is_read_as_it_is_to_be_seen(tmp_path: Path, write: Callable[[Path], object], wanted: np.ndarray) -> None:
    write(tmp_path / "a.tif")
    np.testing.assert_array_equal(images.read(tmp_path / "a.tif", 2)[0], wanted)


def test_jpeg_in_tiff_is_read_as_by_another_program(tmp_path: Path) -> None:
    pillow(GREY, "jpeg")(tmp_path / "a.tif")
    found = images.read(tmp_path / "a.tif", 2)[0].astype(int)
    with Image.open(tmp_path / "a.tif") as other:
        assert np.abs(found - np.asarray(other)).max() <= JPEG_ERROR
    assert np.abs(found - GREY).max() < 30


@pytest.mark.parametrize(
    ("write", "facts"),
    [
        pytest.param(
            tiff(GREY.astype(np.float32), photometric="miniswhite"), ["MINISWHITE", "float32"], id="white 0.0"
        ),
        pytest.param(tiff(GREY, extratags=[(274, "H", 1, 6, True)]), ["Orientation", "6"], id="to be turned"),
        pytest.param(
            tiff(np.stack([GREY] * 30), photometric="minisblack"), ["30 pages", "'spatial_dims: 2'"], id="30 pages"
        ),
        pytest.param(pages(*[(GREY, {})] * 2), ["2 images", "(8, 12)"], id="two of a shape"),
        pytest.param(pages((GREY, {}), (GREY[:4], {})), ["2 images", "(4, 12)"], id="two of other shape"),
        pytest.param(
            pages((GREY, {}), (BILEVEL, {"subfiletype": 4, "photometric": "mask"})), ["2 images"], id="with a mask"
        ),
        pytest.param(tiff(np.stack([GREY16] * 3), imagej=True, metadata={"axes": "TYX"}), ["TYX", "time"], id="a film"),
        pytest.param(tiff(np.stack([GREY] * 2), ome=True, metadata={"axes": "CYX"}), ["CYX", "channel"], id="channels"),
        pytest.param(tiff(np.stack([GREY, GREY], -1), planarconfig="contig", **ALPHA), ["transparent"], id="alpha"),
        pytest.param(tiff(np.stack([GREY] * 3), photometric="rgb"), ["colour"], id="RGB in planes"),
        pytest.param(tiff(GREY, photometric="cfa"), ["CFA"], id="sensor"),
        pytest.param(tiff(np.stack([GREY] * 3, -1), photometric="cielab"), ["colour"], id="Lab"),
        pytest.param(tiff(GREY + 1j), ["complex128"], id="complex"),
        pytest.param(tiff(GREY16, imagej=True, metadata={"cf": 2, "c0": 1.0, "c1": 1.0}), ["ImageJ", "2"], id="log"),
    ],
)
def test_tiff_that_is_no_grey_picture_is_refused(
    tmp_path: Path, write: Callable[[Path], object], facts: list[str]
) -> None:
    write(tmp_path / "a.tif")
    with refused(DatasetError, f"{tmp_path}/a.tif: ", *facts):
        images.read(tmp_path / "a.tif", 2)


@pytest.mark.parametrize("compression", [None, "lzw"])
@pytest.mark.parametrize("tag", ["StripOffsets", "StripByteCounts"])
def test_missing_strips_are_not_read_as_zeros(tmp_path: Path, tag: str, compression: str | None) -> None:
    tifffile.imwrite(tmp_path / "a.tif", GREY, rowsperstrip=2, compression=compression)
    with tifffile.TiffFile(tmp_path / "a.tif", mode="r+b") as file:
        known = file.pages.first.tags[tag]
        known.overwrite([*known.value[:2], 0, *known.value[3:]])
    with refused(DatasetError, f"{tmp_path}/a.tif: ", "lacks", "as 0"):
        images.read(tmp_path / "a.tif", 2)


def test_pixels_without_a_value_are_no_intensities(tmp_path: Path) -> None:
    """GDAL marks them by a value."""
    tiff(GREY, extratags=[(42113, "s", 0, str(GREY[0, 0]), True)])(tmp_path / "a.tif")
    with refused(DatasetError, f"{tmp_path}/a.tif: ", "GDAL_NODATA", str(GREY[0, 0])):
        images.read(tmp_path / "a.tif", 2)
    tiff(GREY, extratags=[(42113, "s", 0, "-9999", True)])(tmp_path / "a.tif")
    np.testing.assert_array_equal(images.read(tmp_path / "a.tif", 2)[0], GREY)


def test_a_page_that_is_to_be_turned_is_refused_wherever_it_is(tmp_path: Path) -> None:
    plain: dict[str, Any] = {"photometric": "minisblack", "metadata": None}
    pages((GREY, plain), (GREY, {**plain, "extratags": [(274, "H", 1, 3, True)]}))(tmp_path / "a.tif")
    with refused(DatasetError, f"{tmp_path}/a.tif: ", "Orientation", "3"):
        images.read(tmp_path / "a.tif", 3)


def test_a_compression_that_nobody_reads_is_named(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", GREY)
    with tifffile.TiffFile(tmp_path / "a.tif", mode="r+b") as file:
        file.pages.first.tags["Compression"].overwrite(34661)
    with refused(DatasetError, f"{tmp_path}/a.tif: ", "JBIG", "Deflate"):
        images.read(tmp_path / "a.tif", 2)


def test_which_number_is_0_is_not_guessed_of_a_map(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", GREY, photometric="miniswhite")
    with refused(DatasetError, f"{tmp_path}/a.tif: ", "MINISWHITE", "MINISBLACK"):
        images.read(tmp_path / "a.tif", 2, palette=True)


def test_a_part_of_an_ome_image_is_refused_instead_of_filled(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.ome.tif", np.stack([GREY] * 3), metadata={"axes": "ZYX"})
    with tifffile.TiffFile(tmp_path / "a.ome.tif") as file:
        told = file.ome_metadata
    assert told is not None
    lacking = told.replace('SizeZ="3"', 'SizeZ="5"')
    assert lacking != told
    pages(*[(GREY, {"description": text, "metadata": None}) for text in (lacking.encode(), None)])(
        tmp_path / "b.ome.tif"
    )
    with refused(DatasetError, f"{tmp_path}/b.ome.tif: ", "(5, 8, 12)", "one file"):
        images.read(tmp_path / "b.ome.tif", 3)


def png(rows: list[bytes], columns: int, bits: int, kind: int, *more: tuple[bytes, bytes]) -> bytes:
    """Compose a PNG from its packed rows, independently of the reader, with more chunks before the pixels."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", columns, len(rows), bits, kind, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows))
    chunks = [(b"IHDR", header), *more, (b"IDAT", pixels), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*one) for one in chunks)


PALETTE = (b"PLTE", bytes(range(48)))


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        pytest.param(png([b"\xa0", b"\x30"], 4, 1, 0), [[1, 0, 1, 0], [0, 0, 1, 1]], id="1 bit"),
        pytest.param(png([b"\x1b", b"\xe4"], 4, 2, 0), [[0, 1, 2, 3], [3, 2, 1, 0]], id="2 bits"),
        pytest.param(png([b"\x01\x2f"], 4, 4, 0), [[0, 1, 2, 15]], id="4 bits"),
        pytest.param(png([b"\x05\xff\x06\xff"], 2, 8, 4), [[5, 6]], id="opaque alpha"),
        pytest.param(
            png([b"\x12\x34\xff\xff\x56\x78\xff\xff"], 2, 16, 4), [[0x1234, 0x5678]], id="opaque alpha, 16 bits"
        ),
        pytest.param(
            png([b"\x05\x06"], 2, 8, 0, (b"tRNS", b"\0\x07")), [[5, 6]], id="transparent value that is unused"
        ),
        pytest.param(png([b"\x05\x06"], 2, 8, 0, (b"gAMA", struct.pack(">I", 45455))), [[5, 6]], id="gamma"),
    ],
)
def test_png_keeps_its_samples(tmp_path: Path, content: bytes, wanted: list[list[int]]) -> None:
    (tmp_path / "a.png").write_bytes(content)
    for palette in (False, True):
        assert images.read(tmp_path / "a.png", 2, palette=palette)[0].astype(int).tolist() == wanted


def test_a_palette_with_transparency_holds_numbers(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png([b"\x01\x23"], 4, 4, 3, PALETTE, (b"tRNS", b"\0")))
    assert images.read(tmp_path / "a.png", 2, palette=True)[0].tolist() == [[0, 1, 2, 3]]


@pytest.mark.parametrize(
    ("content", "facts"),
    [
        pytest.param(png([b"\x05\xff\x06\xfe"], 2, 8, 4), ["1", "2", "transparent"], id="alpha"),
        pytest.param(
            png([b"\x12\x34\xff\xff\x56\x78\xff\xfe"], 2, 16, 4), ["1", "2", "transparent"], id="alpha, 16 bits"
        ),
        pytest.param(png([b"\x05\x06"], 2, 8, 0, (b"tRNS", b"\0\x05")), ["1", "2", "transparent"], id="value"),
        pytest.param(png([b"\xa0"], 4, 1, 0, (b"tRNS", b"\0\0")), ["2", "4", "transparent"], id="value, 1 bit"),
        pytest.param(png([b"\x01\x23"], 4, 4, 0, (b"tRNS", b"\0\x02")), ["1", "4", "transparent"], id="value, 4 bits"),
        pytest.param(png([b"\x01\x23"], 4, 4, 3, PALETTE), ["colour"], id="palette"),
        pytest.param(png([bytes(12)], 2, 16, 2), ["colour"], id="RGB of 16 bits"),
    ],
)
def test_png_that_is_no_grey_picture_is_refused(tmp_path: Path, content: bytes, facts: list[str]) -> None:
    (tmp_path / "a.png").write_bytes(content)
    with refused(DatasetError, f"{tmp_path}/a.png: ", *facts):
        images.read(tmp_path / "a.png", 2)


def test_a_png_that_is_to_be_turned_is_refused(tmp_path: Path) -> None:
    tags = Image.Exif()
    tags[274] = 8
    Image.fromarray(GREY).save(tmp_path / "a.png", exif=tags)
    with refused(DatasetError, f"{tmp_path}/a.png: ", "Orientation", "8"):
        images.read(tmp_path / "a.png", 2)


VOLUME = np.arange(60, dtype=np.int16).reshape(3, 4, 5)
RGB = np.zeros((3, 4, 5), [(channel, "u1") for channel in "RGB"])


def nifti(path: Path, values: np.ndarray, affine: np.ndarray | None = None, intent: int = 0) -> None:
    image = nib.Nifti1Image(values, np.eye(4) if affine is None else affine)
    image.header["intent_code"] = intent
    nib.save(image, path)


@pytest.mark.parametrize(
    ("shape", "dims"), [((3, 4, 5, 1), 3), ((3, 4, 5, 1, 1), 3), ((12, 5, 1, 1), 2), ((3, 1, 20, 1), 2)]
)
def test_axes_of_one_time_and_one_channel_are_none(tmp_path: Path, shape: tuple[int, ...], dims: int) -> None:
    nifti(tmp_path / "a.nii", VOLUME.reshape(shape))
    found, grid = images.read(tmp_path / "a.nii", dims)
    np.testing.assert_array_equal(found, VOLUME.reshape([n for n in shape if n > 1]))
    assert grid.placement.shape == found.shape


def test_a_compressed_volume_that_was_damaged_is_refused(tmp_path: Path) -> None:
    """Decompression of damaged bytes often succeeds: only the checksum at the end tells."""
    nifti(tmp_path / "a.nii.gz", np.random.default_rng(0).integers(0, 999, (20, 20, 20), dtype=np.int16))
    content = bytearray((tmp_path / "a.nii.gz").read_bytes())
    content[-8] ^= 1
    (tmp_path / "a.nii.gz").write_bytes(content)
    with refused(DatasetError, f"{tmp_path}/a.nii.gz: ", "CRC", "write it again"):
        images.read(tmp_path / "a.nii.gz", 3)


@pytest.mark.parametrize("program", ["NREG_TRANS", "Mapping"])
def test_transformations_of_other_programs_are_not_taken_for_those_of_itk(tmp_path: Path, program: str) -> None:
    """NiftyReg and SPM write the same kind of file, with x to the right, or places instead of displacements."""
    nifti(tmp_path / "a.nii", VOLUME)
    image = nib.Nifti1Image(np.ones((3, 4, 5, 1, 3), np.float32), np.eye(4))
    image.header.set_intent(1007, name=program)
    nib.save(image, tmp_path / "field.nii")
    with refused(DatasetError, f"{tmp_path}/field.nii: ", program, "ITK"):
        images.read_field(tmp_path / "field.nii", images.read_grid(tmp_path / "a.nii", 3))


@pytest.mark.parametrize(
    ("values", "dims", "facts"),
    [
        (np.stack([VOLUME] * 7, -1), 3, ["(3, 4, 5, 7)", "7 volumes", "'spatial_dims: 3'"]),
        (VOLUME, 2, ["(3, 4, 5)", "5 slices", "'spatial_dims: 2'"]),
        (RGB, 3, ["colour"]),
        (VOLUME + 1j, 3, ["complex128"]),
    ],
)
def test_volumes_of_several_values_a_voxel_are_refused(
    tmp_path: Path, values: np.ndarray, dims: int, facts: list[str]
) -> None:
    nifti(tmp_path / "a.nii", values)
    with refused(DatasetError, f"{tmp_path}/a.nii: ", *facts):
        images.read(tmp_path / "a.nii", dims)


@pytest.mark.parametrize("suffix", ["nii", "nii.gz"])
def test_values_are_scaled_by_slope_and_intercept(tmp_path: Path, suffix: str) -> None:
    image = nib.Nifti1Image(VOLUME, np.eye(4))
    image.header.set_slope_inter(2.0, -1000.0)
    nib.save(image, tmp_path / f"a.{suffix}")
    found = images.read(tmp_path / f"a.{suffix}", 3)[0]
    np.testing.assert_allclose(found, nib.load(tmp_path / f"a.{suffix}").get_fdata())
    assert found.max() == pytest.approx(2 * VOLUME.max() - 1000, abs=2)
