"""What `modelyard run tabular` does, as a script of one process: fit, judge, export, check, draw,
register."""

from __future__ import annotations

from pathlib import Path

import lightgbm
import matplotlib as mpl

mpl.use("svg")

import matplotlib.pyplot as plt
import mlflow
import numpy as np
import onnxruntime
import pandas as pd
from onnxmltools import convert_lightgbm
from onnxmltools.convert.common.data_types import FloatTensorType
from sklearn.metrics import accuracy_score, average_precision_score, roc_auc_score, roc_curve
from sklearn.model_selection import train_test_split

OUT = Path("plain")
OUT.mkdir(exist_ok=True)
table = pd.read_csv("data.csv")
y = (table.pop("diagnosis") == "malignant").to_numpy()
x = table.to_numpy(np.float32)
x_rest, x_test, y_rest, y_test = train_test_split(x, y, test_size=0.2, stratify=y, random_state=0)
x_train, x_val, y_train, y_val = train_test_split(
    x_rest, y_rest, test_size=0.1875, stratify=y_rest, random_state=0
)

model = lightgbm.LGBMClassifier(n_estimators=400, learning_rate=0.05, random_state=0, verbose=-1)
model.fit(
    x_train,
    y_train,
    eval_X=(x_val,),
    eval_y=(y_val,),
    callbacks=[lightgbm.early_stopping(50, verbose=False)],
)
score = model.predict_proba(x_test)[:, 1]
metrics = {
    "roc_auc": float(roc_auc_score(y_test, score)),
    "average_precision": float(average_precision_score(y_test, score)),
    "accuracy": float(accuracy_score(y_test, score >= 0.5)),
}
rng = np.random.default_rng(0)
samples = [rng.integers(0, len(y_test), len(y_test)) for _ in range(200)]
spread = [roc_auc_score(y_test[rows], score[rows]) for rows in samples if y_test[rows].any()]
low, high = np.quantile(spread, [0.025, 0.975])

shape = FloatTensorType([None, x.shape[1]])
graph = convert_lightgbm(
    model.booster_, initial_types=[("features", shape)], zipmap=False, target_opset=15
)
(OUT / "model.onnx").write_bytes(graph.SerializeToString())
session = onnxruntime.InferenceSession(OUT / "model.onnx", providers=["CPUExecutionProvider"])
exported = session.run(None, {"features": x_test})[1][:, 1]
assert np.abs(exported - score).max() < 1e-5

false_alarms, hits, _ = roc_curve(y_test, score)
figure, axes = plt.subplots()
axes.plot(false_alarms, hits)
figure.savefig(OUT / "roc.svg")
rows = "".join(f"<tr><td>{name}</td><td>{value:.4f}</td></tr>" for name, value in metrics.items())
(OUT / "card.html").write_text(
    f"<h1>diagnosis</h1><table>{rows}</table><p>ROC AUC {low:.3f} to {high:.3f}</p>"
    + (OUT / "roc.svg").read_text()
)

mlflow.set_tracking_uri("sqlite:///plain/mlflow.db")
with mlflow.start_run() as run:
    mlflow.log_params(model.get_params())
    mlflow.log_metrics(metrics)
    mlflow.log_artifacts(str(OUT), "package")
client = mlflow.MlflowClient()
if not client.search_registered_models("name = 'plain'"):
    client.create_registered_model("plain")
client.create_model_version("plain", f"{run.info.artifact_uri}/package", run.info.run_id)
