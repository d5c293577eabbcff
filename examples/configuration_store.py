"""A configuration store: one document, a view of it for each component, releases, and the way back.

    python examples/configuration_store.py

A component gets a token whose role sees the document through the component's perspective, and nothing else: it reads and follows what it
needs, is not woken for what it does not, and cannot ask for the rest. A schema keeps nonsense out. A release is a tag, and a rollback is a
version like any other.
"""

from __future__ import annotations

import palimpsest as pal

SHOP = {
    "database": {"host": "db1", "password": "p4ssw0rd", "pool": 5},
    "features": {"search": False},
    "mail": {"retries": 3, "sender": "shop@example.org"},
}
SCHEMA = {
    "type": "object",
    "required": ["database", "features", "mail"],
    "properties": {
        "database": {"properties": {"pool": {"type": "integer", "minimum": 1, "maximum": 50}}},
        "features": {"additionalProperties": {"type": "boolean"}},
    },
}
VIEWS = {
    "mailer": pal.Perspective(name="mailer", documents="configs/*", include=("mail",)),
    "web": pal.Perspective(
        name="web",
        documents="configs/*",
        include=("features", "database"),
        mask={"database.password": pal.Mask()},
        compute={"connections": "database.pool"},
    ),
}


async def set_up(server: pal.Server) -> dict[str, str]:
    """The schema, the perspectives, a role for each of them, and the tokens: of the operator and of the components."""
    async with server.connect() as anybody:  # a store without a token is open, and the first token closes it
        operator = await anybody.tokens.create("ana", roles=["admin"])
    tokens = {"ana": str(operator.text)}
    async with server.connect(token=tokens["ana"]) as client:
        await client.schemas.put("config", documents="configs/*", schema=SCHEMA)
        for name, view in VIEWS.items():
            await client.perspectives.put(view)
            grant = pal.Grant(documents="configs/*", actions=("read", "subscribe"), perspective=name)
            await client.roles.put(name, pal.Role(grants=(grant,)))
            tokens[name] = str((await client.tokens.create(name, roles=[name])).text)
    return tokens


async def release(client: pal.Client, document: str, tag: str) -> int:
    """Gives the newest version the tag. What was tagged before keeps its tag, and stays readable by it."""
    version = (await client.get(document)).version
    await client.tag(document, version, {tag, "released"}, by="ana")
    return version


async def roll_back(client: pal.Client, document: str, tag: str) -> pal.Version:
    """A new version with the value of the one that has the tag."""
    good = await client.get(document, tag=tag)
    return await client.revert(document, to=good.version, by="ana", description=f"back to {tag}")


async def operate(ana: pal.Client, web: pal.Client, mailer: pal.Client) -> None:
    async with web.watch_value("configs/shop") as for_web, mailer.watch_value("configs/shop") as for_mailer:
        print("web   ", for_web.value)
        print("mailer", for_mailer.value)
        print("released as version", await release(ana, "configs/shop", "2031-05"))

        try:
            await ana.update("configs/shop", {"database.pool": 0}, by="ana")
        except pal.errors.SchemaViolation as error:
            print("refused:", error.path, error.rule)
        try:
            await mailer.get("configs/shop", perspective="web")
        except pal.errors.Forbidden as error:
            print("refused:", error.code)

        await ana.update("configs/shop", {"features.search": True}, by="bo", description="search for everybody")
        await ana.update("configs/shop", {"mail.retries": 9, "database.pool": 50}, by="bo", description="more of all")
        await for_mailer.changed()  # the one of the two changes that it can see
        print("mailer", for_mailer.value, "at version", for_mailer.version)

        back = await roll_back(ana, "configs/shop", "2031-05")
        while for_web.version != back.version:
            await for_web.changed()
        print("web   ", for_web.value)
        print("mailer", await for_mailer.changed(), "at version", for_mailer.version)

    await ana.update("configs/shop", {"features.search": True}, by="bo", description="search, and nothing else")
    print("released as version", await release(ana, "configs/shop", "2031-06"))
    for path, version in (await ana.blame("configs/shop")).items():
        if version.version > 1:
            print(f"{path} was set by {version.by} in version {version.version}: {version.description}")
    async for version in ana.history("configs/shop", tags={"released"}):
        print("version", version.version, "is", *sorted(version.tags))


async def main() -> None:
    async with pal.Server.memory() as server:
        tokens = await set_up(server)
        async with (
            server.connect(token=tokens["ana"]) as ana,
            server.connect(token=tokens["web"]) as web,
            server.connect(token=tokens["mailer"]) as mailer,
        ):
            await ana.create("configs/shop", SHOP, by="ana", description="from the old file")
            await operate(ana, web, mailer)


if __name__ == "__main__":
    pal.run(main)
