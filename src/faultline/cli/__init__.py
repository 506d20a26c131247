"""The command `faultline`: thin commands that import what they need when they run.

Importing a module of commands adds them to `app`, and the help shows them in that order.
"""

from __future__ import annotations

# isort: off
from faultline.cli import training, answers, serve, analysis, pictures, experiments, show  # noqa: F401
from faultline.cli.app import app, list_app, main
from faultline.cli.ensemble import ensemble_app
from faultline.cli.gate import gate_app
from faultline.cli.pseudolabel import pseudolabel_app
from faultline.speech.command import speech_app
# isort: on

app.add_typer(list_app, name="list")
app.add_typer(ensemble_app, name="ensemble")
app.add_typer(pseudolabel_app, name="pseudolabel")
app.add_typer(gate_app, name="gate")
app.add_typer(speech_app, name="speech")

__all__ = ["app", "main"]
