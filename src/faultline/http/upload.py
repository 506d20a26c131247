"""Takes in a form with one file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import anyio
from fastapi import Request
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

SECONDS: Final = 120.0
"""A sender that takes longer than this for a form is not waited for."""
_MAX_FIELDS = 64


@dataclass(frozen=True, slots=True)
class Form:
    """What was sent.

    Attributes:
        name: Of the file, as the sender calls it.
        data: Its bytes.
        fields: The other fields: name -> values in their order.
    """

    name: str
    data: bytes
    fields: Mapping[str, tuple[str, ...]]


async def read_form(request: Request, what: str, status: int = 422) -> Form:
    """The form of a request, with the file in its field `file`.

    Args:
        request: The request; its body has not been read.
        what: What the file should be, such as "sound file".
        status: For a body that is no form.

    Raises:
        HTTPException: `status` for another kind of body, 422 where the file is missing, 400 for a
            damaged form, 408 for a sender that is too slow.
    """
    if "multipart/form-data" not in request.headers.get("content-type", ""):
        await drop_body(request)
        raise HTTPException(status, f"send the {what} as the form field `file`")
    with _not_too_slow() as slow:
        async with request.form(max_files=1, max_fields=_MAX_FIELDS) as form:
            upload = form.get("file")
            if not isinstance(upload, UploadFile):
                raise HTTPException(422, "the form has no file in the field `file`")
            data = await upload.read()
            texts = [(name, text) for name, text in form.multi_items() if isinstance(text, str)]
            fields = {name: tuple(t for n, t in texts if n == name) for name, _ in texts}
            return Form(upload.filename or "", data, fields)
    assert slow.cancelled_caught
    raise _too_slow()


async def drop_body(request: Request) -> None:
    """Take in the body and forget it: a sender that is cut off may never see the answer.

    Raises:
        HTTPException: 408, the sender is too slow.
    """
    with _not_too_slow():
        async for _ in request.stream():
            pass
        return
    raise _too_slow()


def _not_too_slow() -> anyio.CancelScope:
    return anyio.move_on_after(SECONDS)


def _too_slow() -> HTTPException:
    return HTTPException(408, f"the request took more than {SECONDS:g} s to arrive",
                         {"connection": "close"})  # fmt: skip
