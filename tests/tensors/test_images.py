# Licensed under the Apache License, Version 2.0; see LICENSE.
import io
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from expansion.errors import BadRows
from expansion.tensors import images

ORIENTATION = 0x0112  # EXIF


def pixels(height, width, channels=3, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), np.uint8)


def smooth(height, width):
    """An image without noise, which JPEG and resizing change little."""
    down, across = np.mgrid[0:height, 0:width]
    return np.stack([down * 255 // height, across * 255 // width, np.full((height, width), 90)], 2).astype(np.uint8)


def encoded(image, form="PNG", **options):
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image[:, :, 0] if image.shape[2:] == (1,) else image)
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def decode(file, mode="RGB"):
    """Returns the pixels [height, width, channels] of a file, or [height, width] of mode L."""
    (decoded,) = images.decode([file], mode, np.asarray)
    return decoded


@pytest.mark.parametrize("options", [{"form": "PNG"}, {"form": "WEBP", "lossless": True}])
def test_pixels_of_lossless_files_are_those_that_were_saved(options):
    image = pixels(3, 5)
    decoded = decode(encoded(image, **options))
    assert decoded.dtype == np.uint8
    np.testing.assert_array_equal(decoded, image)


@pytest.mark.parametrize("options", [{"form": "JPEG"}, {"form": "JPEG", "progressive": True}, {"form": "WEBP"}])
def test_pixels_of_lossy_files_are_those_that_pillow_decodes(options):
    file = encoded(smooth(40, 60), **options)
    np.testing.assert_array_equal(decode(file), np.asarray(Image.open(io.BytesIO(file)).convert("RGB")))
    assert np.abs(decode(file).astype(int) - smooth(40, 60)).max() < 16


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP"])
def test_images_are_turned_as_their_exif_orientation_says(orientation, form):
    upright = smooth(40, 80)
    turned = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: upright.transpose(1, 0, 2)[::-1],
        7: upright[::-1, ::-1].transpose(1, 0, 2),
        8: upright.transpose(1, 0, 2)[:, ::-1],
    }[orientation]
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    decoded = decode(encoded(np.ascontiguousarray(turned), form, exif=exif))
    assert decoded.shape == upright.shape
    assert np.abs(decoded.astype(int) - upright).max() < 24


def test_transparency_is_dropped_as_pillow_does():
    image = pixels(3, 5, 4)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(decode(encoded(image)), image[:, :, :3])
        palette = Image.fromarray(image[:, :, :3]).quantize(8)
        opaque = np.asarray(palette.convert("RGB"))
        np.testing.assert_array_equal(decode(encoded(palette, transparency=bytes(range(8)))), opaque)
        np.testing.assert_array_equal(decode(encoded(palette)), opaque)
        with_alpha = Image.fromarray(image[:, :, :2], "LA")
        np.testing.assert_array_equal(decode(encoded(with_alpha), "L"), image[:, :, 0])


def test_one_channel_becomes_three_and_one_bit_black_and_white():
    image = pixels(3, 5, 1)
    np.testing.assert_array_equal(decode(encoded(image)), np.repeat(image, 3, axis=2))
    assert decode(encoded(image, "JPEG"), "L").shape == (3, 5)
    bits = image[:, :, 0] > 127
    np.testing.assert_array_equal(decode(encoded(Image.fromarray(bits)), "L"), bits * 255)


def test_of_16_bits_the_high_8_are_kept():
    image = np.array([[0, 255, 256, 0x1234, 0xFFFF]], np.uint16)
    np.testing.assert_array_equal(decode(encoded(image), "L"), [[0, 0, 1, 0x12, 0xFF]])
    np.testing.assert_array_equal(decode(encoded(image))[:, :, 2], [[0, 0, 1, 0x12, 0xFF]])
    np.testing.assert_array_equal(decode(png_of_16_bits(np.stack([image] * 3, axis=2)))[0, 3], [0x12] * 3)


def png_of_16_bits(image):
    """Returns a PNG of RGB values of 16 bits, which Pillow reads but does not write."""
    height, width, _ = image.shape
    lines = b"".join(b"\0" + line.astype(">u2").tobytes() for line in image)
    header = np.array([width, height], ">u4").tobytes() + bytes([16, 2, 0, 0, 0])
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(lines)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big") for kind, data in chunks
    )


def test_cmyk_becomes_rgb():
    file = encoded(Image.fromarray(smooth(40, 80)).convert("CMYK"), "JPEG", quality=95)
    decoded = decode(file)
    np.testing.assert_array_equal(decoded, np.asarray(Image.open(io.BytesIO(file)).convert("RGB")))
    assert np.abs(decoded.astype(int) - smooth(40, 80)).max() < 40
    assert decode(file, "L").shape == (40, 80)


@pytest.mark.parametrize("form", ["PNG", "WEBP"])
def test_of_an_animation_the_first_frame_is_taken(form):
    frames = [Image.fromarray(pixels(4, 4, seed=seed)) for seed in range(3)]
    file = encoded(frames[0], form, save_all=True, append_images=frames[1:], lossless=True)
    assert Image.open(io.BytesIO(file)).n_frames == 3
    np.testing.assert_array_equal(decode(file), np.asarray(frames[0]))


@pytest.mark.parametrize(
    "options",
    [{"form": "JPEG"}, {"form": "JPEG", "progressive": True}, {"form": "PNG"}, {"form": "WEBP"}],
    ids=["jpeg", "progressive", "png", "webp"],
)
def test_a_file_that_is_cut_off_is_an_error_and_never_half_an_image(options):
    file = encoded(pixels(20, 30), **options)
    whole, _ = outcome(file)
    for size in range(0, len(file), 3):
        image, message = outcome(file[:size])
        if image is None:
            assert f"the image of {size} bytes" in message
        else:  # nothing that makes a pixel was cut off
            assert len(file) - size <= 20
            np.testing.assert_array_equal(image, whole)


def test_damaged_files_are_bad_rows_whatever_pillow_raises():
    random, file = np.random.default_rng(0), encoded(pixels(8, 8))
    messages = []
    for _ in range(300):
        damaged = bytearray(file)
        damaged[random.integers(0, len(file))] ^= 1 << random.integers(0, 8)
        messages.append(outcome(bytes(damaged))[1])
    assert sum(f"the image of {len(file)} bytes" in message for message in messages) > 250


def outcome(file):
    """Returns the image, or None, and why it is bad."""
    try:
        return decode(file), ""
    except BadRows as error:
        return None, error.messages[0]


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize(("side", "reason"), [(12_000, "it has 12000 × 12000 pixels"), (60_000, "3600000000 pixels")])
def test_decompression_bombs_are_bad_rows_by_their_header_alone(side, reason):
    bomb = bytearray(encoded(Image.new("L", (1, 1))))
    bomb[16:24] = np.array([side, side], ">u4").tobytes()
    bomb[29:33] = zlib.crc32(bomb[12:29]).to_bytes(4, "big")
    _, message = outcome(bytes(bomb))
    assert reason in message
