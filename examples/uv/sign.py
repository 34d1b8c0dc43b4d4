"""Signs words."""

import click
import itsdangerous
from markupsafe import escape


@click.command()
@click.argument("word")
def sign(word):
    """Print WORD and a signature."""
    click.echo(itsdangerous.Signer("not a secret").sign(str(escape(word))))


if __name__ == "__main__":
    sign()
