"""`millrace completion`: what makes a shell complete the commands and options of `millrace`."""

import click
from click.shell_completion import get_completion_class

from deploy.cli.examples import examples

PROGRAM, VARIABLE = "millrace", "_MILLRACE_COMPLETE"


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
@examples('eval "$(millrace completion bash)"')
def completion_command(context: click.Context, shell: str) -> None:
    """Print the script that makes SHELL complete what is typed after `millrace`.

    `_MILLRACE_COMPLETE=bash_source millrace` prints the same. For zsh, in ~/.zshrc; for fish, `… | source`.
    """
    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"{shell} is not known")
    click.echo(kind(context.find_root().command, {}, PROGRAM, VARIABLE).source())
