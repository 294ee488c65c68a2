"""The process that decodes images: ``python -m tremula.infra.imaging.worker``.

Each line of standard input is a request in JSON, each line of standard output its
answer. Nothing of Tremula is imported but what answers are called.
"""

import json
import resource
import sys
from typing import Any, Final

from PIL import Image, ImageOps

from tremula.infra.imaging.outcome import Outcome

_FORMATS: Final = ("JPEG", "PNG", "WEBP", "GIF", "AVIF")
"""What may be decoded, whatever a file says it is: no other decoder is reached."""

_CONTENT_TYPES: Final = {
    "JPEG": "image/jpeg",
    "PNG": "image/png",
    "WEBP": "image/webp",
    "GIF": "image/gif",
}
"""Of formats that a thumbnail may have."""

_METADATA: Final = {"exif", "xmp", "photoshop", "comment"}

_FRAMES_MAX: Final = 200
_ANIMATED_PIXELS_MAX: Final = 400_000_000
_TARGET_BYTES_MAX: Final = 32 * 1024 * 1024
_FILES_MAX: Final = 64
_QUALITY: Final = 82
# A colour profile is no more than a few hundred bytes; without it colours are wrong.
_PROFILE_BYTES_MAX: Final = 4096
_ORIENTATION: Final = 0x0112

Size = tuple[int, int]


def main() -> None:
    """Answer requests until there are no more."""
    _limit(int(sys.argv[1]))
    # Sizes are looked at below, before anything is decoded.
    Image.MAX_IMAGE_PIXELS = None
    for line in sys.stdin:
        sys.stdout.write(json.dumps(_answer(json.loads(line))) + "\n")
        sys.stdout.flush()


def _limit(memory_bytes: int) -> None:
    for kind, most in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_FSIZE, _TARGET_BYTES_MAX),
        (resource.RLIMIT_NOFILE, _FILES_MAX),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(kind, (most, most))


def _answer(request: dict[str, Any]) -> dict[str, str]:
    try:
        return _make(request)
    except MemoryError:
        return {"outcome": Outcome.TOO_LARGE}
    except Exception as error:  # noqa: BLE001 - decoders fail in every way there is
        return {
            "outcome": Outcome.UNDECODABLE,
            "reason": f"{type(error).__name__}: {error}"[:200],
        }


def _make(request: dict[str, Any]) -> dict[str, str]:
    box: Size = (request["width"], request["height"])
    with Image.open(request["source"], formats=_FORMATS) as image:
        if image.width * image.height > request["pixels_max"]:
            return {"outcome": Outcome.TOO_LARGE}
        # The pictures of an MPO, a JPEG with more behind it, are no animation.
        moves = image.format != "MPO" and bool(getattr(image, "is_animated", False))
        animates = moves and request["is_animated"] and _may_animate(image)
        size = _turned_size(image)
        fits = size[0] <= box[0] and size[1] <= box[1]
        content_type = _CONTENT_TYPES.get(image.format or "")
        if fits and animates is moves and content_type and not _tells_more(image):
            return {"outcome": Outcome.ORIGINAL, "content_type": content_type}
        crops = request["method"] == "crop"
        if animates:
            return _save_animation(image, box, request["target"], crops=crops)
        return _save_still(image, box, request["target"], crops=crops)


def _may_animate(image: Any) -> bool:  # noqa: ANN401 - any format's own class
    frames: int = image.n_frames
    return (
        frames <= _FRAMES_MAX
        and frames * image.width * image.height <= _ANIMATED_PIXELS_MAX
    )


def _tells_more(image: Image.Image) -> bool:
    """Whether there is more in the file than is seen; PNG has text by any name."""
    return bool(_METADATA & image.info.keys()) or any(
        isinstance(value, str) for value in image.info.values()
    )


def _turned_size(image: Image.Image) -> Size:
    """The size as it is shown, not as it is stored."""
    turned = image.getexif().get(_ORIENTATION) in {5, 6, 7, 8}
    return (image.height, image.width) if turned else image.size


def _save_still(
    image: Image.Image, box: Size, target: str, *, crops: bool
) -> dict[str, str]:
    profile = image.info.get("icc_profile") or b""
    if image.format == "JPEG":
        # Decoded at a fraction of its size; either side may be the long one yet.
        side = 2 * max(box)
        image.draft(None, (side, side))
    shown = _resized(_plain(ImageOps.exif_transpose(image)), box, crops=crops)
    kept = {"icc_profile": profile} if 0 < len(profile) <= _PROFILE_BYTES_MAX else {}
    if shown.mode in {"RGBA", "LA"}:
        shown.save(target, "PNG", compress_level=6, **kept)
        return {"outcome": Outcome.MADE, "content_type": "image/png"}
    shown.save(target, "JPEG", quality=_QUALITY, **kept)
    return {"outcome": Outcome.MADE, "content_type": "image/jpeg"}


def _save_animation(
    image: Any,  # noqa: ANN401
    box: Size,
    target: str,
    *,
    crops: bool,
) -> dict[str, str]:
    frames: list[Image.Image] = []
    durations_ms: list[int] = []
    for number in range(image.n_frames):
        image.seek(number)
        frames.append(_resized(image.convert("RGBA"), box, crops=crops))
        durations_ms.append(int(image.info.get("duration") or 100))
    frames[0].save(
        target,
        "WEBP",
        save_all=True,
        append_images=frames[1:],
        duration=durations_ms,
        loop=int(image.info.get("loop", 0)),
        quality=_QUALITY,
        method=2,
    )
    return {"outcome": Outcome.MADE, "content_type": "image/webp"}


def _plain(image: Image.Image) -> Image.Image:
    """In a mode that JPEG or PNG has, 8 bits a channel."""
    if image.mode.startswith("I;16"):
        return image.convert("I").point(lambda value: value / 256).convert("L")
    if image.mode in {"RGBA", "LA", "RGB", "L"}:
        return image
    is_transparent = "transparency" in image.info or image.mode in {"PA", "RGBa", "La"}
    return image.convert("RGBA" if is_transparent else "RGB")


def _resized(image: Image.Image, box: Size, *, crops: bool) -> Image.Image:
    """Scaled down, never up: into *box*, or to fill it with the middle of the image."""
    width, height = image.size
    if crops:
        factor = min(width / box[0], height / box[1])
        part = (max(1, round(box[0] * factor)), max(1, round(box[1] * factor)))
        left, top = (width - part[0]) // 2, (height - part[1]) // 2
        region = (left, top, left + part[0], top + part[1])
        size = box if factor > 1 else part
    else:
        factor = max(width / box[0], height / box[1], 1)
        region = (0, 0, width, height)
        size = (max(1, round(width / factor)), max(1, round(height / factor)))
    if size == image.size:
        return image
    return image.resize(size, Image.Resampling.LANCZOS, box=region, reducing_gap=2.0)


if __name__ == "__main__":
    main()
