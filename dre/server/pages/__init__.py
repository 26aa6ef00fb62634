"""The pages: what a browser shows of the same workspace, made here whole, so that they work without JavaScript."""

from dre.server.pages.errors import refusal
from dre.server.pages.rendering import set_up
from dre.server.pages.routes import ROUTES

__all__ = ["ROUTES", "refusal", "set_up"]
