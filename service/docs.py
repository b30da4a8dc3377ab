"""The API's documentation: Swagger UI at `/docs`, the schema at `/schema`; every file comes from here."""

import ast
import inspect
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from types import ModuleType

from litestar import Router, get
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin, SwaggerRenderPlugin
from litestar.openapi.spec import OpenAPI
from litestar.response import Redirect
from litestar.static_files import create_static_files_router  # pyright: ignore[reportUnknownVariableType]

from agent_image.gateway import totals
from service import engine, request, run

_DESCRIBED = (request, run, engine, totals)
"""Modules with structs of requests and answers."""
_FILES = Path(__file__).parent / "web" / "swagger-ui"
_URL = "/static/swagger-ui"


def openapi_config(title: str) -> OpenAPIConfig:
    # Not at "/": there, Litestar would answer what it does not know with a page of its own.
    return OpenAPIConfig(
        title=title,
        version="1",
        path="/schema",
        render_plugins=[
            JsonRenderPlugin(path=["/", "/openapi.json"]),
            SwaggerRenderPlugin(
                path="/swagger",
                js_url=f"{_URL}/swagger-ui-bundle.js",
                css_url=f"{_URL}/swagger-ui.css",
                standalone_preset_js_url=f"{_URL}/swagger-ui-standalone-preset.js",
                favicon=f"<link rel='icon' type='image/png' href='{_URL}/favicon-32x32.png'>",
            ),
        ],
    )


def describe(schema: OpenAPI) -> None:
    """Put in what the docstrings of structs and of their fields say, which are in no schema otherwise."""
    known = schema.components.schemas
    for module in _DESCRIBED:
        for struct in _structs(module):
            found = known.get(struct.name)
            if found and found.properties:
                found.description = ast.get_docstring(struct)
                for field, text in _fields(struct):
                    found.properties[field].description = text


def _structs(module: ModuleType) -> Iterator[ast.ClassDef]:
    return (node for node in ast.parse(inspect.getsource(module)).body if isinstance(node, ast.ClassDef))


def _fields(struct: ast.ClassDef) -> Iterator[tuple[str, str]]:
    """Yield the fields that have a docstring: a string in the statement after theirs."""
    for node, after in pairwise(struct.body):
        match node, after:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                yield name, inspect.cleandoc(text)
            case _:
                pass


@get(["/", "/docs"], include_in_schema=False)
async def docs() -> Redirect:
    return Redirect("/schema/swagger")


documentation_files: Router = create_static_files_router(path=_URL, directories=[_FILES])
