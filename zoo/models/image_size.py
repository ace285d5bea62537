"""Which sizes of pictures a backbone takes."""

from __future__ import annotations

from zoo.errors import UsageError
from zoo.specs import BackboneSpec


def check_size(size: int, backbone: BackboneSpec) -> None:
    """Raises `UsageError` where the backbone does not take pictures of S = `size` pixels."""
    if backbone.fixed_image_size and size != backbone.min_image_size:
        raise UsageError(
            f"{backbone.name} takes pictures of {backbone.min_image_size} pixels and no other size.",
            f"Leave out --image-size, or choose another backbone (given: {size}).",
            code="image-size-impossible",
        )
    if size < backbone.min_image_size:
        raise UsageError(
            f"{backbone.name} needs pictures of at least {backbone.min_image_size} pixels, not {size}.",
            f"Give --image-size {backbone.min_image_size} or more, or choose another backbone.",
            code="image-size-impossible",
        )
