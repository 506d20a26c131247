"""Pictures of every kind, and every way in which a picture file can be broken."""

from __future__ import annotations

import contextlib
import hashlib
import io
import struct
import threading
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from faultline.data.images import (
    apply_orientation,
    decode_image,
    inspect_image,
    probe_size,
    read_image,
    sha256_file,
)
from faultline.errors import ImageError

RNG = np.random.default_rng(7)
COLOUR = RNG.integers(0, 256, (20, 30, 3), dtype=np.uint8)
SMOOTH = np.dstack([np.tile(np.linspace(40, 200, 48, dtype=np.uint8), (32, 1)) for _ in range(3)])


def encode(image: Image.Image, form: str, **settings: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, form, **settings)
    return stream.getvalue()


def oriented(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def png_header(width: int, height: int) -> bytes:
    """A PNG of which only the signature and the IHDR chunk exist."""
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))


@pytest.mark.parametrize("form", ["PNG", "BMP", "TIFF", "PPM"])
def test_lossless_rgb_comes_back_exactly(form: str) -> None:
    assert np.array_equal(decode_image(encode(Image.fromarray(COLOUR), form)), COLOUR)


def test_webp_lossless_comes_back_exactly() -> None:
    data = encode(Image.fromarray(COLOUR), "WEBP", lossless=True)
    assert np.array_equal(decode_image(data), COLOUR)


@pytest.mark.parametrize("progressive", [False, True])
def test_jpeg_agrees_with_pillow(progressive: bool) -> None:
    data = encode(Image.fromarray(SMOOTH), "JPEG", quality=95, progressive=progressive)
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)
    assert np.abs(decode_image(data).astype(int) - expected).max() <= 2


@pytest.mark.parametrize("form", ["PNG", "JPEG", "TIFF"])
def test_grey_is_repeated_over_three_channels(form: str) -> None:
    pixels = decode_image(encode(Image.fromarray(SMOOTH[..., 0]), form))
    assert pixels.shape == (32, 48, 3)
    assert np.array_equal(pixels[..., 0], pixels[..., 2])
    assert np.abs(pixels[..., 0].astype(int) - SMOOTH[..., 0]).max() <= 2


def test_alpha_is_dropped_not_blended() -> None:
    alpha = RNG.integers(0, 256, (20, 30, 1), dtype=np.uint8)
    data = encode(Image.fromarray(np.dstack([COLOUR, alpha])), "PNG")
    assert np.array_equal(decode_image(data), COLOUR)
    grey = encode(Image.fromarray(np.dstack([COLOUR[..., 0], alpha[..., 0]])), "PNG")
    assert np.array_equal(decode_image(grey)[..., 1], COLOUR[..., 0])


def test_palette_is_expanded_with_and_without_transparency() -> None:
    image = Image.fromarray(COLOUR).quantize(16)
    expected = np.asarray(image.convert("RGB"))
    assert np.array_equal(decode_image(encode(image, "PNG")), expected)
    transparent = encode(image, "PNG", transparency=b"\x00\x80\xff")
    assert np.array_equal(decode_image(transparent), expected)


def test_one_bit_picture() -> None:
    bits = COLOUR[..., 0] > 128
    data = encode(Image.fromarray(bits), "PNG")
    assert np.array_equal(decode_image(data)[..., 0], bits * np.uint8(255))


def test_cmyk_jpeg_keeps_its_colours() -> None:
    red = np.zeros((16, 16, 3), np.uint8) + np.array([220, 30, 30], np.uint8)
    data = encode(Image.fromarray(red).convert("CMYK"), "JPEG", quality=95)
    assert np.abs(decode_image(data).astype(int) - red).max() <= 12


@pytest.mark.parametrize("form", ["PNG", "TIFF", "PPM"])
def test_16_bit_grey_keeps_its_high_byte(form: str) -> None:
    values = RNG.integers(0, 65536, (20, 30)).astype(np.uint16)
    values[0, :2] = 0, 65535
    data = encode(Image.fromarray(values), form)
    assert np.array_equal(decode_image(data)[..., 0], (values >> 8).astype(np.uint8))


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_16_bit_colour_keeps_its_high_byte(suffix: str) -> None:
    import cv2

    values = RNG.integers(0, 65536, (20, 30, 3)).astype(np.uint16)
    encoded = cv2.imencode(suffix, values[..., ::-1])[1].tobytes()
    assert np.array_equal(decode_image(encoded), (values >> 8).astype(np.uint8))


@pytest.mark.parametrize("mode", ["F", "I"])
def test_32_bit_tiff_is_refused(mode: str) -> None:
    data = encode(Image.fromarray(SMOOTH[..., 0]).convert(mode), "TIFF")
    with pytest.raises(ImageError, match="no known value range"):
        decode_image(data)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_agrees_with_pillow(form: str, orientation: int, tmp_path: Path) -> None:
    from PIL import ImageOps

    blocks = np.kron(RNG.integers(0, 256, (2, 3), dtype=np.uint8), np.ones((16, 16), np.uint8))
    settings = {"lossless": True} if form == "WEBP" else {}
    image = Image.fromarray(blocks).convert("RGB")
    path = tmp_path / f"turned.{form.lower()}"
    image.save(path, form, exif=oriented(orientation), **settings)
    with Image.open(path) as stored:
        if form == "TIFF":  # Pillow turns TIFF while it loads
            stored.load()
        expected = np.asarray(ImageOps.exif_transpose(stored).convert("RGB")).astype(int)
    pixels = read_image(path)
    assert pixels.shape == expected.shape
    assert np.abs(pixels.astype(int) - expected).max() <= 3
    assert probe_size(path) == (pixels.shape[1], pixels.shape[0])
    facts = inspect_image(path)
    assert (facts.width, facts.height) == probe_size(path)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_of_an_array_agrees_with_pillow(orientation: int) -> None:
    from PIL import ImageOps

    image = Image.fromarray(COLOUR)
    image.getexif()[0x0112] = orientation
    expected = np.asarray(ImageOps.exif_transpose(image))
    assert np.array_equal(apply_orientation(COLOUR, orientation), expected)


def test_broken_exif_means_upright() -> None:
    data = encode(Image.fromarray(SMOOTH), "JPEG", exif=b"Exif\x00\x00II*\x00\xff\xff\xff\xff")
    assert decode_image(data).shape == SMOOTH.shape


def test_facts_hold_the_hash_of_the_bytes(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(COLOUR).save(path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    facts = inspect_image(path)
    assert (facts.width, facts.height, facts.orientation, facts.sha256) == (30, 20, 1, digest)
    assert sha256_file(path) == digest


def test_absent_file(tmp_path: Path) -> None:
    for reader in (read_image, probe_size, inspect_image, sha256_file):
        with pytest.raises(ImageError, match=r"nowhere\.jpg: cannot be read: No such file"):
            reader(tmp_path / "nowhere.jpg")


def test_zero_bytes(tmp_path: Path) -> None:
    path = tmp_path / "empty.jpg"
    path.touch()
    for reader in (read_image, probe_size, inspect_image):
        with pytest.raises(ImageError, match=r"empty\.jpg: the file is empty \(0 bytes\)"):
            reader(path)


def test_text_is_not_a_picture(tmp_path: Path) -> None:
    path = tmp_path / "notes.png"
    path.write_text("hello, this is text")
    for reader in (read_image, probe_size, inspect_image):
        with pytest.raises(ImageError, match=r"not a picture .*use one of .*png"):
            reader(path)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF", "BMP", "WEBP"])
@pytest.mark.parametrize("share", [0.5, 0.9, 0.99])
def test_truncated_is_an_error_not_grey_filling(form: str, share: float) -> None:
    image = Image.fromarray(RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8))
    data = encode(image, form)
    with pytest.raises(ImageError) as caught:
        decode_image(data[: int(len(data) * share)], where="photo")
    assert str(caught.value).startswith("photo: ")


@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_truncation_is_named_and_seen_without_decoding(form: str, tmp_path: Path) -> None:
    data = encode(Image.fromarray(COLOUR), form)
    path = tmp_path / "cut.img"
    path.write_bytes(data[: len(data) * 2 // 3])
    for reader in (read_image, inspect_image):
        with pytest.raises(ImageError, match=r"truncated .*copy it again"):
            reader(path)


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("missing", [2, 40, 400])
def test_truncated_jpeg_whose_thumbnail_is_whole(
    progressive: bool, missing: int, tmp_path: Path
) -> None:
    thumbnail = encode(Image.fromarray(SMOOTH), "JPEG")
    settings = {"exif": b"Exif\x00\x00" + thumbnail, "progressive": progressive}
    data = encode(Image.fromarray(COLOUR), "JPEG", quality=95, **settings)
    path = tmp_path / "cut.jpg"
    path.write_bytes(data)
    assert inspect_image(path).width == 30
    path.write_bytes(data[:-missing])
    for reader in (read_image, inspect_image):
        with pytest.raises(
            ImageError, match=r"cut\.jpg: the file is truncated \(JPEG of .* bytes w"
        ):
            reader(path)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF", "BMP", "PPM", "WEBP", "GIF", "MPO"])
def test_truncation_is_seen_without_reading_the_picture(form: str, tmp_path: Path) -> None:
    image = Image.fromarray(RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8))
    path = tmp_path / "cut.img"
    data = encode(image, form)
    path.write_bytes(data)
    assert inspect_image(path).height == 64
    for share in (0.5, 0.9, 0.99):
        path.write_bytes(data[: int(len(data) * share)])
        with pytest.raises(ImageError, match=r"cut\.img: .* -> copy"):
            inspect_image(path)


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_adobe_deflate"])
def test_truncated_tiff_with_its_directory_in_front(compression: str, tmp_path: Path) -> None:
    data = encode(Image.fromarray(COLOUR), "TIFF", compression=compression)
    (tmp_path / "a.tif").write_bytes(data[:-60])
    with pytest.raises(ImageError, match=r"a\.tif: the file is truncated"):
        inspect_image(tmp_path / "a.tif")


def test_restart_markers_and_padding_are_no_end(tmp_path: Path) -> None:
    import cv2

    coded = cv2.imencode(".jpg", COLOUR, [cv2.IMWRITE_JPEG_RST_INTERVAL, 1])[1].tobytes()
    padded = coded[:2] + b"\xff\xff" + coded[2:]
    for number, data in enumerate((coded, padded)):
        path = tmp_path / f"{number}.jpg"
        path.write_bytes(data)
        assert inspect_image(path).width == 30
        path.write_bytes(data[:-4])
        with pytest.raises(ImageError, match="truncated"):
            inspect_image(path)


def test_zero_padding_behind_a_jpeg_is_harmless() -> None:
    data = encode(Image.fromarray(SMOOTH), "JPEG")
    assert np.array_equal(decode_image(data + b"\0" * 64).shape, decode_image(data).shape)


def test_corrupt_png_is_an_error() -> None:
    data = bytearray(encode(Image.fromarray(COLOUR), "PNG"))
    data[len(data) // 2] ^= 0xFF
    with pytest.raises(ImageError, match="cannot be decoded"):
        decode_image(bytes(data))


def test_huge_header_with_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(png_header(30_000, 30_000))
    for reader in (read_image, probe_size, inspect_image):
        with pytest.raises(ImageError, match=r"30000x30000 = 900 megapixels.*limit of 200"):
            reader(path)


def test_header_below_the_limit_with_nothing_behind_allocates_nothing() -> None:
    with pytest.raises(ImageError, match="truncated"):
        decode_image(png_header(14_000, 14_000))


def test_limit_is_a_setting() -> None:
    data = encode(Image.fromarray(COLOUR), "PNG")
    with pytest.raises(ImageError, match="raise max_pixels"):
        decode_image(data, max_pixels=599)
    assert decode_image(data, max_pixels=600).shape == COLOUR.shape


def test_pillows_own_limit_is_left_alone() -> None:
    before = Image.MAX_IMAGE_PIXELS
    data = encode(Image.fromarray(COLOUR), "PNG")
    threads = [threading.Thread(target=decode_image, args=(data,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert before == Image.MAX_IMAGE_PIXELS


@settings(deadline=None, max_examples=50)
@given(
    st.sampled_from(["JPEG", "PNG", "TIFF", "BMP", "WEBP", "PPM"]),
    st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=8),
)
def test_damaged_bytes_give_a_picture_or_an_image_error(
    form: str, damage: list[tuple[int, int]]
) -> None:
    data = bytearray(encode(Image.fromarray(COLOUR), form))
    for position, value in damage:
        data[position % len(data)] = value
    with contextlib.suppress(ImageError):
        assert decode_image(bytes(data), max_pixels=1_000_000).dtype == np.uint8


@settings(deadline=None, max_examples=50)
@given(st.binary(max_size=200))
def test_random_bytes_give_an_image_error(data: bytes) -> None:
    with pytest.raises(ImageError):
        decode_image(data)
