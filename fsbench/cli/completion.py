"""`fsbench completion`: shell completion of flags, files and names."""

import re
from collections.abc import Iterator
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

    extend = {"bash": _bash, "zsh": _zsh, "fish": _fish}[shell]
    print(extend(cli.app.generate_completion(shell=shell), cli.app))


# Scripts of cyclopts complete one value per flag, and files only where nothing but a path is allowed. The
# functions below add more values of flags that take several (in bash), and files where a name may be a path.


def _bash(script: str, root: App) -> str:
    """Complete all values of a flag that takes several, and files where no name fits."""
    several = ",".join(_flags_of_several_values(root))
    last_flag = f"""\
  local _flag
  for ((_flag = COMP_CWORD - 1; _flag > 0; _flag--)); do
    [[ "${{COMP_WORDS[_flag]}}" == -* ]] && break
  done
  [[ ",{several}," == *",${{cmd_path[*]}} ${{COMP_WORDS[_flag]}},"* ]] && prev="${{COMP_WORDS[_flag]}}"

"""
    script = script.replace("  # Determine command level", f"{last_flag}  # Determine command level")
    return script.replace("complete -F ", "complete -o bashdefault -o default -F ")


def _zsh(script: str, _: App) -> str:
    """Also complete files for subjects, recipes, heads and task lists."""
    without_action = r"^( +'(?:\*|\d+):(?:[^:'\\]|\\.|'\\'')*)' \\$"
    script = re.sub(without_action, r"\1:_files' \\", script, flags=re.MULTILINE)
    script = re.sub(r":\(((?:erm|nearest-mean) [^)]*)\)", r":{compadd -- \1; _files}", script)
    return script.replace(":tasks:_cyclopts_fsbench_complete", ":tasks:{_cyclopts_fsbench_complete; _files}")


def _fish(script: str, _: App) -> str:
    """Also complete files for recipes, heads and task lists; for subjects, the script already does."""
    script = re.sub(r"(-l (?:head|tasks)) -x ", r"\1 -r -F ", script)
    return script.replace(" -f -a 'erm ", " -F -a 'erm ")


def _flags_of_several_values(app: App, *names: str) -> Iterator[str]:
    """Yield the flags that take several values, each after the names of its command."""
    resolved = app.resolved_commands().items()
    commands = {name: command for name, command in resolved if not name.startswith("-")}
    for name, command in commands.items():
        yield from _flags_of_several_values(command, *names, name)
    for argument in [] if commands else app.assemble_argument_collection():
        if argument.name.startswith("--") and argument.token_count()[1]:
            yield " ".join((*names, argument.name))
