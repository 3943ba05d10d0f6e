"""What `identity dev` prints when everything is ready: the whole story, in commands to copy."""

from __future__ import annotations

import shlex

from rich.console import Console

Story = list[tuple[str, str]]
"""Pairs of a comment and a shell command."""


def print_story(issuer: str, resource_url: str, story: Story, authority: str = "") -> None:
    """Prints addresses and the story on standard output; lines are never wrapped, so that they can be copied. `authority`
    is the file of the certificate authority, where there is one."""
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"\n[bold]The identity server is ready.[/bold]   {issuer}   (Swagger: {issuer}/docs)")
    console.print(
        f"A service that trusts it is ready.  {resource_url}   (Swagger: {resource_url}/docs, button Authorize)\n"
    )
    if authority:
        _print_trust(console, authority)
    console.print(
        "People: [bold]alice[/bold] / wonderland (may read orders), [bold]bob[/bold] / builder (may write them too)."
    )
    console.print("Paste the story into another terminal:\n")
    for comment, command in story:
        if comment:
            console.print(f"[dim]# {comment}[/dim]")
        console.print(command, markup=False)
    console.print("\n[dim]Ctrl-C stops everything; the next start goes on where this one ended.[/dim]")


def _print_trust(console: Console, authority: str) -> None:
    console.print(f"Both speak https. Who vouches for them, on loopback only: [bold]{authority}[/bold]. To trust it:")
    for whom, how in (
        ("curl", f"--cacert {authority}"),
        ("Node.js", f"NODE_EXTRA_CA_CERTS={authority}"),
        ("Python, Go", f"SSL_CERT_FILE={authority}   (in the place of the system's)"),
        ("browsers", "import it as an authority, in their settings"),
    ):
        console.print(f"  {whom:<11} {how}", markup=False)
    console.print()


def story_of(issuer: str, resource_url: str, client_secret: str, command: str, authority: str = "") -> Story:
    """Returns the story; `command` is how to call `identity`. It needs curl and sed besides, and a test runs it."""
    if not authority:
        return _story(issuer, resource_url, client_secret, command)
    told = _story(issuer, resource_url, client_secret, command)
    trusting = [(comment, line.replace("curl -", 'curl --cacert "$CA" -')) for comment, line in told]
    return [("whom curl has to trust", f"CA={shlex.quote(authority)}"), *trusting]


def _story(issuer: str, resource_url: str, client_secret: str, command: str) -> Story:
    return [
        (
            "log in as alice",
            f"TOKENS=$(curl -s {issuer}/token -d grant_type=password -d username=alice -d password=wonderland)",
        ),
        ("keep the two tokens", 'ACCESS=$(echo "$TOKENS" | sed \'s/.*"access_token":"\\([^"]*\\)".*/\\1/\')'),
        ("", 'REFRESH=$(echo "$TOKENS" | sed \'s/.*"refresh_token":"\\([^"]*\\)".*/\\1/\')'),
        ("alice may read orders: 200", f'curl -si {resource_url}/orders -H "Authorization: Bearer $ACCESS"'),
        (
            "but not write them: 403 insufficient_scope",
            f'curl -si {resource_url}/orders -H "Authorization: Bearer $ACCESS" --json \'{{"item":"tea"}}\'',
        ),
        (
            "refresh: a new pair of tokens",
            f'TOKENS=$(curl -s {issuer}/token -d grant_type=refresh_token -d refresh_token="$REFRESH")',
        ),
        ("keep the new refresh token", 'REFRESH=$(echo "$TOKENS" | sed \'s/.*"refresh_token":"\\([^"]*\\)".*/\\1/\')'),
        ("log out", f'curl -si {issuer}/revoke -d token="$REFRESH"'),
        (
            "the session is over: invalid_grant",
            f'curl -s {issuer}/token -d grant_type=refresh_token -d refresh_token="$REFRESH"',
        ),
        (
            "and within a second the service refuses the old access token, which it checks by itself: 401",
            f'sleep 1; curl -si {resource_url}/me -H "Authorization: Bearer $ACCESS"',
        ),
        (
            "a program logs in for itself",
            f"curl -s {issuer}/token -u demo-service:{client_secret} -d grant_type=client_credentials",
        ),
        (
            "rotate the signing keys, once the next one has been shown long enough; nobody notices",
            f"{command} keys rotate --wait",
        ),
    ]
