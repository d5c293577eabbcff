"""Sessions of an agent: forked where it could go on in two ways, merged with the better one, and cleaned of a tool call that was wrong.

    python examples/agent_sessions.py

A session is a document. Each turn is a version, with who took it and what it was; so the whole course of it can be read, gone back to, and
continued from anywhere. A continuation that is tried is a branch: it costs nothing to make, and nobody else sees it until it is merged.
"""

from __future__ import annotations

from collections.abc import Callable

import palimpsest as pal

SESSION = "sessions/42"
RULES = {"messages": "key:id", "tokens": "sum"}
"""Messages that were added on both sides are all kept, and counters count."""

Model = Callable[[list[dict[str, str]]], str]
"""Answers what was said so far. A real one asks a language model; these are enough to run the example anywhere."""


def formal(messages: list[dict[str, str]]) -> str:
    return f"Dear customer, you asked: '{messages[-1]['text']}' We shall look into it."


def friendly(messages: list[dict[str, str]]) -> str:
    return f"Tomorrow! And you have asked only {len(messages)} time."


async def say(client: pal.Client, role: str, text: str, *, branch: str = "main") -> pal.Version:
    """One message. Its id is the version that it will be: a turn that somebody else took meanwhile makes it VersionConflict."""
    session = await client.get(SESSION, branch=branch)
    message = {"id": f"{branch}-{session.version + 1}", "role": role, "text": text}
    changes = {"messages": pal.Append(message), "tokens": pal.Increment(len(text.split()))}
    return await client.update(SESSION, changes, branch=branch, expect=session.version, by=role, tags={"turn"})


async def call_tool(client: pal.Client, tool: str, facts: dict[str, object]) -> pal.Version:
    """What a tool has found out, as one version that can be taken back by itself."""
    changes = {f"facts.{name}": value for name, value in facts.items()}
    return await client.update(SESSION, changes, by=f"tool:{tool}", tags={"tool-call"}, description=f"{tool} was asked")


async def attempt(client: pal.Client, name: str, model: Model, at: int) -> str:
    """A continuation on a branch of its own, from that version on. Returns what the model said."""
    await client.branch(SESSION, name, at=at, by="orchestrator", description=f"what {model.__name__} says")
    session = await client.get(SESSION, branch=name)
    answer = model(session.value["messages"])
    await say(client, f"agent:{model.__name__}", answer, branch=name)
    return answer


async def converse(client: pal.Client) -> None:
    await client.create(SESSION, {"messages": [], "facts": {}, "tokens": 0}, by="orchestrator")
    asked = await say(client, "user", "When does my parcel arrive?")

    answers = {
        name: await attempt(client, name, model, at=asked.version)
        for name, model in {"try/formal": formal, "try/friendly": friendly}.items()
    }
    for name, answer in answers.items():
        print(f"{name}: {answer}")
    wrong = await call_tool(client, "tracking", {"carrier": "owl post", "day": "never"})  # main goes on meanwhile
    await call_tool(client, "weather", {"rain": True})

    best = min(answers, key=lambda name: len(answers[name]))
    merged = await client.merge(SESSION, source=best, rules=RULES, by="orchestrator", description="the shorter answer")
    print("took", best, "as version", merged.version)
    for name in answers:
        await client.delete_branch(SESSION, name, by="orchestrator")

    undone = await client.undo(SESSION, wrong.version, by="ana", description="that was another parcel")
    session = await client.get(SESSION)
    print("facts after version", undone.version, "are", session.value["facts"])


async def look_back(client: pal.Client) -> None:
    """Who said what, and what each version did; also of the branches that are gone."""
    said = await client.blame(SESSION, path="messages")
    for index, message in enumerate((await client.get(SESSION)).value["messages"]):
        version = said[f"messages.{index}.text"]
        print(f"{version.by} on {version.branch}, version {version.version}: {message['text']}")
    async for version in client.history(SESSION, newest_first=False):
        print(f"{version.version}  {version.by}: {version.description or ', '.join(version.tags) or version.kind.name}")
    then = await client.get(SESSION, version=3)
    print("at version 3, facts were", then.value["facts"])
    print("the other way is still there:", (await client.get(SESSION, branch="try/formal", version=3)).value["tokens"])


async def main() -> None:
    async with pal.Server.memory() as server, server.connect() as client:
        await converse(client)
        await look_back(client)


if __name__ == "__main__":
    pal.run(main)
