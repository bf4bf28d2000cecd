"""Which format a folder of pictures with boxes has."""

from __future__ import annotations

from collections.abc import Callable, Set
from pathlib import Path
from typing import Literal

from modelyard.errors import BadData
from modelyard.kit.boxes.coco import documents, read_coco
from modelyard.kit.boxes.cvat import cvat_files, read_cvat
from modelyard.kit.boxes.kitti import kitti_files, read_kitti
from modelyard.kit.boxes.labelme import labelme_documents, read_labelme
from modelyard.kit.boxes.listed import box_tables, read_listed_boxes
from modelyard.kit.boxes.scenes import Pictures, Scenes
from modelyard.kit.boxes.voc import read_voc
from modelyard.kit.boxes.wider import read_wider, wider_files
from modelyard.kit.boxes.yolo import is_yolo, read_yolo
from modelyard.kit.classifier.kind import FileKind
from modelyard.store.files import FileSet, files_of

Format = Literal["auto", "coco", "yolo", "voc", "labelme", "cvat", "kitti", "wider", "csv"]
BOXES_ONLY: tuple[Format, ...] = ("voc", "kitti", "wider", "csv")
"""Formats without outlines."""
LAYOUTS = (
    "Read are COCO (a .json with images, annotations and categories), Pascal VOC (an .xml file a "
    "picture), YOLO (a .txt file a picture, with data.yaml or classes.txt), LabelMe (a .json file a "
    "picture), CVAT for images (annotations.xml), KITTI (a .txt file a picture in label_2), WIDER FACE "
    "(wider_face_train_bbx_gt.txt) and a .csv file with a row an object "
    "(filename,class,xmin,ymin,xmax,ymax)"
)


def read_scenes(raw: Path, kind: FileKind, format: Format = "auto") -> Scenes:  # noqa: A002
    """The annotated pictures of a folder, in the order of names.

    Raises:
        BadData: with the file, and what in it is wrong; or the folder has no such files, or those
            of two formats.
    """
    raw = Path(raw)
    if not raw.is_dir() or not any(raw.iterdir()):
        raise BadData("holds no files", file=raw, hint=LAYOUTS)
    found = readers(files_of(raw), kind, format)
    if len(found) > 1:
        names = " and ".join(found)
        hint = f"Type: --set features.format={next(iter(found))}"
        raise BadData(f"holds annotations of {names}", file=raw, hint=hint)
    if not found:
        raise BadData("holds no annotations of a known format", file=raw, hint=LAYOUTS)
    listing = next(iter(found.values()))()
    if not listing.scenes:
        readable = f"no annotated picture in it (read are {kind.readable})"
        raise BadData(f"{listing.format}: {readable}", file=raw)
    listing.scenes.sort(key=lambda scene: scene.picture.name)
    return listing


def readers(
    files: FileSet,
    kind: FileKind,
    format: Format,  # noqa: A002
    others: Set[str] = frozenset(),
) -> dict[Format, Callable[[], Scenes]]:
    """What reads the annotations of a folder, by the format that they have.

    Args:
        others: names of files that look like pictures and are none.

    Raises:
        BadData: a JSON or XML file that is none.
    """
    pictures = Pictures(files, kind, others)
    found: dict[Format, Callable[[], Scenes]] = {}
    tables = [file for file in files if file.suffix == ".json"]
    instances = documents(tables) if format in ("auto", "coco") else []
    if instances:
        found["coco"] = lambda: read_coco(instances, pictures)
    drawn = []
    # Not where COCO was found: that would read all of the JSON files once more.
    if format in ("auto", "labelme") and "coco" not in found:
        drawn = labelme_documents(tables)
    if drawn:
        found["labelme"] = lambda: read_labelme(drawn, pictures)
    exported = cvat_files(files) if format in ("auto", "cvat") else []
    if exported:
        found["cvat"] = lambda: read_cvat(exported, pictures)
    elif format in ("auto", "voc") and any(file.suffix == ".xml" for file in files):
        found["voc"] = lambda: read_voc(files, pictures)
    spatial = kitti_files(files) if format in ("auto", "kitti") else []
    if spatial:
        found["kitti"] = lambda: read_kitti(spatial, pictures)
    faces = wider_files(files) if format in ("auto", "wider") else []
    if faces:
        found["wider"] = lambda: read_wider(faces, pictures)
    # KITTI's files may lie in `labels/` too.
    if format in ("auto", "yolo") and not spatial and is_yolo(files):
        found["yolo"] = lambda: read_yolo(files, pictures)
    # Next to another format a table is what somebody made of it.
    listed = box_tables(list(files)) if format == "csv" or (format == "auto" and not found) else []
    if listed:
        found["csv"] = lambda: read_listed_boxes(listed, pictures)
    return found
