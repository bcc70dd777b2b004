"""The documentation of the interface, as browsers get it."""

import re

from tests.integration.api.conftest import Desk


async def test_the_docs_load_nothing_from_elsewhere(desk: Desk) -> None:
    stranger = await desk.client()
    page = await stranger.get("/docs")
    assert page.headers["content-type"].startswith("text/html")
    links = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(links) == 5
    for link in links:
        assert link.startswith("/")
        assert (await stranger.get(link)).status_code == 200, link
    assert "<script>" not in page.text
    assert "style=" not in page.text
    for name in ("LICENSE", "NOTICE", "VERSION", "swagger-ui-bundle.js.LICENSE.txt"):
        assert (await stranger.get(f"/static/swagger-ui/{name}")).status_code == 200


async def test_the_docs_are_served_with_a_policy_of_their_own(desk: Desk) -> None:
    stranger = await desk.client()
    policy = (await stranger.get("/docs")).headers["content-security-policy"]
    assert "script-src 'self'" in policy
    assert (await stranger.get("/livez")).headers["content-security-policy"].startswith("default-src 'none'")
    assert (await stranger.get("/static/no-such-file.js")).json()["detail"].startswith("There is nothing at")
