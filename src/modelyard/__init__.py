"""modelyard: any family of models, from versioned data to a served, watched, self-retraining
model."""

import os

__version__ = "0.1.0"

TELEMETRY_OFF = {
    "BENTOML_DO_NOT_TRACK": "True",
    "DO_NOT_TRACK": "1",
    "DVC_NO_ANALYTICS": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "ITERATIVE_DO_NOT_TRACK": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "ORT_DISABLE_TELEMETRY": "1",
}
"""No library that we use reports on anybody, nor keeps reports to send later."""

SLEEPING_THREADS = {"OMP_WAIT_POLICY": "PASSIVE"}
"""OpenMP's threads (PyTorch's, LightGBM's, scikit-learn's) sleep while they wait for each other. By
default they spin, and on a machine that does other things too, or in a pod with a limit, they take
the time of the thread that they wait for: training a small network then takes ten to a hundred
times as long."""

# Here, because libraries read it while they are imported.
for _name, _value in {**TELEMETRY_OFF, **SLEEPING_THREADS}.items():
    os.environ.setdefault(_name, _value)
