"""The API's documentation: Swagger UI at `/docs`, the schema at `/schema`; every file comes from here."""

from pathlib import Path

from litestar import Router, get
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin, SwaggerRenderPlugin
from litestar.response import Redirect
from litestar.static_files import create_static_files_router  # pyright: ignore[reportUnknownVariableType]

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


@get(["/", "/docs"], include_in_schema=False)
async def docs() -> Redirect:
    return Redirect("/schema/swagger")


documentation_files: Router = create_static_files_router(path=_URL, directories=[_FILES])
