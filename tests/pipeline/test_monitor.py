from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any

import numpy as np
import pytest

from modelyard import home
from modelyard.drift.retrain import Memory
from modelyard.drift.verdict import Verdict
from modelyard.errors import UsageError
from modelyard.packages.package import Package
from modelyard.predictions.log import PredictionLog
from modelyard.registry import versions as registry
from modelyard.stages.deploy import deploy
from modelyard.stages.monitor import monitor
from modelyard.stages.run import Run
from tests.toy.build import LINE, build

NAME = "tests-toy-family-line"


@pytest.fixture(scope="module")
def champion(tmp_path_factory):
    """The toy family's champion, opened, in a home of its own."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MODELYARD_HOME", str(folder))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        built = build(folder / NAME / "first", "first", {})
        deploy(
            built.run,
            package=built.package,
            features=built.features,
            deployment=folder / "deployment",
        )
        yield Package(built.package)


def serve(package: Package, folder, xs, received: datetime | None = None) -> None:
    """Answers, and logs as the service does."""
    log = PredictionLog(folder, package)
    requests = [package.parse({"x": float(x)}) for x in xs]
    for at in range(0, len(requests), 100):
        batch = requests[at : at + 100]
        moment = (received or datetime.now(UTC)).timestamp()
        log.add(f"call-{at}", moment, 1.0, batch, package.host.predict(package.run, batch))
    log.close()
    assert log.dropped == 0


def look(
    tmp_path, log, package: Package | None = None, run: str = "local", **settings
) -> tuple[str, Verdict, str]:
    config = {"monitor": {"log": str(log), **settings}}
    paths = {"package": package.path} if package else {}
    headline = monitor(Run.of(LINE, config, id=run), verdict=tmp_path / "verdict", **paths)
    verdict = Verdict.model_validate_json((tmp_path / "verdict" / "verdict.json").read_text())
    return headline, verdict, (tmp_path / "verdict" / "report.html").read_text()


def usual(rows: int = 400) -> np.ndarray:
    return np.random.default_rng(5).uniform(-3, 3, rows)


def test_verdict_headline_and_page_name_model_and_schedule(champion, tmp_path):
    serve(champion, tmp_path / "log", usual())
    headline, verdict, page = look(tmp_path, tmp_path / "log", schedule="payments-hourly")
    assert headline == "payments-hourly: stable over 400 rows"
    assert verdict.schedule == "payments-hourly"
    assert re.fullmatch(r"tests-toy-family-line@\d+", verdict.model)
    assert f"{verdict.model} (" in page
    assert "schedule payments-hourly" in page


def test_traffic_like_the_test_data_is_stable(champion, tmp_path):
    serve(champion, tmp_path / "log", usual())
    headline, verdict, page = look(tmp_path, tmp_path / "log")
    assert headline == "stable over 400 rows"
    assert (verdict.status, verdict.retrain, verdict.rows_current) == ("stable", False, 400)
    assert verdict.package == champion.info.version
    assert {column.name for column in verdict.columns} == {"x", "y"}
    assert "Dataset Drift is NOT detected" in page


def test_shifted_traffic_drifted_and_both_halves_of_the_page_say_so(champion, tmp_path):
    serve(champion, tmp_path / "log", usual() + 2)
    headline, verdict, page = look(tmp_path, tmp_path / "log", cooldown_hours=0)
    assert re.fullmatch(
        r"drifted: [xy] \(D 0\.\d\d\), [xy] \(D 0\.\d\d\); retraining is due.*", headline
    )
    assert verdict.retrain
    assert all(re.fullmatch(r"mean \S+ → \S+", column.summary) for column in verdict.columns)
    assert f"<h1>{verdict.reason}</h1>" in page
    assert "Dataset Drift is detected" in page
    assert not re.search(r"<(script|link|img)[^>]+(src|href)=.?https?:", page)


def test_only_this_package_and_this_window_count(champion, tmp_path):
    log = tmp_path / "log"
    serve(champion, log, usual() + 5, received=datetime.now(UTC) - timedelta(hours=30))
    assert look(tmp_path, log)[1].rows_current == 0
    assert look(tmp_path, log, window_hours=48)[1].rows_current == 400
    for file in log.rglob("*.parquet"):
        file.rename(file.with_name(file.name.replace(champion.info.version, "0" * 12)))
    assert look(tmp_path, log, window_hours=48)[1].rows_current == 0


def test_a_window_by_count_compares_the_newest_rows_alone(champion, tmp_path):
    log = tmp_path / "log"
    serve(champion, log, usual() + 5, received=datetime.now(UTC) - timedelta(hours=3))
    serve(champion, log, usual())
    assert look(tmp_path, log)[1].status == "drifted"
    headline, verdict, _ = look(tmp_path, log, window_rows=400)
    assert (verdict.status, verdict.rows_current) == ("stable", 400)
    assert headline.startswith("stable over 400 rows")
    since = datetime.fromisoformat(verdict.window.since)
    assert datetime.now(UTC) - since < timedelta(hours=1)


def test_a_window_of_fewer_rows_than_a_verdict_needs_is_refused():
    with pytest.raises(UsageError, match=r"window_rows is 20, less than monitor.min_rows = 50"):
        Run.of(LINE, {"monitor": {"window_rows": 20}})


def test_too_few_rows_are_told_on_a_small_page(champion, tmp_path):
    serve(champion, tmp_path / "log", usual(20) + 9)
    headline, verdict, page = look(tmp_path, tmp_path / "log")
    assert headline == "too few rows: 20 in 24 h, at least 50 are needed"
    assert (verdict.status, verdict.retrain) == ("too few rows", False)
    assert len(page) < 5_000


def test_a_log_in_the_home_is_found_and_an_empty_one_is_no_error(champion, tmp_path):
    run = Run.of(LINE, {})
    said = monitor(run, verdict=tmp_path / "verdict")
    assert said.startswith(
        f"no rows in the last 24 h: {home.predictions(LINE)} holds no prediction"
    )
    serve(champion, home.predictions(LINE), usual())
    assert monitor(run, verdict=tmp_path / "verdict") == "stable over 400 rows"


def test_a_log_behind_an_fsspec_address_is_fetched(champion, tmp_path):
    import fsspec

    serve(champion, tmp_path / "log", usual())
    memory = fsspec.filesystem("memory")
    memory.put(str(tmp_path / "log"), "/watched/log", recursive=True)
    config = {"monitor": {"log": "memory://watched/log"}}
    assert monitor(Run.of(LINE, config), verdict=tmp_path / "verdict") == "stable over 400 rows"


def test_a_folder_that_a_store_lists_with_its_marker_is_read_once(champion, tmp_path, monkeypatch):
    from fsspec.implementations.local import LocalFileSystem

    serve(champion, tmp_path / "log", usual())
    ls = LocalFileSystem.ls

    def with_markers(files: LocalFileSystem, path: str, **options: Any) -> list[Any]:
        found = list(ls(files, path, **options))
        markers = [one | {"name": f"{one['name']}/"} for one in found if one["type"] == "directory"]
        return found + markers

    monkeypatch.setattr(LocalFileSystem, "ls", with_markers)
    headline, _, _ = look(tmp_path, tmp_path / "log")
    assert headline == "stable over 400 rows"


def test_no_rows_are_a_verdict_that_names_the_place_and_the_newest_rows(champion, tmp_path):
    log = tmp_path / "log"
    received = datetime.now(UTC) - timedelta(hours=30)
    serve(champion, log, usual(100), received=received)
    headline, verdict, page = look(tmp_path, log)
    assert (verdict.status, verdict.retrain, verdict.columns) == ("no rows", False, [])
    assert headline == (
        f"no rows in the last 24 h: the newest rows in {log} are of {received:%Y-%m-%d %H}:00 UTC, "
        f"by this package"
    )
    assert headline in unescape(page)
    assert verdict.retrain_reason == "no retraining: no rows"


def test_a_misspelt_prefix_is_told_from_a_quiet_service(champion, tmp_path):
    headline, verdict, _ = look(tmp_path, "memory://watched/lgo")
    assert verdict.status == "no rows"
    assert "memory://watched/lgo holds no prediction log: no such folder, bucket or" in headline


def test_broken_files_are_on_the_line_in_the_verdict_and_on_the_page(champion, tmp_path):
    log = tmp_path / "log"
    serve(champion, log, usual())
    folder = next(log.glob("date=*/hour=*"))
    broken = folder / f"{champion.info.version}-broken.parquet"
    broken.write_bytes(b"PAR1 and then nothing of use, PAR1")
    headline, verdict, page = look(tmp_path, log)
    assert headline.startswith("stable over 400 rows; skipped 1 of ")
    assert verdict.seen is not None
    assert (verdict.seen.rows, verdict.seen.skipped) == (400, {"unreadable": 1})
    assert verdict.seen.examples[0].file == "/".join(broken.parts[-3:])
    assert broken.name in headline
    assert broken.name in page


def test_a_stuck_column_is_an_alert_on_the_line_and_on_the_page(champion, tmp_path):
    serve(champion, tmp_path / "log", [1.5] * 400)
    headline, verdict, page = look(tmp_path, tmp_path / "log")
    assert {(one.column, one.what) for one in verdict.alerts} == {
        ("x", "constant"),
        ("y", "constant"),
    }
    assert "alert: x is constant (always 1.5); y is constant" in headline
    assert "x is constant (always 1.5)" in page
    (caution,) = verdict.cautions
    assert re.match(r"\d+% of the rows repeat another one near by, 0% of the ref", caution)
    assert caution in headline


def a_day_passes() -> None:
    """The last window that counted lies a day further back."""
    version = registry.get(NAME, "1")
    memory = Memory.model_validate_json(version.tags["modelyard.monitor"])
    ended = memory.counted_until - timedelta(days=1)
    registry.set_tag(
        version,
        "modelyard.monitor",
        memory.model_copy(update={"counted_until": ended}).model_dump_json(),
    )


def test_a_row_of_drifted_windows_is_remembered_in_the_registry(champion, tmp_path):
    serve(champion, tmp_path / "log", usual() + 2)
    registry.set_tag(registry.get(NAME, "1"), "modelyard.monitor", "{}")
    counts = []
    for run in ("m1", "m1", "soon after", "m2", "m3"):
        if run in ("m2", "m3"):
            a_day_passes()
        _, verdict, _ = look(
            tmp_path, tmp_path / "log", run=run, consecutive=2, cooldown_hours=1e-9
        )
        counts.append((verdict.in_a_row, verdict.retrain))
    assert counts == [(1, False), (1, False), (1, False), (2, True), (3, True)]
    memory = json.loads(registry.get(NAME, "1").tags["modelyard.monitor"])
    assert (memory["in_a_row"], memory["requested_by"]) == (3, "m3")


def test_a_package_that_was_just_made_is_not_trained_again(champion, tmp_path):
    serve(champion, tmp_path / "log", usual() + 2)
    headline, verdict, _ = look(tmp_path, tmp_path / "log", package=champion)
    assert verdict.status == "drifted"
    assert not verdict.retrain
    assert "no retraining before" in headline


def test_the_verdict_records_the_package_it_is_about(champion, tmp_path):
    from modelyard.store import artifact

    serve(champion, tmp_path / "log", usual())
    _, verdict, _ = look(tmp_path, tmp_path / "log", package=champion)
    assert verdict.digest == champion.manifest.digest
    assert champion.manifest.digest in artifact.verify(tmp_path / "verdict").lineage


def test_what_must_not_be_logged_is_not_missing(champion, tmp_path, monkeypatch):
    host = type(champion.host)
    monkeypatch.setattr(host, "sensitive", frozenset({"x"}))
    serve(champion, tmp_path / "log", usual())
    _, verdict, _ = look(tmp_path, tmp_path / "log")
    assert [column.name for column in verdict.columns] == ["y"]


def test_a_misspelt_log_is_refused(champion, tmp_path):
    with pytest.raises(UsageError, match=r"setting 'monitor.log': no folder .*nowhere"):
        look(tmp_path, tmp_path / "nowhere")


def test_without_a_champion_there_is_nothing_to_watch(champion, tmp_path):
    run = Run.of(LINE, {"registry": {"name": "another"}})
    with pytest.raises(UsageError, match=r"another has no champion to watch\. Type: modelyard run"):
        monitor(run, verdict=tmp_path / "verdict")
