"""The peer: FastAPI around the same ONNX session, as a person would write it. Run by
serving_throughput.py.

PEER=session: the numbers of the request to one float32 row, the session, its outputs; nothing is
prepared or decided. PEER=host: the package's own pre- and post-processing around the session, one
request at a time.
"""

import os

import numpy as np
import onnxruntime
from fastapi import FastAPI

from modelyard.packages.package import Package

package = Package(os.environ["MODELYARD_PACKAGE"], threads=int(os.environ.get("PEER_THREADS", "1")))
Request, Response = package.host.Request, package.host.Response
app = FastAPI()

if os.environ["PEER"] == "session":
    (name, file), *_ = package.info.chosen.graphs.items()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(os.environ.get("PEER_THREADS", "1"))
    session = onnxruntime.InferenceSession(package.path / "graphs" / file, options)
    feed, outputs = session.get_inputs()[0].name, [one.name for one in session.get_outputs()]
    fields = list(Request.model_fields)

    @app.post("/predict")
    async def predict(request: Request):  # type: ignore[valid-type]
        row = np.array([[getattr(request, field) for field in fields]], np.float32)
        values = session.run(outputs, {feed: row})[0][0].tolist()
        return {"label": int(np.argmax(values)), "probabilities": values}

else:

    @app.post("/predict", response_model=Response)
    def predict(request: Request):  # type: ignore[valid-type]
        return package.host.predict(package.run, [request])[0]
