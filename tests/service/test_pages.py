"""What the service says of itself."""

import re

import httpx2
from msgspec import structs

from service.settings import Settings
from tests.faulty_engine import FaultyEngine
from tests.service.api import service

Client = httpx2.AsyncClient

ABROAD = re.compile(r"""(?:src|href|url)\s*[=(:]\s*["']?(?:https?:)?//(?!127\.0\.0\.1)[^"'\s)>]+""")


async def test_health_reports_postgres_the_engine_and_what_it_can(client: Client, engine: FaultyEngine):
    for path in ("/health", "/healthcheck", "/api/v1/health"):
        response = await client.get(path)
        assert response.status_code == 200
        report = response.json()
        assert (report["status"], report["postgres"]["ok"], report["engine"]["ok"]) == ("ok", True, True)
        assert report["postgres"]["detail"].startswith("Postgres ")
        assert report["engine"]["capabilities"]["name"] == "local"
    engine.down = True
    for path in ("/health", "/healthcheck", "/api/v1/health"):
        response = await client.get(path)
        assert (response.status_code, response.json()["status"]) == (503, "unavailable")
        assert response.json()["postgres"]["ok"] is True


async def test_health_reports_the_providers_and_which_have_a_key_but_no_key_and_no_url(
    settings: Settings, database_url: str, engine: FaultyEngine
):
    settings = structs.replace(settings, gpt_oss_url="http://gpu.test:8000/v1")
    async with service(settings, database_url, engine, {"ANTHROPIC_API_KEY": "sk-secret"}) as client:
        response = await client.get("/health")
    assert response.json()["providers"] == [
        {"name": "anthropic", "wire": "messages", "has_key": True},
        {"name": "openai", "wire": "responses", "has_key": False},
        {"name": "gpt-oss", "wire": "chat", "has_key": True},
    ]
    for hidden in ("sk-secret", "gpu.test"):
        assert hidden not in response.text


async def test_the_documentation_needs_no_other_host(client: Client):
    for path in ("/", "/docs"):
        page = await client.get(path, follow_redirects=True)
        assert page.status_code == 200
        assert page.headers["content-type"].startswith("text/html")
        assert ABROAD.findall(page.text) == []
        local = re.findall(r"""(?:src|href)=["'](/[^"']+)""", page.text)
        assert local
        for link in local:
            assert (await client.get(link)).status_code == 200, link


async def test_the_schema_describes_every_route(client: Client):
    response = await client.get("/schema")
    assert response.status_code == 200
    paths = response.json()["paths"]
    for path in ("/api/v1/runs", "/api/v1/runs/{run_id}/stream", "/api/v1/runs/{run_id}/select", "/health"):
        assert path in paths


async def test_the_schema_has_examples_of_a_request_and_its_fields(client: Client):
    schema = (await client.get("/schema")).json()
    body = schema["paths"]["/api/v1/runs"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert {"repo_url", "prompt", "agents", "budget", "mcp_servers", "use_claude_code"} <= {
        name for example in body["examples"] for name in example
    }
    parts = schema["components"]["schemas"]
    assert parts["AgentRequest"]["properties"]["agent"]["enum"] == ["builtin", "claude-code", "codex", "command"]
    assert {"usd", "tokens", "calls", "reserve"} == set(parts["Budget"]["properties"])
    assert {"usage", "agent", "model"} <= set(parts["VariationView"]["properties"])
    assert {"usage", "budget", "mcp_servers"} <= set(parts["RunView"]["properties"])


async def test_what_there_is_not_is_a_problem_like_any_other(client: Client):
    for path in ("/nothing", "/api/v1/nothing", "/static/swagger-ui/../../../settings.py"):
        response = await client.get(path)
        assert response.status_code == 404, path
        assert response.headers["content-type"] == "application/problem+json"


async def test_a_page_of_another_name_is_not_answered(client: Client):
    for host in ("evil.test", "127.0.0.1.evil.test", "evil.test:80"):
        response = await client.get("/api/v1/runs", headers={"Host": host})
        assert (response.status_code, response.json()["code"]) == (403, "host.unknown")
    response = await client.get("/api/v1/runs", headers={"Host": "localhost:1", "Origin": "https://evil.test"})
    assert response.status_code == 200
    assert "access-control-allow-origin" not in response.headers


async def test_the_schema_says_what_fields_mean(client: Client):
    schemas = (await client.get("/schema/openapi.json")).json()["components"]["schemas"]
    assert schemas["Budget"]["description"]
    undescribed = [name for name, field in schemas["RunRequest"]["properties"].items() if not field.get("description")]
    assert undescribed == []
    assert schemas["McpServer"]["properties"]["serve"]["description"]
    servers = schemas["RunRequest"]["properties"]["mcp_servers"]["additionalProperties"]
    assert servers == {"$ref": "#/components/schemas/McpServer"}
