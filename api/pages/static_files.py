"""The files that pages load, read and compressed once."""

import asyncio
import mimetypes
from pathlib import Path
from typing import Final

from fastapi import APIRouter, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

from api.shared_answers.prepared import Prepared
from api.shared_answers.shared import Shared

STATIC: Final = Path(__file__).parent / "static"
router = APIRouter()


class Files:
    """The files of the folder, each by its path below it; nothing else is looked for when somebody asks."""

    def __init__(self, headers: dict[str, dict[str, str]]) -> None:
        self._files = {
            path.relative_to(STATIC).as_posix(): _shared(
                path, headers.get(path.relative_to(STATIC).as_posix())
            )
            for path in STATIC.rglob("*")
            if path.is_file()
        }

    async def answer(self, name: str, request: Request) -> Response:
        """Answer with a file; raises HTTPException if there is none of that name."""
        if (file := self._files.get(name)) is None:
            raise HTTPException(404)
        return Response(**(await file.get()).answer(request.headers))


def _shared(path: Path, headers: dict[str, str] | None) -> Shared[Prepared]:
    media_type = mimetypes.guess_type(path.name)[0] or "text/plain"
    if media_type.startswith("text/"):
        media_type += "; charset=utf-8"
    return Shared(
        lambda: asyncio.to_thread(lambda: Prepared.of(path.read_bytes(), media_type, headers=headers))
    )


@router.api_route("/static/{name:path}", methods=["GET", "HEAD"], include_in_schema=False)
async def static_file(name: str, request: Request) -> Response:
    """Answer with a file that a page loads."""
    files: Files = request.app.state.files
    return await files.answer(name, request)
