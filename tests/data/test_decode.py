"""Images of every format and mode are decoded to the expected RGB values."""

import base64
import hashlib
import re
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fsbench._util.errors import FsbenchError
from fsbench.data import decode
from fsbench.data.bit_depth import BitDepth
from fsbench.data.decode import (
    decoder,
    inspect_files,
    native_pixels,
    pixel_digests,
    squares,
    squares_or_errors,
)
from fsbench.data.folders import images_below
from fsbench.data.listing import Encoded

SIZE = 4


def pixels_of(path: Path, size: int = SIZE) -> np.ndarray:
    (part,) = squares([path], size)
    assert part.dtype == np.uint8
    return part[0]


def plain(mode: str, colour) -> Image.Image:
    return Image.new(mode, (SIZE, SIZE), colour)


def palette(**save) -> Image.Image:
    image = plain("P", 1)
    image.putpalette([9, 9, 9, 200, 100, 50])
    return image


def ramp(bits: int, dtype: str = "<u2") -> np.ndarray:
    """Grey values (16, 16) from 0 to the largest value of `bits` bits."""
    return np.linspace(0, (1 << bits) - 1, 256).astype(dtype).reshape(16, 16)


GREY_RAMP = np.repeat(np.arange(256, dtype=np.uint8).reshape(16, 16)[..., None], 3, axis=2)


def tiff(values: np.ndarray, bits: int, *, sample_format: int = 1, photometric: int = 1) -> bytes:
    """A TIFF with one uncompressed strip of little-endian values (h, w) or (h, w, 3)."""
    height, width = values.shape[:2]
    n_samples = values.size // (height * width)
    data = values.tobytes()
    if bits == 12:
        high_first = np.unpackbits(values.astype(">u2").view(np.uint8).reshape(-1, 2), axis=1)
        data = np.packbits(high_first[:, 4:]).tobytes()
    start = 8 + 2 + 10 * 12 + 4  # offset of the bits per sample, after the header and the list of tags
    tags = {
        256: (3, 1, width),
        257: (3, 1, height),
        258: (3, n_samples, bits if n_samples == 1 else start),
        259: (3, 1, 1),
        262: (3, 1, photometric),
        273: (4, 1, start + 6),
        277: (3, 1, n_samples),
        278: (3, 1, height),
        279: (4, 1, len(data)),
        339: (3, 1, sample_format),
    }
    listed = b"".join(struct.pack("<HHII", tag, *entry) for tag, entry in tags.items())
    head = struct.pack("<2sHIH", b"II", 42, 8, len(tags)) + listed + bytes(4)
    return head + struct.pack("<3H", bits, bits, bits) + data


def png(*chunks: tuple[bytes, bytes]) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


def png16(values: np.ndarray, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG of 16 bits per value, grey (h, w), grey with alpha (h, w, 2) or RGB (h, w, 3)."""
    height, width = values.shape[:2]
    kind = 0 if values.ndim == 2 else {2: 4, 3: 2}[values.shape[2]]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    head = (b"IHDR", struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0))
    return png(head, *chunks, (b"IDAT", zlib.compress(rows)), (b"IEND", b""))


GREY16 = Image.fromarray(np.full((SIZE, SIZE), 0x80FF, dtype=np.uint16))
KINDS = [
    ("rgb.png", plain("RGB", (1, 2, 3)), {}, (1, 2, 3)),
    ("grey.png", plain("L", 77), {}, (77, 77, 77)),
    ("bit.png", plain("1", 1), {}, (255, 255, 255)),
    ("palette.png", palette(), {}, (200, 100, 50)),
    ("clear_palette.png", palette(), {"transparency": 1}, (255, 255, 255)),
    ("rgba.png", plain("RGBA", (100, 0, 200, 51)), {}, (224, 204, 244)),  # 20% opaque on white
    ("grey_alpha.png", plain("LA", (0, 0)), {}, (255, 255, 255)),
    ("grey16.png", GREY16, {}, (128, 128, 128)),  # the high byte
    ("grey16.tif", GREY16, {}, (128, 128, 128)),
    ("grey16.pgm", GREY16, {}, (128, 128, 128)),
    ("cmyk.tif", plain("CMYK", (255, 0, 0, 0)), {}, (0, 255, 255)),
    ("rgb.webp", plain("RGB", (10, 20, 30)), {"lossless": True}, (10, 20, 30)),
    ("rgb.bmp", plain("RGB", (10, 20, 30)), {}, (10, 20, 30)),
]


@pytest.mark.parametrize(("name", "image", "options", "expected"), KINDS, ids=[kind[0] for kind in KINDS])
def test_every_kind_of_image_becomes_rgb(tmp_path: Path, name, image, options, expected):
    image.save(tmp_path / name, **options)
    np.testing.assert_array_equal(pixels_of(tmp_path / name), np.full((SIZE, SIZE, 3), expected))


def test_cmyk_jpeg(tmp_path: Path):
    plain("CMYK", (0, 255, 255, 0)).save(tmp_path / "a.jpg", quality=100)
    np.testing.assert_allclose(pixels_of(tmp_path / "a.jpg"), np.full((SIZE, SIZE, 3), (255, 0, 0)), atol=3)


def test_an_animation_is_its_first_frame(tmp_path: Path):
    first, second = plain("RGB", (255, 0, 0)), plain("RGB", (0, 0, 255))
    first.save(tmp_path / "a.gif", save_all=True, append_images=[second])
    np.testing.assert_array_equal(pixels_of(tmp_path / "a.gif"), np.full((SIZE, SIZE, 3), (255, 0, 0)))


def test_a_rotated_photo_is_turned_upright(tmp_path: Path):
    upright = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    exif = Image.Exif()
    exif[0x0112] = 6  # the viewer turns it by 90 degrees clockwise
    Image.fromarray(np.rot90(upright)).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(pixels_of(tmp_path / "a.png"), upright)


def test_pixels_are_exact_at_their_own_size_and_otherwise_squashed(tmp_path: Path):
    wide = np.random.default_rng(0).integers(256, size=(6, 12, 3), dtype=np.uint8)
    Image.fromarray(wide).save(tmp_path / "wide.png")
    expected = Image.fromarray(wide).resize((5, 5), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(pixels_of(tmp_path / "wide.png", 5), np.asarray(expected))
    square = wide[:, :6]
    (part,) = squares([square], 6)
    np.testing.assert_array_equal(part[0], square)


def test_images_keep_their_order_in_parts_of_limited_size(monkeypatch):
    monkeypatch.setattr(decode, "_AT_ONCE", 7 * 3 * SIZE * SIZE)
    images = [np.full((SIZE, SIZE, 3), value, dtype=np.uint8) for value in range(100)]
    parts = list(squares(images, SIZE))
    assert [len(part) for part in parts] == [7] * 14 + [2]
    np.testing.assert_array_equal(np.concatenate(parts), images)
    assert [len(part) for part in squares(images[:3], 100)] == [
        1,
        1,
        1,
    ]  # at least one image, whatever its size


def test_inspection_returns_digest_and_size(tmp_path: Path):
    Image.new("L", (3, 5)).save(tmp_path / "a.png")
    array = np.zeros((2, 9, 3), dtype=np.uint8)
    assert list(inspect_files([tmp_path / "a.png", array])) == [
        (hashlib.sha256((tmp_path / "a.png").read_bytes()).digest(), (3, 5)),
        (hashlib.sha256(bytes(54)).digest(), (9, 2)),
    ]


def test_native_pixels_are_not_resized(tmp_path: Path):
    clear = plain("RGBA", (100, 0, 200, 51)).resize((6, 3))
    exif = Image.Exif()
    exif[0x0112] = 6  # the viewer turns it by 90 degrees clockwise
    clear.save(tmp_path / "a.png", exif=exif)
    pixels = native_pixels(tmp_path / "a.png")
    assert pixels.shape == (6, 3, 3)
    assert pixels.dtype == np.uint8
    assert (pixels == (224, 204, 244)).all()
    (part,) = squares([tmp_path / "a.png"], 5)
    resized = Image.fromarray(pixels).resize((5, 5), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(part[0], np.asarray(resized))
    array = np.zeros((2, 9, 3), dtype=np.uint8)
    assert native_pixels(array) is array


def test_a_digest_covers_decoded_pixels_and_their_size(tmp_path: Path):
    pixels = np.random.default_rng(0).integers(256, size=(5, 3, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    Image.fromarray(pixels).save(tmp_path / "a.bmp")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.rot90(pixels)).save(tmp_path / "turned.png", exif=exif)
    copies = [
        tmp_path / "a.png",
        tmp_path / "a.bmp",
        Encoded("x", (tmp_path / "a.png").read_bytes()),
        tmp_path / "turned.png",
        pixels,
        np.ascontiguousarray(pixels.transpose(1, 0, 2)).transpose(1, 0, 2),  # column-major memory
    ]
    digest = hashlib.sha256(np.array([5, 3], dtype="<i8").tobytes() + pixels.tobytes()).digest()
    assert list(pixel_digests(copies)) == [digest] * 6


def test_digests_of_other_pixels_and_shapes_differ():
    black = np.zeros((4, 6, 3), dtype=np.uint8)
    other = black.copy()
    other[3, 5, 2] = 1
    digests = list(pixel_digests([black, other, black.reshape(6, 4, 3)]))
    assert len(set(digests)) == 3


JPEG = base64.b64decode(  # 28 x 20 pixels of noise, quality 75
    """
    /9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAgGBgcGBQgHBwcJCQgKDBQNDAsLDBkSEw8UHRofHh0aHBwgJC4nICIsIxwcKDcpLDAx
    NDQ0Hyc5PTgyPC4zNDL/2wBDAQkJCQwLDBgNDRgyIRwhMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIy
    MjIyMjIyMjL/wAARCAAUABwDASIAAhEBAxEB/8QAFwAAAwEAAAAAAAAAAAAAAAAAAAMFBP/EACUQAAICAQQCAgIDAAAAAAAAAAEC
    AxEEAAUSIRMxQVEiIzJhcf/EABYBAQEBAAAAAAAAAAAAAAAAAAIDBP/EACgRAAIABAQEBwAAAAAAAAAAAAECABEhMQNBUYESIlLR
    BBNhkbHBwv/aAAwDAQACEQMRAD8Acu6OyTu2Sr4RjB4TwrQfxhwSQpVQqAqVJLEV0SFubFK7Sx8CIoVjlk8ohZ/2dFC0nYcmNQzE
    1x+aAYa0Z64L4zzLkww5QxVXMkWdVJh5KxHRPJySBTGqIXq9B3SCTcnyMhTxqFo2CNNKhZUIKAi3Ugnok0xZgOxotwYaGQ1uPmhn
    fLKtiIKeWSWFxty23uL30hDCTzSuyuI3WSKOOR5LnaqdAbCufViyOhRJDax7zhYU+f5PJjvG6B4zNxkYhvyJJkYHtix66o/d6uNB
    LjZeKY9xCqVWCUx/jxQ+lhLgqaKhjfLsgL/KtSs7ZsXdhj5ku27pNzitBtQjeNFLMwUt8t3dixRXs6ZxmxCKFgvvUaEVIll6zuJs
    46riBVc06SBmanagIvWdgIs7gBjQ40qAXK5w3FAAxCYRgdV6DMR9E/XWnDDjzcnFglebxs0qkGZmJ4kEG2JN25N+7APsXo0aulWV
    TbSMfhObjDVk/wCj2ETIA0a4kiOFEPjKIqKALyFX2BYqr6Puz8nTId8zsLGx4Md0jjEMb1wB7ZA59/XKh/QH+6NGmiKwAYTqfuJu
    SWcHq7x//9k=
    """
)


def test_a_jpeg_is_decoded_like_on_other_machines():
    (digest,) = pixel_digests([Encoded("noise.jpg", JPEG)])
    assert native_pixels(Encoded("noise.jpg", JPEG)).shape == (20, 28, 3)
    assert digest.hex() == "ce75e417d85289878cfa56d9a3c00c213a25fa97d5229e8878fbafdb9e285f52", (
        f"{decoder()} decodes JPEG to other pixels than libjpeg-turbo 3.2.0 does: data sets prepared with it "
        "have other fingerprints"
    )


def test_the_decoder_is_named_with_its_versions():
    assert re.fullmatch(r"Pillow \d+\.\S+, (libjpeg-turbo|libjpeg) \d\S*", decoder())


WARNED = (
    "fsbench: warning: {} images store {} bits per value and do not state how many they use; no value is "
)


DEEP = [  # name, content, and the bits that a warning names, if any
    ("full.png", png16(ramp(16)), None),
    ("full.tif", tiff(ramp(16), 16), None),
    ("big_endian.pgm", b"P5 16 16 65535\n" + ramp(16, ">u2").tobytes(), None),
    ("12.png", png16(ramp(12)), 12),
    ("12_with_sbit.png", png16(ramp(12), (b"sBIT", b"\x0c")), 12),
    ("12_scaled_as_the_standard_says.png", png16(ramp(16) & 0xFFF0, (b"sBIT", b"\x0c")), None),
    ("10.png", png16(ramp(10)), 10),
    ("14.tif", tiff(ramp(14), 16), 14),
    ("8.tif", tiff(ramp(8), 16), 8),
    ("12_stated.tif", tiff(ramp(12), 12), None),
    ("12_stated.pgm", b"P5 16 16 4095\n" + ramp(12, ">u2").tobytes(), None),
    ("int32_8.tif", tiff(ramp(8, "<i4"), 32, sample_format=2), 8),
    ("int32_16.tif", tiff(ramp(16, "<i4"), 32, sample_format=2), 16),
    ("int32_24.tif", tiff(ramp(24, "<i4"), 32, sample_format=2), 24),
    ("int32_31.tif", tiff(ramp(31, "<i4"), 32, sample_format=2), None),
    ("uint32_16.tif", tiff(ramp(16, "<u4"), 32), 16),
]


@pytest.mark.parametrize(("name", "content", "warned"), DEEP, ids=[kind[0] for kind in DEEP])
def test_deep_values_are_scaled_from_the_range_in_use(
    tmp_path: Path, caplog, name: str, content: bytes, warned: int | None
):
    (tmp_path / name).write_bytes(content)
    np.testing.assert_allclose(pixels_of(tmp_path / name, 16), GREY_RAMP, atol=1)
    stored = 32 if "int32" in name else 16
    lines = [record.getMessage() for record in caplog.records]
    if warned is None:
        assert lines == []
    else:
        assert lines == [
            WARNED.format(1, stored) + f"above {(1 << warned) - 1}, so they are read as {warned}-bit images"
        ]


def test_big_endian_and_compressed_tiff_are_scaled_alike(tmp_path: Path):
    Image.fromarray(ramp(12, ">u2")).save(tmp_path / "a.tif")
    Image.fromarray(ramp(12)).save(tmp_path / "b.tif", compression="tiff_lzw")
    Image.fromarray(ramp(12, "<i4")).save(tmp_path / "c.tif", compression="tiff_deflate")
    for name in "abc":
        np.testing.assert_array_equal(native_pixels(tmp_path / f"{name}.tif"), GREY_RAMP)


def test_a_deep_tiff_with_white_as_0_is_not_inverted(tmp_path: Path):
    (tmp_path / "a.tif").write_bytes(tiff(ramp(16), 16, photometric=0))
    np.testing.assert_array_equal(native_pixels(tmp_path / "a.tif"), 255 - GREY_RAMP)


def test_all_images_share_one_bit_depth_so_dark_ones_stay_dark(tmp_path: Path, caplog):
    dark, bright = tmp_path / "dark.png", tmp_path / "bright.png"
    dark.write_bytes(png16(ramp(8)))
    bright.write_bytes(png16(ramp(12)))
    eight = tmp_path / "eight.png"
    Image.fromarray(GREY_RAMP).save(eight)
    paths = [dark, bright, eight]
    expected = [np.rint(GREY_RAMP * (255 / 4095)), GREY_RAMP, GREY_RAMP]
    (part,) = squares(paths, 16)
    np.testing.assert_array_equal(part, expected)
    assert [record.getMessage() for record in caplog.records] == [
        WARNED.format(2, 16) + "above 4095, so they are read as 12-bit images"
    ]
    depth = BitDepth(paths)
    assert next(squares([dark], 16, depth)).max() == 16
    assert max(square.max() for square in next(squares_or_errors([dark], 16, depth))) == 16
    assert next(pixel_digests([dark], depth)) == next(pixel_digests(paths))
    assert len(caplog.records) == 3  # one for each BitDepth
    assert next(squares([dark], 16)).max() == 255  # alone, it determines the bit depth


def test_an_unreadable_image_does_not_affect_the_bit_depth(tmp_path: Path):
    (tmp_path / "a.png").write_bytes(png16(ramp(12)))
    (tmp_path / "b.png").write_bytes(png16(ramp(16))[:100])
    first, second = next(squares_or_errors([tmp_path / "a.png", tmp_path / "b.png"], 16))
    np.testing.assert_array_equal(first, GREY_RAMP)
    assert isinstance(second, FsbenchError)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bit_colours_are_read_only_if_they_use_all_bits(tmp_path: Path, caplog, suffix: str):
    content = {
        bits: png16(colours) if suffix == "png" else tiff(colours, 16, photometric=2)
        for bits in (12, 16)
        for colours in [np.repeat(ramp(bits)[..., None], 3, axis=2)]
    }
    (tmp_path / f"a.{suffix}").write_bytes(content[16])
    np.testing.assert_allclose(native_pixels(tmp_path / f"a.{suffix}"), GREY_RAMP, atol=1)
    (tmp_path / f"b.{suffix}").write_bytes(content[12])
    message = (
        "only the upper 8 of the 16 bits of its colours can be read, and the images use 12; convert them"
    )
    with pytest.raises(FsbenchError, match=message):
        native_pixels(tmp_path / f"b.{suffix}")
    assert not caplog.records
    (part,) = squares([tmp_path / f"a.{suffix}", tmp_path / f"b.{suffix}"], 16)
    assert part[1].max() == 15  # a dark image beside a bright one


def test_transparency_does_not_hide_that_colours_use_few_bits(tmp_path: Path):
    opaque = np.stack([ramp(12), np.full((16, 16), 65535, dtype="<u2")], axis=2)
    (tmp_path / "a.png").write_bytes(png16(opaque))
    with pytest.raises(FsbenchError, match="only the upper 8 of the 16 bits"):
        native_pixels(tmp_path / "a.png")


def vast(side: int) -> bytes:
    """A PNG that claims to be `side` pixels wide and high."""
    head = (b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0))
    return png(head, (b"IDAT", b""), (b"IEND", b""))


def torn(path: Path) -> None:
    Image.effect_noise((64, 64), 50).save(path)
    path.write_bytes(path.read_bytes()[:-500])


def floats(path: Path) -> None:
    Image.new("F", (SIZE, SIZE)).save(path, format="TIFF")


BROKEN = [
    ("empty.png", lambda path: path.write_bytes(b""), "it is not an image of a known format"),
    ("text.jpg", lambda path: path.write_text("no image"), "it is not an image of a known format"),
    ("torn.png", torn, "truncated"),
    ("absent.png", lambda path: None, "no such file or directory"),
    ("folder.png", lambda path: path.mkdir(), "is a directory"),
    ("vast.png", lambda path: path.write_bytes(vast(31623)), "decompression bomb"),  # 10^9 pixels
    ("large.png", lambda path: path.write_bytes(vast(10000)), "decompression bomb"),  # Pillow only warns
    ("floats.tif", floats, "its pixels are floats, not 8 or 16 bits"),
    (
        "negative.tif",
        lambda path: path.write_bytes(tiff(ramp(8, "<i2") - 9, 16, sample_format=2)),
        "its values are negative",
    ),
]


@pytest.mark.filterwarnings("ignore:Image size:PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize(("name", "make", "reason"), BROKEN, ids=[kind[0] for kind in BROKEN])
def test_an_image_that_cannot_be_read_is_named(tmp_path: Path, name: str, make, reason: str):
    make(tmp_path / name)
    with pytest.raises(FsbenchError) as caught:
        list(squares([tmp_path / name], SIZE))
    assert str(caught.value).startswith(f"image {tmp_path / name}: cannot be read (")
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


HEIC = b"\x00\x00\x00\x1cftypheic\x00\x00\x00\x00mif1heic"


@pytest.mark.parametrize("name", ["IMG_1.HEIC", "sent.jpg"])
def test_heic_names_the_package_that_reads_it(tmp_path: Path, monkeypatch, name: str):
    monkeypatch.setattr(
        "fsbench.data._open_image._formats", lambda: ["JPEG", "PNG"]
    )  # as without pillow-heif
    (tmp_path / name).write_bytes(HEIC)
    with pytest.raises(FsbenchError, match=r"cannot be read \(HEIC needs another package: pip install"):
        native_pixels(tmp_path / name)
    with pytest.raises(FsbenchError, match=r"image a: cannot be read \(HEIC needs another package"):
        native_pixels(Encoded("a", HEIC))
    assert name in images_below(tmp_path)


def test_heic_is_read_and_turned_upright_where_pillow_heif_is_installed(tmp_path: Path):
    heif = pytest.importorskip("pillow_heif", reason="pillow-heif is not installed")
    heif.register_heif_opener()
    turned = Image.new("RGB", (64, 32), "red")
    turned.paste("blue", (0, 0, 32, 32))
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    turned.rotate(90, expand=True).save(tmp_path / "photo.jpg", exif=exif)
    with Image.open(tmp_path / "photo.jpg") as photo:
        photo.save(tmp_path / "photo.heic", quality=95)
    pixels = native_pixels(tmp_path / "photo.heic").astype(int)
    assert pixels.shape == (32, 64, 3)
    np.testing.assert_allclose(pixels[16, [8, 56]], [[0, 0, 255], [255, 0, 0]], atol=12)


@pytest.mark.filterwarnings("ignore:Image size:PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("name", ["empty.png", "absent.png", "vast.png", "large.png"])
def test_a_file_that_cannot_be_inspected_is_named(tmp_path: Path, name: str):
    (make, reason) = next((make, reason) for broken, make, reason in BROKEN if broken == name)
    make(tmp_path / name)
    path = re.escape(str(tmp_path / name))
    with pytest.raises(FsbenchError, match=f"image {path}: cannot be read .*{reason}"):
        list(inspect_files([tmp_path / name]))
