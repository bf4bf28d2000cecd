"""Evidence by place, against other ways to compute it."""

from __future__ import annotations

import numpy as np
import pytest

from modelyard.families.image import cam
from modelyard.kit.classes.answers import contrast


@pytest.mark.parametrize(("classes", "index"), [(2, 0), (2, 1), (5, 3)])
def test_evidence_is_the_logits_split_over_places(classes: int, index: int) -> None:
    rng = np.random.default_rng(1)
    features, head = rng.normal(size=(6, 5, 7)), rng.normal(size=(classes, 7))
    logits = head[:, :6] @ features.mean(axis=(1, 2)) + head[:, 6]
    places, base = cam.evidence(
        features, head, contrast([str(n) for n in range(classes)], index)[0]
    )
    expected = logits[1] - logits[0] if classes == 2 else logits[index] - logits.mean()
    assert places.sum() + base == pytest.approx(expected)


def test_evidence_is_grad_cam_before_its_relu() -> None:
    import torch

    rng = np.random.default_rng(2)
    maps = torch.tensor(rng.normal(size=(6, 4, 4)), requires_grad=True)
    head = rng.normal(size=(3, 7))
    logit = torch.tensor(head[2, :6]) @ maps.mean(dim=(1, 2)) + head[2, 6]
    (gradient,) = torch.autograd.grad(logit, maps)
    grad_cam = (gradient.mean(dim=(1, 2))[:, None, None] * maps).sum(dim=0).detach().numpy()
    places, _ = cam.evidence(maps.detach().numpy(), head, np.array([0.0, 0.0, 1.0]))
    assert places == pytest.approx(grad_cam, rel=1e-9)


@pytest.mark.parametrize("shape", [(3, 4), (8, 8), (14, 14), (24, 9)])
def test_coarse_cells_keep_the_sum(shape: tuple[int, int]) -> None:
    places = np.random.default_rng(0).normal(size=shape)
    cells = cam.coarse(places)
    assert cells.shape == tuple(min(side, 8) for side in shape)
    assert cells.sum() == pytest.approx(places.sum())


def test_an_overlay_is_red_for_and_blue_against() -> None:
    shown = np.asarray(
        cam.overlay(np.full((1, 8, 8), 128, np.uint8), np.array([[1.0, 0.0], [0.0, -1.0]]), 64), int
    )
    assert shown[4, 4, 0] > shown[4, 4, 2] + 50
    assert shown[-4, -4, 2] > shown[-4, -4, 0] + 50
