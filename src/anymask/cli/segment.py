"""`anymask segment`: the objects of each photo, as files to look at and to compute with. An adapter over `SAM`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import __version__
from ..support.atomic_files import whole_folder
from .batch import Outputs, Report, Work, work_through
from .files import Photo, check_is_photo, check_outputs, prepare_file, prepare_folder
from .large import answer_in_windows, find_large, large_paths, segment_in_tiles
from .outputs import is_cutout, output_paths
from .start import load_sam, quick_imports

if TYPE_CHECKING:
    from ..prompts.prompt import Prompt


def segment_photos(
    photos: Sequence[Photo],
    folder: Path,
    formats: Sequence[str],
    *,
    model: str,
    device: str,
    dtype: str,
    prompts: Sequence[Prompt],
    options: Mapping[str, Any],
    look: Mapping[str, Any],
    resume: bool,
    images: Mapping[str, Any] | None = None,
    coco_file: Path | None = None,
    tiles_above: float | None = None,
    crs: str | None = None,
) -> Iterator[Report]:
    """Segment photos one by one and yield what became of each.

    Args:
        photos: To read.
        folder: To write to; created if needed.
        formats: Of `outputs.ENDINGS`.
        model: Packaged name, folder, file of weights or hub id.
        device: A torch device, or "auto" for a GPU where there is one.
        dtype: Name of a torch dtype.
        prompts: Asked of every photo; without any everything is segmented.
        options: Of `MaskGenerationOptions`; with prompts those about areas alone.
        look: Of `options.LOOK`, how pictures and label maps look.
        resume: Skip photos whose results are all there.
        images: Further arguments of `SAM.predict`, `value_range` or `window`.
        coco_file: One file of COCO for all photos, written when all are done.
        tiles_above: Photos of more megapixels are segmented in tiles, prompts in windows, to formats of their own.
        crs: Prompts are places on the map of each photo, in this reference system.

    Raises:
        OSError: If the output folder is not to be had, or there is no room in it.
        TypeError: If options come with prompts, or some of a format without it.
        ValueError: If the model is not to be had, an option is not valid, results would overwrite each other or a
            photo, or one file for all photos is asked for while photos are skipped.
    """
    of_formats = look_of_formats(look, formats)
    large = _cut_into_pieces(photos, tiles_above, crs, prompted=bool(prompts))
    outputs = {
        photo: large_paths(photo, folder)
        if photo in large
        else output_paths(photo, folder, formats, jpeg="jpeg" in look)
        for photo in photos
    }
    check_outputs({photo: paths.values() for photo, paths in outputs.items()}, coco_file)
    if coco_file is not None:
        _check_coco_file(resume, large)
    _check_options(prompts, options)
    prepare_folder(folder)
    if coco_file is not None:
        prepare_file(coco_file, "--coco-file")
    done: list[Any] = []

    def get_work() -> Work:
        sam = load_sam(model, device, dtype)
        progress = None if len(photos) == 1 else False
        arguments = {**({"prompts": prompts} if prompts else {"progress": progress}), **options, **(images or {})}
        kept = None if coco_file is None else done

        def segment(photo: Photo, paths: Outputs) -> dict[str, Any]:
            if photo not in large:
                return _segment(sam, photo, paths, arguments, of_formats=of_formats, model=model, done=kept)
            if prompts:
                return answer_in_windows(
                    sam, photo, paths, prompts=prompts, options=options, images=images or {}, crs=crs
                )
            settings = {"anymask": __version__, "model": model, "dtype": dtype}
            return segment_in_tiles(
                sam, photo, paths, options=options, images=images or {}, settings=settings, resume=resume
            )

        return segment

    yield from work_through(outputs, get_work, resume)
    if coco_file is not None:
        from ..results.formats.coco import write_coco

        write_coco(coco_file, done)


def _cut_into_pieces(
    photos: Sequence[Photo], tiles_above: float | None, crs: str | None, prompted: bool
) -> list[Photo]:
    """The photos that are segmented in tiles or windows: the large ones, or, with places on the map, all."""
    if crs is None:
        return [] if tiles_above is None else find_large(photos, tiles_above, prompted=prompted)
    if not prompted:
        raise ValueError("--crs must come with --point or --box, whose reference system it is")
    return list(photos)


def _check_coco_file(resume: bool, large: Sequence[Photo]) -> None:
    """Refuse what one file for all photos would not hold."""
    if resume:
        raise ValueError(
            "--coco-file must come without --resume: what was done in an earlier run would be missing in the file"
        )
    if large:
        raise ValueError(
            f"--coco-file must come without photos that are segmented in tiles, got {large[0].source}; each of them "
            "gets a COCO file of its own"
        )


def _check_options(prompts: Sequence[Prompt], options: Mapping[str, Any]) -> None:
    """Refuse wrong values before a model is loaded and the first photo is read."""
    with quick_imports():
        from ..mask_generation.options import AREA_OPTIONS, MaskGenerationOptions

    MaskGenerationOptions.from_kwargs(**options)
    others = [name for name in options if name not in AREA_OPTIONS]
    if prompts and others:
        names = ", ".join("--" + name.replace("_", "-") for name in others)
        raise TypeError(
            f"{names} must come without --point and --box: with prompts, each gets its mask, none is dropped"
        )


def look_of_formats(look: Mapping[str, Any], formats: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Sort the options of `options.LOOK` by the formats that they are of, and check them.

    Raises:
        OSError: If a font is none.
        TypeError: If a format is not among those that are written.
        ValueError: If a colour is none.
    """
    for name in look:
        needed = "label_map" if name in ("priority", "every_pixel") else "overlay"
        if needed not in formats:
            raise TypeError(f"--{name.replace('_', '-')} must come with --format {needed}, which it is of")
    picture = {name: look[name] for name in ("labels", "alpha", "font") if name in look}
    if "draw_boxes" in look:
        picture["boxes"] = look["draw_boxes"]
    if "colors" in look:
        from ..results.colours import parse_colour

        picture["colors"] = [parse_colour(colour.strip()) for colour in look["colors"].split(",")]
    if "font" in look:
        from ..results.fonts import load_font

        load_font("0", 12, look["font"])
    label_map = {name: look[name] for name in ("every_pixel",) if name in look}
    if "priority" in look:
        label_map["priority"] = look["priority"].value
    return {"overlay": picture, "label_map": label_map}


def _segment(
    sam: Any,
    photo: Photo,
    outputs: Outputs,
    arguments: Mapping[str, Any],
    of_formats: Mapping[str, Mapping[str, Any]],
    model: str,
    done: list[Any] | None,
) -> dict[str, Any]:
    """Write the results of one photo, each whole or not at all."""
    from ..images.load import load_image
    from ..predictor.sources import SourceImage
    from ..results.formats.annotated_image import AnnotatedImage

    check_is_photo(photo.source)
    image = SourceImage(Path(photo.source).name, load_image(photo.source))
    [results] = sam.predict(image, **arguments)
    more: dict[str, Mapping[str, Any]] = {
        **of_formats,
        "sa1b": {"info": {"model": model, "anymask": __version__}},
        "labelme": {"image": photo.source},
    }
    for name, path in outputs.items():
        if name == "cutouts":
            with whole_folder(path, is_cutout) as folder:
                results.save(folder, format=name)
        else:
            results.save(path, format=name, **more.get(name, {}))
    if done is not None:  # without the image, so that memory grows by run lengths alone
        done.append(AnnotatedImage(list(results.records), results.size_hw, results.name))
    return {"mask_count": len(results)}
