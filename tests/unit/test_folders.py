"""A stranger finds any module: no folder holds more of them than can be read at a glance."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("telemetry", "alerts", "api", "simulators", "bench", "tests")
MOST = 17


def test_no_folder_has_more_modules_than_can_be_read_at_a_glance() -> None:
    folders = {file.parent for package in PACKAGES for file in (ROOT / package).rglob("*.py")}
    crowded = {
        str(folder.relative_to(ROOT)): count
        for folder in folders
        if (count := sum(file.name != "__init__.py" for file in folder.glob("*.py"))) > MOST
    }
    assert len(folders) > 80
    assert crowded == {}, "divide them by concept"
