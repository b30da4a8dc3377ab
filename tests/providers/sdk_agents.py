"""The smallest agents there are, one for each wire format: real SDKs; what the model calls is not done."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
from anthropic import AsyncAnthropic
from anthropic.types import Message, ToolParam
from openai import AsyncOpenAI
from openai.types.chat import ChatCompletion, ChatCompletionFunctionToolParam, ChatCompletionStreamOptionsParam
from openai.types.responses import FunctionToolParam, Response

from tests.providers.provider import Provider

_MODEL = "a-model"
_PROMPT = "Do it."
_RESULT = "It is done."
_LONGEST = 1000
_MOST_TURNS = 20
_ENDLESS = f"the model called tools {_MOST_TURNS} times in a row"
_SCHEMA: dict[str, object] = {"type": "object", "properties": {"command": {"type": "string"}}}


class Heard(msgspec.Struct):
    """What an agent heard until the model called no more."""

    calls: list[tuple[str, object]] = []
    """Tools and their arguments."""
    text: str = ""
    tokens: list[tuple[int, int]] = []
    """Input and output of each turn, as the wire has them."""


async def through_messages(provider: Provider, *, stream: bool) -> Heard:
    heard, said = Heard(), list[Any]([{"role": "user", "content": _PROMPT}])
    async with AsyncAnthropic(base_url=provider.url, api_key=provider.key, max_retries=0) as client:
        for _ in range(_MOST_TURNS):
            message = await _ask_messages(client, said, stream=stream)
            heard.tokens.append((message.usage.input_tokens, message.usage.output_tokens))
            heard.text += "".join(block.text for block in message.content if block.type == "text")
            calls = [block for block in message.content if block.type == "tool_use"]
            if not calls:
                return heard
            heard.calls += [(call.name, call.input) for call in calls]
            results = [{"type": "tool_result", "tool_use_id": call.id, "content": _RESULT} for call in calls]
            said += [{"role": "assistant", "content": message.content}, {"role": "user", "content": results}]
    raise AssertionError(_ENDLESS)


async def through_chat(provider: Provider, *, stream: bool) -> Heard:
    heard, said = Heard(), list[Any]([{"role": "user", "content": _PROMPT}])
    async with AsyncOpenAI(base_url=f"{provider.url}/v1", api_key=provider.key, max_retries=0) as client:
        for _ in range(_MOST_TURNS):
            completion = await _ask_chat(client, said, stream=stream)
            message = completion.choices[0].message
            assert completion.usage
            heard.tokens.append((completion.usage.prompt_tokens, completion.usage.completion_tokens))
            heard.text += message.content or ""
            calls = [call for call in message.tool_calls or () if call.type == "function"]
            if not calls:
                return heard
            heard.calls += [(call.function.name, msgspec.json.decode(call.function.arguments)) for call in calls]
            said.append(message.to_dict())
            said += [{"role": "tool", "tool_call_id": call.id, "content": _RESULT} for call in calls]
    raise AssertionError(_ENDLESS)


async def through_responses(provider: Provider, *, stream: bool) -> Heard:
    heard, said = Heard(), list[Any]([{"role": "user", "content": _PROMPT}])
    async with AsyncOpenAI(base_url=f"{provider.url}/v1", api_key=provider.key, max_retries=0) as client:
        for _ in range(_MOST_TURNS):
            response = await _ask_responses(client, said, stream=stream)
            assert response.usage
            heard.tokens.append((response.usage.input_tokens, response.usage.output_tokens))
            heard.text += response.output_text
            calls = [item for item in response.output if item.type == "function_call"]
            if not calls:
                return heard
            heard.calls += [(call.name, msgspec.json.decode(call.arguments)) for call in calls]
            said += [item.to_dict() for item in response.output]
            said += [{"type": "function_call_output", "call_id": call.call_id, "output": _RESULT} for call in calls]
    raise AssertionError(_ENDLESS)


AGENTS: Mapping[str, Callable[..., Awaitable[Heard]]] = {
    "messages": through_messages,
    "chat": through_chat,
    "responses": through_responses,
}
"""By wire format."""


async def _ask_messages(client: AsyncAnthropic, said: list[Any], *, stream: bool) -> Message:
    tools: list[ToolParam] = [{"name": "Bash", "input_schema": _SCHEMA}]
    if not stream:
        return await client.messages.create(model=_MODEL, max_tokens=_LONGEST, messages=said, tools=tools)
    async with client.messages.stream(model=_MODEL, max_tokens=_LONGEST, messages=said, tools=tools) as events:
        return await events.get_final_message()


async def _ask_chat(client: AsyncOpenAI, said: list[Any], *, stream: bool) -> ChatCompletion:
    tools: list[ChatCompletionFunctionToolParam] = [
        {"type": "function", "function": {"name": "Bash", "parameters": _SCHEMA}}
    ]
    if not stream:
        return await client.chat.completions.create(model=_MODEL, messages=said, tools=tools)
    options: ChatCompletionStreamOptionsParam = {"include_usage": True}
    async with client.chat.completions.stream(
        model=_MODEL, messages=said, tools=tools, stream_options=options
    ) as events:
        return await events.get_final_completion()


async def _ask_responses(client: AsyncOpenAI, said: list[Any], *, stream: bool) -> Response:
    tools: list[FunctionToolParam] = [{"type": "function", "name": "Bash", "parameters": _SCHEMA, "strict": False}]
    if not stream:
        return await client.responses.create(model=_MODEL, input=said, tools=tools)
    async with client.responses.stream(model=_MODEL, input=said, tools=tools) as events:
        return await events.get_final_response()
