"""Reading one picture as numbers; every change that this needs is reported."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntFlag
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps
from PIL.ExifTags import Base

SEVERAL_IN_ONE = "MPO"
"""Format of photographs with previews in the same file; the first picture is the photograph."""
OPAQUE, UPRIGHT = 255, 1


class Change(IntFlag):
    """How a picture was changed while it was read."""

    TURNED = 1
    FLATTENED = 2
    CONVERTED = 4
    CUT = 8
    REPEATED = 16
    WIDENED = 32


IN_WORDS = {
    Change.TURNED: "turned upright by their EXIF tag",
    Change.FLATTENED: "with transparency laid on white",
    Change.CONVERTED: "turned to RGB from CMYK or another colour space",
    Change.CUT: "with colours of 16 bits cut to 8",
    Change.REPEATED: "of grey among colours, with one channel repeated three times",
    Change.WIDENED: "of 8 bits among 16, multiplied by 257",
}
"""A description of each change, to follow `12 of 300 images`."""


class Kind(NamedTuple):
    """The channels and number format of pictures.

    Args:
        channels: 1 for grey, 3 for RGB.
        depth: Bits of a number: 8 or 16; 32 for floating point, which has no fixed range.
    """

    channels: int
    depth: int

    def join(self, other: Kind) -> Kind:
        """Return the kind that fits both.

        Raises:
            ValueError: One has whole numbers and the other floating point.
        """
        depths = {self.depth, other.depth}
        if 32 in depths and len(depths) > 1:
            raise ValueError("floating point among whole numbers, or the other way round")
        return Kind(max(self.channels, other.channels), max(depths))

    @property
    def divisor(self) -> float:
        """Largest value of a pixel; 1 for floating point."""
        return {8: 255.0, 16: 65535.0, 32: 1.0}[self.depth]


@dataclass(frozen=True)
class Picture:
    """A picture as numbers.

    Args:
        values: Pixels `(C, H, W)`.
        kind: Its channels and number format.
        changes: How it was changed while it was read.
    """

    values: NDArray[Any]
    kind: Kind
    changes: Change

    def written_as(self, kind: Kind) -> Picture:
        """Return the same picture in another kind that fits it."""
        values, changes = self.values, self.changes
        if kind.channels > self.kind.channels:
            values, changes = values.repeat(kind.channels, axis=0), changes | Change.REPEATED
        if kind.depth == 16 and self.kind.depth == 8:
            values, changes = values.astype(np.uint16) * 257, changes | Change.WIDENED
        # Torch has few operations for 16-bit integers.
        return Picture(values if kind.depth == 8 else values.astype(np.float32), kind, changes)


def read_pixels(image: Image.Image) -> Picture:
    """Read an opened picture: upright, grey or RGB.

    Raises:
        ValueError: It cannot be read as one picture without a loss that cannot be described.
        OSError: It is damaged.
    """
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format != SEVERAL_IN_ONE:
        raise ValueError(f"{frames} frames or pages in one file")
    deep = image.mode.startswith(("I", "F"))
    # Pillow has no colours with more than 8 bits, and does not say that it drops bits.
    is_cut = not deep and any(";16" in str(tile) for tile in getattr(image, "tile", ()))
    changes = Change.CUT if is_cut else Change(0)
    image.load()
    if image.getexif().get(Base.Orientation, UPRIGHT) != UPRIGHT:
        image = ImageOps.exif_transpose(image)
        changes |= Change.TURNED
    if deep:
        values = _read_deep(image)
        return Picture(values[None], Kind(1, 32 if values.dtype.kind == "f" else 16), changes)
    plain, more = _flatten(image)
    values = np.asarray(plain)
    values = values[None] if values.ndim == 2 else values.transpose(2, 0, 1)
    return Picture(values, Kind(len(values), 8), changes | more)


def _read_deep(image: Image.Image) -> NDArray[Any]:
    """Return the numbers `(H, W)` of a grey picture of 16 bits or of floating point."""
    values = np.asarray(image)
    if "transparency" in image.info:
        raise ValueError("a transparent value among 16 bits")
    if image.mode == "F":
        if not np.isfinite(values).all():
            raise ValueError("NaN or infinite pixels")
        return values.astype(np.float32)
    if values.min() < 0 or values.max() > 65535:
        raise ValueError("whole numbers of 32 bits, whose range is not known")
    return values.astype(np.uint16)


def _flatten(image: Image.Image) -> tuple[Image.Image, Change]:
    """Return a picture of 8 bits as grey or RGB, on a white background where it is transparent."""
    if image.mode in ("P", "PA"):
        image = image.convert("RGBA")
    grey = image.mode in ("1", "L", "LA", "La")
    wanted = "L" if grey else "RGB"
    if image.mode in ("LA", "La", "RGBA", "RGBa") or "transparency" in image.info:
        return _lay_on_white(image.convert("RGBA"), wanted)
    converted = image.mode in ("CMYK", "LAB", "HSV")
    return image.convert(wanted), Change.CONVERTED if converted else Change(0)


def _lay_on_white(image: Image.Image, wanted: str) -> tuple[Image.Image, Change]:
    alpha = image.getchannel("A")
    if alpha.getextrema() == (OPAQUE, OPAQUE):
        return image.convert("RGB").convert(wanted), Change(0)
    laid = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    before, after = (np.asarray(one).reshape(-1, 4) for one in (image, laid))
    if np.ptp(before, axis=0).any() and not np.ptp(after, axis=0).any():
        raise ValueError("a transparent picture that is invisible on white")
    return laid.convert("RGB").convert(wanted), Change.FLATTENED
