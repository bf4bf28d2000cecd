"""Serving a package over HTTP: the Starlette app, its prediction log, and the command that starts
it.

Nothing here imports BentoML; `services/service.py` hands it the app.
"""
