"""The table of pages."""

from dre.server.pages import opening, operations
from dre.server.routes import Route

ROUTES: tuple[Route, ...] = (
    Route("GET", "/", operations.operations, "owner", "Operations, newest first", {}),
    Route("GET", "/open/{link}", opening.by_link, "anyone", "Open this browser's session", {}),
    Route("POST", "/open", opening.by_token, "anyone", "Open this browser's session with the token", {}),
)
