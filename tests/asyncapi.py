"""The AsyncAPI document as the service answers it; `python -m tests.asyncapi` writes it to docs/asyncapi.json."""

import json
from pathlib import Path
from typing import Any

from api.http.specifications import asyncapi
from tests import openapi

FILE = Path(__file__).parent.parent / "docs" / "asyncapi.json"


def document() -> dict[str, Any]:
    return asyncapi.document(json.loads(openapi.text()))


def text() -> str:
    return json.dumps(document(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
