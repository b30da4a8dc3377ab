"""What an MCP tool answered, as the text that a model is shown."""

import json

from mcp.types import (
    AudioContent,
    CallToolResult,
    ContentBlock,
    EmbeddedResource,
    ImageContent,
    ResourceLink,
    TextContent,
    TextResourceContents,
)


def text_of(result: CallToolResult) -> str:
    """Return its texts, a line between them; what is no text is described."""
    if result.content:
        return "\n".join(map(_text, result.content))
    return "nothing" if result.structured_content is None else json.dumps(result.structured_content)


def _text(block: ContentBlock) -> str:
    match block:
        case TextContent():
            return block.text
        case ImageContent() | AudioContent():
            return f"[{block.type}, {block.mime_type}, {_size(block.data)} bytes]"
        case ResourceLink():
            return f"[resource {block.name!r} at {block.uri}]"
        case EmbeddedResource():
            resource = block.resource
            if isinstance(resource, TextResourceContents):
                return resource.text
            return f"[resource {resource.uri}, {resource.mime_type or 'of unknown type'}, {_size(resource.blob)} bytes]"


def _size(base64: str) -> int:
    return len(base64.rstrip("=")) * 3 // 4
