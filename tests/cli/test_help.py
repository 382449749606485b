# Licensed under the Apache License, Version 2.0; see LICENSE.
import subprocess
import sys

import pytest

from expansion import cli

COMMANDS = ["describe", "doctor", "list", "serve", "snippet", "try", "validate", "worker-pool"]


def test_the_commands_are_these():
    assert sorted(cli.main.commands) == COMMANDS


def test_help_imports_neither_beam_nor_grpc_nor_numpy():
    script = (
        "import sys; from click.testing import CliRunner; from expansion import cli\n"
        f"for command in {COMMANDS}: assert CliRunner().invoke(cli.main, [command, '--help']).exit_code == 0\n"
        "print({'apache_beam', 'grpc', 'numpy', 'pyarrow', 'rich'} & set(sys.modules))"
    )
    output = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert output.stdout.strip() == "set()"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_and_option_says_what_it_is_for(command):
    found = cli.main.commands[command]
    assert found.help
    assert [option.name for option in found.params if option.param_type_name == "option" and not option.help] == []


def test_shells_complete_commands():
    script = "from expansion import cli; cli.main(prog_name='beam-ml-expansion')"
    environment = {
        "_BEAM_ML_EXPANSION_COMPLETE": "bash_complete",
        "COMP_WORDS": "beam-ml-expansion d",
        "COMP_CWORD": "1",
        "PYTHONPATH": ":".join(sys.path),
    }
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert done.stdout.split() == ["plain,describe", "plain,doctor"]
