"""The service: endpoints, and the page that uses them."""

from __future__ import annotations

import math
from collections.abc import Callable
from importlib.resources import files
from typing import Any

from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, JSONResponse, Response

from faultline import __version__
from faultline.artifacts.bundle import Bundle
from faultline.http.body_limit import BodyLimit
from faultline.http.refusals import answer_failures
from faultline.http.turns import Turns
from faultline.http.upload import Form, drop_body, read_form
from faultline.predict.dual_head import CLASSES
from faultline.pseudolabel.gate.ask import Gate
from faultline.serving.heads import Heads
from faultline.serving.inspector import Inspector, Wish
from faultline.serving.options import Limits

_PAGE_HEADERS = {
    # Nothing from elsewhere, and nothing of what was sent leads anywhere.
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; "
    "script-src 'unsafe-inline'; img-src data: blob:; connect-src 'self'; frame-ancestors 'none'; "
    "base-uri 'none'; form-action 'none'",
    "x-content-type-options": "nosniff",
}
_YES, _NO = ("1", "true", "yes"), ("0", "false", "no")


def create_app(
    bundle: Bundle,
    heads: Heads,
    gate: Gate | None = None,
    limits: Limits | None = None,
    mm_per_px: float | None = None,
) -> FastAPI:
    """The service of a bundle. It keeps nothing of what it is sent.

    Args:
        bundle: What is served.
        heads: Its predictors; see `faultline.tasks`.
        gate: Asked first about every picture.
        limits: What a request may ask for.
        mm_per_px: Scale of the pictures, unless a request gives its own.
    """
    limits = limits or Limits()
    # No generated pages: they would load scripts from elsewhere.
    app = FastAPI(
        title="Faultline", version=__version__, docs_url=None, redoc_url=None, openapi_url=None
    )
    app.add_middleware(BodyLimit, limit=int(limits.mebibytes * 2**20))
    service = _Service(Inspector(bundle, heads, gate, limits), mm_per_px)
    for path, answer in (
        ("/segment", service.segment), ("/classify", service.classify), ("/prompt", service.prompt)
    ):  # fmt: skip
        app.add_api_route(path, answer, methods=["POST"], response_model=None)
    app.add_api_route("/health", service.health, methods=["GET"], response_model=None)
    app.add_api_route("/", service.page, methods=["GET"], response_model=None)
    answer_failures(app)
    return app


class _Service:
    def __init__(self, inspector: Inspector, mm_per_px: float | None) -> None:
        self.inspector, self.mm_per_px = inspector, mm_per_px
        self.turns = Turns(inspector.limits.waiting)

    async def page(self) -> Response:
        """A page to try the endpoints with."""
        text = files("faultline.serving").joinpath("page.html").read_text(encoding="utf-8")
        return HTMLResponse(text, headers=_PAGE_HEADERS)

    async def health(self) -> dict[str, Any]:
        """What is served, and its limits."""
        inspector = self.inspector
        bundle, heads, gate = inspector.bundle, inspector.heads, inspector.gate
        prompts = heads.prompts.reader.prompts if heads.prompts else None
        return {
            "status": "ok",
            "version": __version__,
            "weights": bundle.source.name if bundle.source else None,
            "model": bundle.model_name,
            "task": bundle.task,
            "fingerprint": bundle.fingerprint,
            "label_space": bundle.label_space.to_dict(),
            **({"class_label_space": bundle.extra[CLASSES]} if CLASSES in bundle.extra else {}),
            "threshold": bundle.threshold.to_dict(),
            "endpoints": heads.paths,
            **({"prompts": prompts} if prompts is not None else {}),
            "gate": None if gate is None else gate.describe(),
            "limits": inspector.limits.to_dict(),
        }

    async def segment(self, request: Request) -> Response:
        """The form's picture -> masks, measures and overlay."""
        await self._check_head(request, "/segment")
        wish = self._wish(request)
        return await self._answer(request, lambda form: self.inspector.segment(form, wish))

    async def classify(self, request: Request) -> Response:
        """The form's picture -> its classes."""
        await self._check_head(request, "/classify")
        return await self._answer(request, self.inspector.classify)

    async def prompt(self, request: Request) -> Response:
        """The form's picture and prompts -> masks and overlay."""
        await self._check_head(request, "/prompt")
        wish = self._wish(request)
        return await self._answer(request, lambda form: self.inspector.prompt(form, wish))

    async def _answer(
        self, request: Request, work: Callable[[Form], dict[str, Any] | bytes]
    ) -> Response:
        form = await read_form(request, "picture", status=415)
        found = await self.turns.take(request, lambda: work(form))
        if isinstance(found, bytes):
            return Response(found, media_type="image/png")
        return JSONResponse(found)

    async def _check_head(self, request: Request, path: str) -> None:
        """Raises 409 where these weights have no such head."""
        paths = self.inspector.heads.paths
        if path in paths:
            return
        await drop_body(request)
        task = self.inspector.bundle.task
        raise HTTPException(
            409, f"these weights are for the task {task}, which does not answer POST {path} -> "
            f"use POST {' or '.join(paths)}"
        )  # fmt: skip

    def _wish(self, request: Request) -> Wish:
        """How the query of a request wants its answer; raises 422 for values it cannot have."""
        query = request.query_params
        form = query.get("format", "json")
        if form not in ("json", "png"):
            raise HTTPException(422, f"format={form} -> use json, or png for the overlay itself")
        overlay = query.get("overlay", "1").lower()
        if overlay not in _YES + _NO:
            raise HTTPException(422, f"overlay={overlay} -> use 1 or 0")
        return Wish(form == "png", overlay in _YES, self._scale(query.get("mm_per_px")))

    def _scale(self, text: str | None) -> float | None:
        if text is None:
            return self.mm_per_px
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not 0 < value < math.inf:
            raise HTTPException(422, f"mm_per_px={text} -> give millimetres per pixel, above 0")
        return value
