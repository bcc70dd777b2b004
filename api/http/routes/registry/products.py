"""Products: templates for the plans of shipments."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from api.http.naming import ProductKey, location
from api.http.pagination import DEFAULT_LIMIT, Cursor, Limit, answer, read_cursor
from api.http.routing import Call, Caller, Here, action
from api.http.schemas.fields import ListOf, Words
from api.http.schemas.registry.products import ProductChangeIn, ProductIn, ProductOut, ProductRevision
from api.use_cases.registry import products
from api.use_cases.registry.registering import PRODUCT
from telemetry.registry.products import PRODUCTS

router = APIRouter(route_class=Call, tags=["products"])


@router.post("/v1/products", status_code=201)
@action("products.register")
async def register_product(body: ProductIn, caller: Caller, services: Here, response: Response) -> ProductOut:
    """Register a product: shipments that name it take from it what they do not give themselves."""
    async with services.engine.begin() as connection:
        row = await products.register(
            connection, caller, body.value(), actor=caller.actor, quotas=services.gate.quotas
        )
    response.headers["Location"] = location("products", body.product_id, caller, row["organization"])
    return ProductOut.of(row)


@router.get("/v1/products")
@action("products.read")
async def list_products(
    caller: Caller,
    services: Here,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
    q: Annotated[Words | None, Query(description="Part of an id, a name or an organization.")] = None,
) -> ListOf[ProductOut]:
    """List the products by id."""
    after = read_cursor(cursor, PRODUCTS.order)
    async with services.engine.connect() as connection:
        page = await PRODUCT.page(connection, caller, q=q, after=after, limit=limit)
    return answer(page, ProductOut.of)


@router.get("/v1/products/{product_id}")
@action("products.read")
async def get_product(product_id: ProductKey, caller: Caller, services: Here) -> ProductOut:
    """Show one product."""
    async with services.engine.connect() as connection:
        return ProductOut.of(await PRODUCT.get(connection, caller, product_id))


@router.patch("/v1/products/{product_id}")
@action("products.change")
async def change_product(
    product_id: ProductKey, body: ProductChangeIn, caller: Caller, services: Here
) -> ProductOut:
    """Change what is given of a product, for shipments to come: those that exist keep what they took from it."""
    async with services.engine.begin() as connection:
        row = await products.change(
            connection,
            caller,
            product_id,
            body.own_fields(),
            plan=body.plan_fields(),
            seen=body.revision,
            actor=caller.actor,
            reason=body.reason,
        )
    return ProductOut.of(row)


@router.get("/v1/products/{product_id}/revisions")
@action("products.read")
async def list_product_revisions(
    product_id: ProductKey,
    caller: Caller,
    services: Here,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> ListOf[ProductRevision]:
    """List every description that a product ever had, oldest first, with who made it and when."""
    after = read_cursor(cursor, PRODUCTS.history_order)
    async with services.engine.connect() as connection:
        await PRODUCT.get(connection, caller, product_id)
        page = await PRODUCTS.history(connection, product_id, after=after, limit=limit)
    return answer(page, lambda row: ProductRevision.of(row["content"], reason=row["reason"]))
