"""The table of pages."""

from dre.server.pages import assets, checking, opening, operation, operations, output
from dre.server.routes import Route

ROUTES: tuple[Route, ...] = (
    Route("GET", "/", operations.operations, "owner", "Operations, newest first", {}),
    Route("GET", "/operations/{id}", operation.operation, "owner", "One operation, whole", {}),
    Route("GET", "/operations/{id}/output", output.output, "owner", "What it printed, page by page", {}),
    Route("GET", "/operations/{id}/check", checking.check, "owner", "Whether it is what was recorded", {}),
    Route("GET", "/static/{name}", assets.asset, "anyone", "A file that goes with the pages", {}),
    Route("GET", "/open/{link}", opening.by_link, "anyone", "Open this browser's session", {}),
    Route("POST", "/open", opening.by_token, "anyone", "Open this browser's session with the token", {}),
)
