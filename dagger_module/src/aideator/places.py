"""Where things are inside a container, or a sandbox."""

WORKDIR = "/workspace"
CACHE = "/var/cache/aideator"
"""Where setup commands find a folder that survives (`XDG_CACHE_HOME`)."""

MOUNT = "/opt/aideator"
AGENT_MOUNT = "/opt/aideator-agent"
"""What the agent, or the gateway, needs besides the harness."""
MCP_MOUNT = "/opt/aideator-mcp"
"""What it takes to talk to MCP servers."""

RESULT = "/run/aideator/result.json"
"""Where the harness writes `{outcome, exit, seconds}`; no file means that it crashed."""
