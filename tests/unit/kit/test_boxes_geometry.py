"""Boxes are moved, decoded and thinned out as a slow, plain computation does it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from modelyard.families.detection.losses import assigned, decoded, overlaps
from modelyard.kit.boxes import geometry
from modelyard.kit.pictures.pixels import to_array


def some_boxes(count: int, side: float, seed: int) -> np.ndarray:
    r = np.random.default_rng(seed)
    start = r.uniform(0, side * 0.7, (count, 2))
    return np.concatenate([start, start + r.uniform(1, side * 0.3, (count, 2))], axis=1)


def plain_overlap(one: np.ndarray, other: np.ndarray) -> float:
    """Counted on a fine grid of points, not by a formula."""
    places = np.linspace(0, 40, 801)
    x, y = np.meshgrid(places, places)
    inside = [(x >= b[0]) & (x < b[2]) & (y >= b[1]) & (y < b[3]) for b in (one, other)]
    return float((inside[0] & inside[1]).sum() / (inside[0] | inside[1]).sum())


def test_overlaps_are_those_of_points_inside_both():
    boxes = some_boxes(6, 40, 1)
    found = geometry.overlaps(boxes, boxes)
    for row in range(6):
        for column in range(6):
            expected = plain_overlap(boxes[row], boxes[column])
            assert found[row, column] == pytest.approx(expected, abs=0.03)
    pairs, general = overlaps(torch.from_numpy(boxes), torch.from_numpy(boxes[::-1].copy()))
    assert np.allclose(pairs.numpy(), np.diag(geometry.overlaps(boxes, boxes[::-1])))
    assert (general <= pairs + 1e-9).all()
    assert (general > -1).all()


def plain_suppression(boxes, scores, labels, most_overlap, most):
    """One box after the other against all that stay."""
    stays: list[int] = []
    for row in sorted(range(len(boxes)), key=lambda row: -scores[row]):
        near = [
            labels[other] == labels[row]
            and geometry.overlaps(boxes[other : other + 1], boxes[row : row + 1])[0, 0]
            > most_overlap
            for other in stays
        ]
        if not any(near):
            stays.append(row)
    return stays[:most]


@pytest.mark.parametrize("seed", range(5))
def test_the_surest_of_boxes_that_overlap_stays_within_its_class(seed):
    r = np.random.default_rng(seed)
    boxes = some_boxes(80, 50, seed)
    scores = r.integers(0, 20, 80) / 20  # many ties
    labels = r.integers(0, 3, 80)
    for most_overlap, most in ((0.1, 100), (0.4, 100), (0.4, 7), (1.0, 100)):
        found = geometry.suppressed(boxes, scores, labels, most_overlap, most)
        assert found.tolist() == plain_suppression(boxes, scores, labels, most_overlap, most)
    none = geometry.suppressed(boxes[:0], scores[:0], labels[:0], 0.5, 10)
    assert none.tolist() == []


@pytest.mark.parametrize("size", [(96, 96), (640, 480), (333, 1000), (17, 3), (1, 50)])
@pytest.mark.parametrize("side", [96, 320])
def test_a_box_comes_back_from_the_square_where_it_was(size, side):
    boxes = some_boxes(20, 10, 3) / 10 * np.tile(size, 2)
    boxes = np.minimum(boxes, np.tile(size, 2))
    square = geometry.into_square(boxes, size, side)
    assert square.min() >= -1e-9
    assert square.max() <= side + 1e-9
    assert np.allclose(geometry.out_of_square(square, size, side), boxes, atol=1e-9)
    ((left, top, right, bottom),) = geometry.into_square(np.array([[0.0, 0, *size]]), size, side)
    lit = np.argwhere(to_array(Image.new("L", size, 255), side, 1, "pad")[0] > 0)
    assert [left, top, right, bottom] == [*lit.min(0)[::-1], *(lit.max(0)[::-1] + 1)]


def test_the_square_shows_an_object_where_its_box_lies_in_it():
    pixels = np.zeros((90, 200, 3), np.uint8)
    pixels[30:60, 100:160] = 255
    shown = to_array(Image.fromarray(pixels), 64, 3, "pad")[0]
    ((left, top, right, bottom),) = geometry.into_square(
        np.array([[100.0, 30, 160, 60]]), (200, 90), 64
    )
    bright = np.argwhere(shown > 127)
    assert np.allclose(bright.min(0), [top, left], atol=1)
    assert np.allclose(bright.max(0) + 1, [bottom, right], atol=1)


def test_nothing_of_a_box_is_left_outside_of_the_picture():
    outside = geometry.out_of_square(np.array([[-9.0, -9, 99, 99]]), (200, 100), 96)
    assert outside.tolist() == [[0, 0, 200, 100]]


def test_serving_decodes_boxes_as_training_did():
    strides = [8, 16]
    places = torch.from_numpy(geometry.grid(64, strides)).float()
    assert len(places) == 8 * 8 + 4 * 4
    assert places[0].tolist() == [4, 4, 8]
    assert places[1].tolist() == [12, 4, 8]
    assert places[64].tolist() == [8, 8, 16]
    offsets = torch.randn(2, len(places), 4, generator=torch.Generator().manual_seed(0))
    found = geometry.on_grid(offsets.numpy().astype(np.float64), 64, strides)
    assert np.allclose(found, decoded(offsets, places).numpy(), atol=1e-3)
    assert np.allclose(geometry.on_grid(np.zeros((1, 80, 4)), 64, strides)[0, 0], [0, 0, 8, 8])
    centres = geometry.from_centres(np.array([[0.5, 0.25, 0.5, 0.1]]), 100)
    assert np.allclose(centres, [[25, 20, 75, 30]])


def test_every_object_has_places_of_its_own_and_ignored_ones_teach_nothing():
    places = torch.from_numpy(geometry.grid(96, [8, 16, 32])).float()
    objects = torch.full((1, 4, 6), -1.0)
    objects[0, 0] = torch.tensor([0, 7.5, 7.5, 8.5, 8.5, 0])  # a pixel between four places
    objects[0, 1] = torch.tensor([1, 20, 20, 92, 92, 0])  # a large one
    objects[0, 2] = torch.tensor([0, 60, 0, 96, 30, 1])  # ignored
    owner, outside = assigned(objects, places)
    tiny, large = places[owner[0] == 0], places[owner[0] == 1]
    assert set(tiny[:, 2].tolist()) == {8}
    assert 1 <= len(tiny) <= 9
    assert set(large[:, 2].tolist()) == {16}
    assert ((large[:, :2] - 56).abs() <= 16).all()
    assert set(owner[0].tolist()) == {-1, 0, 1}
    within = (places[:, 0] >= 60) & (places[:, 1] <= 30)
    assert torch.equal(outside[0], within & (owner[0] < 0))
