"""Images in a folder."""

import warnings
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skmpcc.command.reading_options import files_in, is_image
from skmpcc.data.frames import listed

# How files of each kind begin.
_SIGNATURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")
# Levels of grey that are hardly distinguished.
_NEAR = 10
# This share of what is visible of an image may be as near to the background as it happens to be.
_FEW = 0.05


def images_in(folder: Path) -> dict[str, Path]:
    """Images in a folder and the folders below it, by name; warns of other files."""
    files = {path.relative_to(folder).as_posix(): path for path in sorted(files_in(folder))}
    images = {name: path for name, path in files.items() if is_image(path)}
    if len(images) < len(files):
        others = listed(name for name in files if name not in images)
        warnings.warn(f"Files that are not images are left out: {others}.", stacklevel=2)
    return images


def read_images(
    folder: Path, files: Mapping[str, Path], channels: int | None, background: int | None
) -> tuple[NDArray, int | None]:
    """Read images of a folder, which have to be of one size.

    Parameters
    ----------
    folder : Path
    files : mapping of str to Path
        The images by name.
    channels : int or None
        1, 3, or None for 3 if any image has colours.
    background : int or None
        Grey level, 0 to 255, that transparent images are put on. None is the one that is farthest from
        the visible tones of all of them, black or white if these are much the same.

    Returns
    -------
    array : ndarray
    background : int or None
        The one that images were put on; None if none was transparent.
    """
    images = {name: _opened(path) for name, path in files.items()}
    (first, image), *rest = images.items()
    for name, other in rest:
        if other.size != image.size:
            raise ValueError(
                f"Images of {folder} differ in size: {first} has {image.width} x {image.height} pixels, "
                f"{name} has {other.width} x {other.height}. Bring them to one size first."
            )
    modes = {each.mode for each in images.values()}
    if all(mode[0] in "IF" for mode in modes) and channels != 3:  # 16 bits and more
        return np.stack([np.asarray(each) for each in images.values()]), None
    if any(mode[0] in "IF" for mode in modes):
        raise ValueError(
            f"Images of {folder} differ in kind: some have 8 bits per channel, others more."
        )
    images, background = _opaque(images, background)
    grey = channels == 1 or (channels is None and modes <= {"1", "L", "LA"})
    arrays = [np.asarray(each.convert("L" if grey else "RGB")) for each in images.values()]
    return np.stack(arrays), background


def _opened(path: Path) -> Any:
    """Return an image with all of its pixels, if the content of its file is PNG or JPEG.

    Other kinds are not even tried, since Pillow runs another program for some of them.
    """
    image_module = import_module("PIL.Image")
    with path.open("rb") as file:
        if not file.read(8).startswith(_SIGNATURES):
            raise ValueError(
                f"{path} cannot be read: it is neither PNG nor JPEG, although its name says so."
            )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", image_module.DecompressionBombWarning)
            with image_module.open(path, formats=("PNG", "JPEG")) as image:
                return import_module("PIL.ImageOps").exif_transpose(image)
    except MemoryError:
        raise
    except Exception as error:  # broken files end in many kinds of them
        why = str(error) or type(error).__name__
        raise ValueError(f"{path} cannot be read as an image: {why}") from error


def _opaque(images: dict[str, Any], background: int | None) -> tuple[dict[str, Any], int | None]:
    """Put transparent images on a background, and warn of it."""
    image_module = import_module("PIL.Image")
    layers = {
        name: image.convert("RGBA")
        for name, image in images.items()
        if "A" in image.getbands() or "transparency" in image.info
    }
    layers = {
        name: image for name, image in layers.items() if image.getchannel("A").getextrema()[0] < 255
    }
    if not layers:
        return images, None
    visible = {name: _visible_tones(image) for name, image in layers.items()}
    visible = {name: tones for name, tones in visible.items() if tones.any()}
    if background is None:
        tones = np.stack([*visible.values()] or [np.zeros(256)])
        # The first of the levels that are equally far.
        levels = (255, 0, *range(1, 255))
        background = max(levels, key=lambda level: _distances(tones, level).min())
    near = [
        name for name, tones in visible.items() if _distances(tones[np.newaxis], background)[0] < _NEAR
    ]
    below = image_module.new("RGBA", next(iter(layers.values())).size, (background,) * 3 + (255,))
    opaque = {name: image_module.alpha_composite(below, image) for name, image in layers.items()}
    tone = {0: "black", 255: "white"}.get(background, f"grey of level {background}")
    warnings.warn(
        f"{len(layers)} of {len(images)} images are transparent in places, and were put on {tone}.",
        stacklevel=2,
    )
    if near:
        warnings.warn(
            f"Visible pixels of transparent images are about as bright as the {tone} that they were put "
            f"on, and can hardly be seen: {listed(near)}.",
            stacklevel=2,
        )
    return images | opaque, background


def _visible_tones(image: Any) -> NDArray[np.float64]:
    """Count how much is visible of each grey level of an image with transparency."""
    alpha = np.asarray(image.getchannel("A"), dtype=np.float64)
    grey = np.asarray(image.convert("RGB").convert("L"))
    return np.bincount(grey.ravel(), weights=alpha.ravel(), minlength=256).astype(np.float64)


def _distances(tones: NDArray[np.float64], level: int) -> NDArray[np.int64]:
    """Distance of a level from the visible tones of each image, but for a few pixels."""
    distances = np.abs(np.arange(256) - level)
    order = np.argsort(distances, kind="stable")
    shares = np.cumsum(tones[:, order], axis=1)
    nearest = np.argmax(shares > _FEW * shares[:, -1:], axis=1)
    return distances[order][nearest]
