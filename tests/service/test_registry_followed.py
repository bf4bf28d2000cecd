"""A running service follows the registry: the package that becomes champion there takes over
here."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from modelyard.packages.package import Package
from modelyard.serving import follow
from modelyard.serving.settings import Limits
from modelyard.serving.traffic import Traffic, opened
from modelyard.stages.deploy import deploy
from tests.toy.build import Built, build

NAME = "tests-toy-family-line"


@pytest.fixture
def yard(tmp_path, monkeypatch) -> dict[str, Built]:
    monkeypatch.setenv("MODELYARD_HOME", str(tmp_path))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(follow, "REGISTRY_SECONDS", 0.05)
    return {
        str(points): build(
            tmp_path / NAME / str(points), str(points), {"features": {"points": points}}
        )
        for points in (30, 3000)
    }


@pytest.mark.slow
def test_who_becomes_champion_takes_over_within_one_look(yard, tmp_path):
    first, second = (Package(built.package) for built in yard.values())
    assert first.info.version != second.info.version

    def promote(built: Built) -> None:
        deploy(
            built.run,
            package=built.package,
            features=built.features,
            deployment=tmp_path / built.run.id,
        )

    async def until(traffic: Traffic, version: str) -> str:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(60):
                while traffic.champion.opened.info.version != version:
                    await asyncio.sleep(0.05)
        return traffic.champion.opened.info.version

    async def followed() -> list[str]:
        traffic = Traffic(opened(second, None, Limits()))
        promote(yard["30"])
        task = asyncio.ensure_future(follow.follow(traffic, f"{follow.CHAMPION}{NAME}", 0.05))
        seen = [await until(traffic, first.info.version)]
        promote(yard["3000"])
        seen.append(await until(traffic, second.info.version))
        task.cancel()
        return seen

    assert asyncio.run(followed()) == [first.info.version, second.info.version]
