# Licensed under the Apache License, Version 2.0; see LICENSE.
import io
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image, ImageOps

from expansion.contract._gen.hook_pb2 import DecodeImage
from expansion.contract.fields import Field
from expansion.errors import BadRows
from expansion.hooks import decode_image
from expansion.tensors.columns import Blobs, Dense, Ragged

# Which files can be decoded, and to which pixels: tests/tensors/test_images.py

BILINEAR = Image.Resampling.BILINEAR


def pixels(height, width):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def encoded(image, form="PNG"):
    file = io.BytesIO()
    Image.fromarray(np.asarray(image)).save(file, form)
    return file.getvalue()


def column(*files):
    return Blobs.of("BYTES", list(files), len(files))


@pytest.fixture
def decode(apply):
    """Decodes one file; returns its tensor."""

    def decode(file, **config):
        after = apply(DecodeImage(column="image", output="pixels", **config), image=column(file))
        return after["pixels"].values[0]

    return decode


def test_channels_may_be_in_another_order_or_brightness_and_come_first(decode):
    image = pixels(3, 5)
    file = encoded(image)
    brightness = np.asarray(Image.fromarray(image).convert("L"))
    np.testing.assert_array_equal(decode(file, channels="BGR"), image[:, :, ::-1])
    np.testing.assert_array_equal(decode(file, channels="L"), brightness[:, :, None])
    np.testing.assert_array_equal(decode(file, layout="CHW"), image.transpose(2, 0, 1))
    np.testing.assert_array_equal(decode(file, channels="BGR", layout="CHW"), image[:, :, ::-1].transpose(2, 0, 1))
    np.testing.assert_array_equal(decode(file, channels="L", layout="CHW"), brightness[None])


def test_floats_are_scaled_and_standardized_by_channel_in_the_order_of_the_channels(decode):
    image, mean, deviation = pixels(3, 5), [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    file = encoded(image)
    decoded = decode(file, datatype="FP32")
    assert decoded.dtype == np.float32
    np.testing.assert_allclose(decoded, image / 255, rtol=1e-6)
    np.testing.assert_allclose(
        decode(file, mean=mean, standard_deviation=deviation, layout="CHW"),
        ((image / 255 - mean) / deviation).transpose(2, 0, 1),
        rtol=1e-5,
        atol=1e-6,
    )
    np.testing.assert_allclose(decode(file, channels="BGR", factor=1, mean=mean), image[:, :, ::-1] - mean, rtol=1e-6)
    np.testing.assert_array_equal(decode(file, factor=0), np.zeros((3, 5, 3)))


def test_images_are_stretched_to_a_size(decode):
    for height, width in ((480, 640), (3, 5)):
        image = pixels(height, width)
        expected = np.asarray(Image.fromarray(image).resize((32, 24), BILINEAR))
        np.testing.assert_array_equal(decode(encoded(image), width=32, height=24), expected)


@pytest.mark.parametrize(("height", "width"), [(480, 641), (601, 333), (256, 256), (100, 150), (57, 900)])
def test_cropping_cuts_out_what_torchvision_does_with_resize_256_and_center_crop_224(decode, height, width):
    image = Image.fromarray(pixels(height, width))
    # torchvision.transforms.Resize(256), CenterCrop(224), as their source computes it
    short, long = sorted((width, height))
    scaled = (256, int(256 * long / short)) if width <= height else (int(256 * long / short), 256)
    left, top = round((scaled[0] - 224) / 2.0), round((scaled[1] - 224) / 2.0)
    expected = np.asarray(image.resize(scaled, BILINEAR).crop((left, top, left + 224, top + 224)))
    cropped = decode(encoded(image), width=224, height=224, resize="crop", crop_fraction=0.875)
    assert cropped.shape == (224, 224, 3)
    assert np.abs(cropped.astype(int) - expected).max() <= 1  # one step of scaling in place of two rounds elsewhere


def test_cropping_covers_the_rectangle_by_default(decode):
    image = pixels(40, 100)
    np.testing.assert_array_equal(decode(encoded(image), width=40, height=40, resize="crop"), image[:, 30:70])
    image = pixels(100, 40)
    np.testing.assert_array_equal(decode(encoded(image), width=40, height=20, resize="crop"), image[40:60])


@pytest.mark.parametrize(("height", "width"), [(480, 640), (640, 480), (31, 90), (20, 20)])
def test_padding_fits_the_image_into_the_rectangle_with_black_around_it(decode, height, width):
    image = Image.fromarray(pixels(height, width))
    expected = np.asarray(ImageOps.pad(image, (64, 48), BILINEAR, color="black"))
    np.testing.assert_array_equal(decode(encoded(image), width=64, height=48, resize="pad"), expected)


@pytest.mark.parametrize("resize", ["stretch", "crop", "pad"])
def test_an_image_of_one_pixel_across_is_brought_to_size_too(decode, resize):
    file = encoded(np.full((60_000, 1, 3), 200, np.uint8))
    decoded = decode(file, width=256, height=256, resize=resize)
    assert decoded.shape == (256, 256, 3)
    assert decoded.max() == 200
    assert decode(encoded(pixels(1, 1)), width=4, height=2, resize=resize).shape == (2, 4, 3)


def test_images_keep_their_own_size_where_none_is_set(apply):
    images = [pixels(2, 3), pixels(4, 1)]
    config = DecodeImage(column="image", layout="CHW", factor=1, mean=[1, 2, 3])
    after = apply(config, image=column(*map(encoded, images)))["image"]
    assert isinstance(after, Ragged)
    assert after.shapes.tolist() == [[3, 2, 3], [3, 4, 1]]
    for row, image in zip(after.rows(), images, strict=True):
        np.testing.assert_array_equal(row, (image - [1.0, 2.0, 3.0]).transpose(2, 0, 1))
    assert isinstance(apply(DecodeImage(column="image"), image=column(*[encoded(images[0])] * 2))["image"], Dense)


def test_no_files_have_no_pixels(apply):
    assert apply(DecodeImage(column="image", width=4, height=4), image=column())["image"].to_rows() == []


def test_fields_say_the_size_that_is_known():
    image = {"image": Field("image", "BYTES")}

    def said(**config):
        return str(decode_image.fields(DecodeImage(column="image", **config), image)["image"])

    assert said() == "UINT8[-1, -1, 3]"
    assert said(width=4, height=2, layout="CHW") == "UINT8[3, 2, 4]"
    assert said(width=4, height=2, channels="L", datatype="FP32") == "FP32[2, 4, 1]"
    assert said(standard_deviation=[1, 1, 1]) == "FP32[-1, -1, 3]"


def test_files_that_are_no_images_are_bad_rows_all_at_once(apply):
    good = encoded(pixels(20, 20))
    gif = encoded(pixels(2, 2), "GIF")
    with pytest.raises(BadRows) as raised:
        apply(DecodeImage(column="image"), image=column(b"", good, b"plain text", gif, good[:600], good))
    reason = "bytes is no JPEG, PNG or WebP, or its beginning is damaged"
    assert raised.value.messages == {
        0: f"the image of 0 {reason}",
        2: f"the image of 10 {reason}",
        3: f"the image of {len(gif)} {reason}",
        4: "can't decode the image of 600 bytes: image file is truncated",
    }


def test_a_file_of_too_many_pixels_is_a_bad_row_and_is_not_decoded(apply):
    black = Image.new("L", (300, 200))
    with pytest.raises(BadRows) as raised:
        apply(DecodeImage(column="image", max_pixels=59_999), image=column(encoded(black)))
    reason = "it has 300 × 200 pixels; at most 59999 are allowed"
    assert raised.value.messages[0].endswith(f"bytes: {reason}")
    assert apply(DecodeImage(column="image", max_pixels=60_000), image=column(encoded(black)))["image"].shape[0] == 200


def test_without_pillow_the_worker_says_what_to_install():
    code = (
        "import sys; sys.modules['PIL'] = None\n"
        "from expansion.contract._gen.hook_pb2 import DecodeImage\n"
        "from expansion.hooks import decode_image\n"
        "config = DecodeImage(column='image')\n"
        "assert not list(decode_image.check(config))\n"
        "decode_image.build(config)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode != 0
    assert "SystemicError: decode_image needs Pillow" in done.stderr
    assert "run pip install 'beam-ml-expansion[hooks]' on the workers" in done.stderr


def test_impossible_messages_are_problems(problems):
    assert problems(DecodeImage(resize="fit", channels="RGBA", layout="NCHW", datatype="FP16", max_pixels=-1)) == [
        "column: missing; expected the name of a column",
        "resize: got 'fit'; expected one of 'crop', 'pad', 'stretch'",
        "channels: got 'RGBA'; did you mean 'RGB'?",
        "layout: got 'NCHW'; did you mean 'CHW'?",
        "datatype: got 'FP16'; expected one of 'FP32', 'UINT8'",
        "resize: is set without width and height; set all three, or none",
        "max_pixels: got -1; expected 1 to 178956970, as many as Pillow decodes",
    ]


def test_impossible_sizes_are_problems(problems):
    assert problems(DecodeImage(column="x", width=4)) == ["height: missing; expected it together with width"]
    assert problems(DecodeImage(column="x", width=-4, height=4)) == ["width: got -4; expected 1 or more"]
    assert problems(DecodeImage(column="x", width=4, height=4, resize="pad", crop_fraction=0.5)) == [
        """crop_fraction: is set without resize: "crop"; got 'pad'"""
    ]
    assert problems(DecodeImage(column="x", width=4, height=4, resize="crop", crop_fraction=1.5)) == [
        "crop_fraction: got 1.5; expected above 0, at most 1"
    ]
    assert problems(DecodeImage(column="x", width=4, height=4, resize="crop", crop_fraction=float("nan"))) != []


def test_impossible_numbers_are_problems(problems):
    assert problems(DecodeImage(column="x", datatype="UINT8", factor=1)) == [
        "datatype: got 'UINT8' with factor, mean or standard_deviation; expected 'FP32', or none of them"
    ]
    assert problems(DecodeImage(column="x", channels="L", mean=[1, 2, 3], standard_deviation=[0])) == [
        "mean: got 3 numbers; expected one for each channel, 1 of L",
        "standard_deviation[0]: got 0.0; expected above 0",
    ]
    assert problems(DecodeImage(column="x", factor=float("inf"), mean=[0, float("nan"), 0])) == [
        "factor: got inf; expected a finite number",
        "mean[1]: got nan; expected a finite number",
    ]


def test_only_a_column_of_files_will_do(problems):
    assert problems(DecodeImage(column="x"), x=Field("x", "STRING")) == ["column: column 'x' is STRING; expected BYTES"]
    assert problems(DecodeImage(column="x"), x=Field("x", "BYTES", (2,))) == [
        "column: column 'x' is BYTES[2]; expected one file a row"
    ]
    assert problems(DecodeImage(column="y"), x=Field("x", "BYTES")) == [
        "column: there is no column 'y'; expected one of 'x'"
    ]
