"""`oddframe token`: a new token for somebody who may look at a site, or change it."""

from __future__ import annotations

import typer


def command(
    name: str = typer.Argument(
        metavar="NAME", show_default=False, help="Who it is for, in the record of changes."
    ),
    role: str = typer.Option("read", "--role", help="read: looks; admin: changes things as well."),
) -> None:
    """Make a token, show it once, and the line of a site's YAML that lets it in.

    What is kept is its hash: a token that is lost cannot be shown again, only replaced. Take the
    line out to shut it out again. Either way the site is started anew.
    """
    from oddframe.errors import ConfigError
    from oddframe.runtime.watch.site import TokenConfig
    from oddframe.web.guard.tokens import hashed, made

    if role not in ("read", "admin"):
        raise ConfigError(f"--role is read or admin, found {role!r}.")
    token = made()
    known = TokenConfig.read({"name": name, "role": role, "hash": hashed(token)})
    print(f"Token of {known.name}, shown this once:\n\n    {token}\n")
    print("In SITE.yaml:\n\nweb:\n  tokens:")
    print(f'    - {{name: "{known.name}", role: {known.role}, hash: "{known.hash}"}}')
