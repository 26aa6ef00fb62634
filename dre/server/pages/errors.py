"""What a browser is shown when something was refused or went wrong."""

from aiohttp import web

from dre.server import problems
from dre.server.pages.rendering import render


def refusal(request: web.Request, error: Exception) -> web.Response:
    """A page for people; for whoever wants no page, the problem itself."""
    problem = problems.problem_of(error)
    if "text/html" not in request.headers.get("Accept", ""):
        return problems.response(error)
    response = render(request, "refusal.html", status=problem.status, problem=problem)
    response.headers.update(problems.headers(error, problem.status))
    return response
