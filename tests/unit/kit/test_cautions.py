"""Cautions of every family: what a request holds that training never saw, or that was not used."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from modelyard.families.anomaly.host import AnomalyHost
from modelyard.families.anomaly.schema import Column, Detector, Schema
from modelyard.families.image.host import ImageHost, Picture
from modelyard.families.image.spec import ImageSpec
from modelyard.host import Caution
from modelyard.kit.cautions import Ranges
from modelyard.kit.pictures.pixels import Limits
from modelyard.runtimes.types import Arrays


@pytest.mark.parametrize(
    ("value", "is_far"),
    [(0.0, False), (20.0, False), (-10.0, False), (20.1, True), (-10.1, True), (np.inf, True)],
)
def test_a_number_is_far_from_one_width_beyond_the_range_on(value: float, is_far: bool) -> None:
    ranges = Ranges(1.0)
    ranges.add("x", "x (m)", 0.0, 10.0)
    assert [one.field for one in ranges.cautions({"x": value})] == ["x (m)"] * is_far
    assert ranges.cautions({"x": None}) == ranges.cautions({"x": "above range"}) == []


def test_a_constant_is_far_from_its_own_size_on() -> None:
    ranges = Ranges(1.0)
    ranges.add("x", "x", 40.0, 40.0)
    ranges.add("zero", "zero", 0.0, 0.0)
    assert ranges.cautions({"x": 79.0, "zero": 0.9}) == []
    assert [one.field for one in ranges.cautions({"x": 81.0, "zero": 1.1})] == ["x", "zero"]


def test_a_measurement_in_another_unit_is_named_once_for_a_window(tmp_path: Path) -> None:
    figures = {"mean": 60, "spread": 5, "median": 60, "minimum": 40, "maximum": 80}
    columns = [Column(name=name, **figures) for name in ("heat", "load")]
    Schema(columns=columns, window=3, step=None, labelled=False, series=["a"], kinds=[]).save(
        tmp_path
    )
    eye = np.eye(2).tolist()
    Detector(kind="iforest", window=3, false_alarm_rate=0.01, threshold=1.0, expectation=eye).save(
        tmp_path
    )
    host = AnomalyHost(tmp_path)

    def run(graph: str, arrays: Arrays) -> Arrays:
        return {"score": np.zeros(len(next(iter(arrays.values()))), np.float32)}

    usual = {"heat": 60.0, "load": 90.0}
    window = [usual, usual | {"heat": 60_000.0}, usual | {"heat": 61_000.0}]
    request = host.Request.model_validate({"window": window})
    (answer,) = host.predict(run, [request])
    assert [one.field for one in answer.warnings] == ["heat"]
    assert answer.warnings[0].message.startswith("60000 is far outside")


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 8, 8)])
def test_a_picture_of_one_colour_is_said_and_one_with_a_speck_is_not(
    shape: tuple[int, ...],
) -> None:
    channels, size, _ = shape
    host = ImageHost.__new__(ImageHost)
    host.spec = ImageSpec.model_construct(limits=Limits(bytes=100, pixels=100))
    request = Picture(image="AA==")
    flat = np.arange(channels, dtype=np.uint8)[:, None, None] * np.ones(shape, np.uint8)
    assert [one.field for one in host.cautions(request, flat)] == ["image"]
    speck = flat.copy()
    speck[-1, size - 1, size - 2] += 1
    assert host.cautions(request, speck) == ()


def test_cautions_are_left_out_of_json_where_there_are_none() -> None:
    from modelyard.families.tabular.host import ValueAnswer

    answer = ValueAnswer(value=1.5)
    assert answer.model_dump_json() == '{"value":1.5}'
    answer.warnings = (Caution(field="x", message="is odd"),)
    said = [{"field": "x", "message": "is odd"}]
    assert answer.model_dump(mode="json") == {"value": 1.5, "warnings": said}
    assert ValueAnswer.model_validate_json(answer.model_dump_json()) == answer
