"""What operators look at, and documents: dear to make, and open to strangers; so they are made once, and shown to whom they are for."""

import gzip
import itertools
import stat
import time

import httpx
import pytest

from tests.security.neighbour import Neighbour
from tests.security.strangers import as_somebody_elses

DOCUMENTS = ("/openapi.json", "/asyncapi.json", "/docs", "/static/swagger-ui/swagger-ui-bundle.js")


def get(service, path, **headers):
    return httpx.get(f"{service.url}{path}", headers=headers, trust_env=False, timeout=30)


def test_metrics_are_for_this_machine_and_for_the_keys_of_operators(service):
    assert get(service, "/metrics").status_code == 200
    forwarded = {"x-forwarded-for": "203.0.113.7"}
    assert get(service, "/metrics", **forwarded).status_code == 401
    with service.client() as admin:
        for role, organization, status in (
            ("ops", None, 200),
            ("viewer", "acme", 403),
            ("partner", "acme", 403),
        ):
            body = {"role": role} | ({} if organization is None else {"organization": organization})
            key = admin.post("/v1/keys", json=body).json()["key"]
            given = {"authorization": f"Bearer {key}", **forwarded}
            assert get(service, "/metrics", **given).status_code == status
    for path in ("/livez", "/readyz", "/docs", "/openapi.json", "/asyncapi.json"):
        assert get(service, path, **forwarded).status_code == 200


def test_metrics_from_elsewhere_need_a_key_unless_the_network_is_named(commands, settings):
    closed = commands.start(
        "serve", **settings, OPERATOR_NETWORKS="10.0.0.0/8", HTTP_PROXIES="127.0.0.0/8"
    ).ready(60)
    assert get(closed, "/metrics").status_code == 401
    assert get(closed, "/livez").status_code == 200


@pytest.mark.parametrize("path", DOCUMENTS)
def test_documents_are_tagged_and_compressed(service, path):
    plain = get(service, path, **{"accept-encoding": "identity"})
    assert "content-encoding" not in plain.headers
    packed = get(service, path, **{"accept-encoding": "gzip"})
    assert packed.content == plain.content
    if len(plain.content) > 2000:
        assert packed.headers["content-encoding"] == "gzip"
        assert int(packed.headers["content-length"]) < len(plain.content) / 2
        assert len(gzip.compress(plain.content, 1)) * 1.2 > int(packed.headers["content-length"])
    had = get(service, path, **{"if-none-match": plain.headers["etag"]})
    assert (had.status_code, had.content) == (304, b"")
    assert get(service, path, **{"if-none-match": '"other"'}).status_code == 200


def test_answers_with_data_are_not_kept_by_anybody(service):
    with service.client() as ops:
        for path in ("/v1/shipments", "/v1/nothing", "/v1/shipments/none", "/metrics", "/readyz"):
            assert ops.get(path).headers["cache-control"] == "no-store"
    assert get(service, "/v1/shipments").headers["cache-control"] == "no-store"


PAGES = ["/metrics", "/openapi.json", "/readyz"]


def ask(service, paths, seconds):
    """Asks for pages in turn, over two connections."""

    def asking() -> None:
        until, next_one = time.monotonic() + seconds, itertools.cycle(paths)
        with httpx.Client(trust_env=False, timeout=30) as client:
            while time.monotonic() < until:
                client.get(f"{service.url}{next(next_one)}", headers={"accept-encoding": "gzip"})
                # What one call costs is measured here; how many there may be is another matter.
                time.sleep(0.02)

    as_somebody_elses(asking, threads=2)


def test_a_neighbour_is_served_beside_who_asks_for_them_without_end(service):
    with Neighbour(service) as honest:
        honest.phase_of(lambda: ask(service, PAGES, 1.5)).is_served()


@pytest.mark.parametrize("path", PAGES)
def test_a_neighbour_does_not_notice_who_asks_for_them_without_end(service, path):
    with Neighbour(service) as honest:
        quiet = honest.during(3)
        honest.phase_of(lambda: ask(service, [path], 3)).is_like(quiet)


def test_files_with_secrets_are_their_owners_alone(commands, folder):
    data = folder / "demo"
    demo = commands.start("demo", "--fleet", "1", "--data", data)
    demo.printed("admin key:", 90)
    assert stat.S_IMODE((data / "demo.log").stat().st_mode) == 0o600
    for file in data.iterdir():
        if file.is_file():
            assert not stat.S_IMODE(file.stat().st_mode) & 0o077, file
    demo.interrupted()
