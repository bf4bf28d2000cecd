"""WIDER FACE: a text file a split; of each picture its name, how many faces it has, and a line a face:
left, top, width, height, and blur, expression, illumination, invalid, occlusion, pose
(http://shuoyang1213.me/WIDERFACE, readme.txt of wider_face_split)."""

from __future__ import annotations

from modelyard.errors import BadData
from modelyard.kit.boxes.coco import check_once
from modelyard.kit.boxes.scenes import Box, Pictures, Scene, Scenes, split_in
from modelyard.kit.tables import decoded
from modelyard.store.files import File, FileSet

LABEL = "face"
NAMED = "_bbx_gt.txt"
"""End of the files' names."""
EDGES, INVALID = 4, 7
"""Numbers of the box, and the place of whether the face is to be left out of the judging."""


def wider_files(files: FileSet) -> list[File]:
    """The text files that list faces."""
    return [file for file in files if file.name.lower().endswith(NAMED)]


def read_wider(found: list[File], pictures: Pictures) -> Scenes:
    """The pictures of WIDER FACE's lists, each with its faces. An invalid one is neither found nor missed.

    Raises:
        BadData: with the file and its line.
    """
    listing = Scenes("WIDER FACE", [])
    for file in found:
        lines = [line.strip() for line in decoded(file)[0].splitlines()]
        row = 0
        while row < len(lines):
            name = lines[row]
            row += 1
            if not name:
                continue
            if not pictures.kind.reads(name):
                problem = f"{name[:40]!r} is no name of a picture"
                raise BadData(problem, file=file.path, row=row)
            count = lines[row] if row < len(lines) else ""
            row += 1
            if not count.isdecimal():
                problem = f"{count[:40]!r}; below its name stands how many faces a picture has"
                raise BadData(problem, file=file.path, row=row)
            boxes = []
            for _ in range(int(count)):
                row += 1
                boxes.append(_box(file, row, lines[row - 1] if row <= len(lines) else ""))
            # Of a picture without a face there is a line of zeros.
            if not boxes and row < len(lines) and set(lines[row].split()) == {"0"}:
                row += 1
            picture = pictures.named(name, file)
            if picture is not None:
                scene = Scene(picture, tuple(boxes), file.path, split_in(file.name))
                listing.scenes.append(scene)
    check_once((scene.picture, scene.table) for scene in listing.scenes)
    pictures.check(listing, listing.pictures, "in no list of WIDER FACE")
    return listing


def _box(file: File, row: int, line: str) -> Box:
    cells = line.split()
    if len(cells) < EDGES or not all(cell.isdecimal() for cell in cells):
        problem = f"{line[:40]!r}; allowed are left, top, width and height of a face in pixels, and six marks"
        raise BadData(problem, file=file.path, row=row)
    left, top, width, height = map(float, cells[:EDGES])
    invalid = len(cells) > INVALID and cells[INVALID] == "1"
    return Box(LABEL, left, top, left + width, top + height, ignored=invalid)
