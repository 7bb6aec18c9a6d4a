"""`fsbench completion`: flags, files and names behind the Tab key."""

from typing import Literal

from cyclopts import App

app = App(name="completion", help_epilogue='Example: eval "$(fsbench completion bash)"')


@app.default
def completion(shell: Literal["bash", "zsh", "fish"], /) -> None:
    """Print the completion script of a shell.

    To keep it, write it to ~/.local/share/bash-completion/completions/fsbench, to _fsbench in a folder of
    zsh's $fpath, or to ~/.config/fish/completions/fsbench.fish.

    Args:
        shell: Name of the shell.
    """
    from fsbench import cli

    script = cli.app.generate_completion(shell=shell)
    if shell == "bash":  # where no name fits, complete file names
        script = script.replace("complete -F ", "complete -o bashdefault -o default -F ")
    print(script)
