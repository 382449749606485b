# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Image files → images of the size that a model takes. Imported by workers only: it imports Pillow."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from expansion.errors import BadRows, first_line

T = TypeVar("T")

MAX_PIXELS = 89_478_485  # 1 GiB ÷ 4 ÷ 3; of more than that Pillow warns, and more than twice that it refuses

_FORMATS = ("JPEG", "PNG", "WEBP")


def decode(
    files: Sequence[bytes], mode: str, convert: Callable[[Image.Image], T], max_pixels: int = MAX_PIXELS
) -> list[T]:
    """Decodes JPEG, PNG and WebP files, of animated ones the first frame.

    Images are turned as their EXIF orientation says, and then are as Pillow's ``convert`` makes them: transparency is
    dropped, so that whatever colour lies below it shows, and CMYK becomes RGB without a colour profile. Of 16 bits the
    high 8 are kept.

    Files are decoded one after another: Beam starts a worker a core, and on two cores a second thread showed no gain.

    Args:
        files: Contents of the files.
        mode: Pillow's mode of the images: "RGB" or "L".
        convert: Makes of an image what is kept of it; so the images of a batch are not all in memory at their own size.
        max_pixels: Pixels of a file, at most; one that says it has more is not decoded.

    Returns:
        What ``convert`` made of each file.

    Raises:
        BadRows: Some files are of no such format, damaged, cut off or too large. Damage that leaves a file decodable,
            as that of some bits of a JPEG may, can't be seen.
    """
    results, bad = [], {}
    for row, content in enumerate(files):
        try:
            results.append(convert(_opened(content, mode, max_pixels)))
        except MemoryError:  # noqa: PERF203 - the others are to be decoded, and named
            raise
        except UnidentifiedImageError:
            bad[row] = f"the image of {len(content)} bytes is no JPEG, PNG or WebP, or its beginning is damaged"
        except Exception as error:  # damaged files may raise anything
            bad[row] = f"can't decode the image of {len(content)} bytes: {first_line(error)}"
    if bad:
        raise BadRows(bad)
    return results


def _opened(content: bytes, mode: str, max_pixels: int) -> Image.Image:
    image = Image.open(io.BytesIO(content), formats=_FORMATS)  # reads the header only
    if image.width * image.height > max_pixels:
        raise ValueError(f"it has {image.width} × {image.height} pixels; at most {max_pixels} are allowed")
    ImageOps.exif_transpose(image, in_place=True)
    if image.mode == "I;16":  # convert would make 255 of all that is above it
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert(mode)
    image.info.pop("transparency", None)  # convert drops it too, with a warning
    return image if image.mode == mode else image.convert(mode)


# Sizes are (width, height), in pixels, as Pillow has them. Its bilinear interpolation takes every pixel into account
# where it makes an image smaller, as torchvision does with images of Pillow.


def stretch(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Scales an image to a size, across and down each as it needs."""
    return image.resize(size, Image.Resampling.BILINEAR)


def crop(image: Image.Image, size: tuple[int, int], covered: tuple[int, int]) -> Image.Image:
    """Scales an image to cover one size and cuts another out of its middle.

    What is cut out is, to the pixel, what torchvision's Resize and CenterCrop cut out; but in one step, as an image of
    1 × 60,000 pixels that is scaled to cover 256 × 256 takes up gigabytes.
    """
    width, height = image.size
    if covered[0] * height >= covered[1] * width:
        scaled = (covered[0], covered[0] * height // width)
    else:
        scaled = (covered[1] * width // height, covered[1])
    left, top = round((scaled[0] - size[0]) / 2), round((scaled[1] - size[1]) / 2)
    across, down = width / scaled[0], height / scaled[1]  # pixels of the image for one of the scaled image
    box = (left * across, top * down, (left + size[0]) * across, (top + size[1]) * down)
    return image.resize(size, Image.Resampling.BILINEAR, box)


def pad(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Scales an image to fit into a size, with black around it."""
    ratio = min(size[0] / image.width, size[1] / image.height)
    width, height = max(1, round(image.width * ratio)), max(1, round(image.height * ratio))
    padded = Image.new(image.mode, size)
    padded.paste(stretch(image, (width, height)), (round((size[0] - width) / 2), round((size[1] - height) / 2)))
    return padded
