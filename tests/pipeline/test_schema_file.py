"""A schema file next to the data: the one a run writes changes no later run, an edit does."""

import json
import os
import subprocess
import sys

from modelyard.pipeline.local import RunFolder
from modelyard.pipeline.unchanged import finished


def test_the_written_schema_changes_no_later_run_until_a_person_edits_it(tmp_path, monkeypatch):
    rows = [f"{20 + n % 50},{'yes' if n % 50 > 30 else 'no'}\n" for n in range(120)]
    (tmp_path / "customers.csv").write_text("age,bought\n" + "".join(rows))
    run = ("run", "tabular", "--data", "customers.csv", "--target", "bought")
    settings = ("--set", "model.kind=linear")
    done = subprocess.run(
        [sys.executable, "-m", "modelyard", *run, *settings],
        cwd=tmp_path,
        env={**os.environ, "MODELYARD_HOME": str(tmp_path / "runs"), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "wrote    customers.schema.json" in done.stdout
    (folder,) = (tmp_path / "runs" / "tabular").iterdir()

    monkeypatch.setenv("MODELYARD_HOME", str(tmp_path / "runs"))
    monkeypatch.chdir(tmp_path)
    record = RunFolder(folder).record
    assert finished(record) is not None
    written = tmp_path / "customers.schema.json"
    schema = json.loads(written.read_text())
    schema["columns"][0]["role"] = "category"
    written.write_text(json.dumps(schema))
    assert finished(record) is None
