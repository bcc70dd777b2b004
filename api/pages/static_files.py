"""Where the files are that pages load."""

from pathlib import Path
from typing import Final

STATIC: Final = Path(__file__).parent / "static"
