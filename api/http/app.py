"""The HTTP application: routes, what surrounds them, and how errors leave."""

from collections.abc import Collection
from functools import partial
from typing import Final

from fastapi import FastAPI
from starlette.middleware import Middleware

from api.http import problems
from api.http.middleware import BodyLimit, Callers, Surroundings
from api.http.routes import (
    alerts,
    documents,
    incidents,
    keys,
    notifications,
    operations,
    readings,
    rejected,
    security,
    stream,
    webhooks,
)
from api.http.routes.registry import (
    clock_corrections,
    contact_tests,
    contacts,
    devices,
    dewars,
    loans,
    policies,
    products,
    sites,
)
from api.http.routes.shipments import backtests, equipment, excursions, handovers, shipments, summary
from api.http.routing import actions_of
from api.http.services import Services
from api.http.specifications import openapi
from api.roles import ALL_ROLES, Role

_NOUNS = (
    shipments,
    equipment,
    summary,
    readings,
    excursions,
    alerts,
    incidents,
    handovers,
    notifications,
    contacts,
    contact_tests,
    policies,
    backtests,
    stream,
    devices,
    clock_corrections,
    dewars,
    loans,
    sites,
    products,
    rejected,
    webhooks,
    keys,
    security,
    documents,
    operations,
)
ACTIONS: Final = actions_of(noun.router for noun in _NOUNS)
"""The action of each call that needs a key, such as `GET /v1/alerts`."""


def create_app(services: Services, *, serves: Collection[Role] = ALL_ROLES) -> FastAPI:
    """Make the application that works with these services; without the role api, what operators need is all of it."""
    app = FastAPI(
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        generate_unique_id_function=lambda route: route.name,
        redirect_slashes=False,
        middleware=[
            Middleware(Callers, limits=services.limits),
            Middleware(Surroundings),
            Middleware(BodyLimit, limit=services.body_limit),
        ],
    )
    app.state.services = services
    app.state.actions = ACTIONS
    problems.install(app)
    for noun in _NOUNS if Role.API in serves else (operations,):
        app.include_router(noun.router)
    app.openapi = partial(openapi.document, app)  # type: ignore[method-assign]  # FastAPI's own way to change it
    documents.install(app)
    operations.install(app)
    return app
