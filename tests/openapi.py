"""The OpenAPI document as the service answers it; `python -m tests.openapi` writes it to docs/openapi.json."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import cast

from api.http.app import create_app
from api.http.connections.limits import Limits
from api.http.services import Services

FILE = Path(__file__).parent.parent / "docs" / "openapi.json"


def text() -> str:
    # Nothing is called: of the services only the bounds are looked at.
    services = cast("Services", SimpleNamespace(body_limit=0, limits=Limits()))
    return json.dumps(create_app(services).openapi(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
