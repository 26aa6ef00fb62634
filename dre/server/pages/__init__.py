"""
The pages: what a browser shows of the same workspace, made here whole, so that they work without JavaScript.

`rendering` makes what is told safe and marks it up; `assets` has the files that go with it; each other module is one
page. `static/live.js` only keeps a page that is shown up to date.
"""

from dre.server.pages.errors import refusal
from dre.server.pages.rendering import set_up
from dre.server.pages.routes import ROUTES

__all__ = ["ROUTES", "refusal", "set_up"]
