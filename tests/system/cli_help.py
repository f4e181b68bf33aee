#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""cli_help - every command has help, and the man page says what the help says."""
import re

import cli

COMMANDS = 'serve stop info ls put get cat rm mkdir mv truncate stat who fence demo bench help'.split()


def plain(roff):
    """Roff as the words that a reader sees."""
    return re.sub(r'\\f[A-Z]', '', roff).replace('\\-', '-').replace('\\&', '').replace('\\e', '\\')


def test_every_command_is_listed(_pool):
    text = cli.run('--help')[0].decode()
    listed = re.findall(r'^  ([a-z-]+) +\S', text, re.M)
    assert sorted(listed) == sorted(COMMANDS), listed
    assert cli.run('help')[0].decode() == text
    assert 'demo-worker' not in text


def test_every_command_has_help(_pool):
    for name in COMMANDS:
        text = cli.run(name, '--help')[0].decode()
        assert text == cli.run('help', name)[0].decode() == cli.run(name, '-h')[0].decode()
        assert f'usage: pgmap [-s SOCKET] {name}' in text and 'exit codes: 0 done; 1 failed' in text
        assert max(len(line) for line in text.splitlines()) <= 120, f'{name}: a line is too long'


def test_man_page_comes_from_the_same_table(_pool):
    man = plain(cli.run('--man')[0].decode())
    for name in COMMANDS:
        help_text = cli.run(name, '--help')[0].decode()
        synopsis = re.search(r'usage: pgmap \[-s SOCKET\] (.*)', help_text).group(1)
        summary = help_text.splitlines()[0].split(' - ', 1)[1]
        assert synopsis in man, f'{name}: {synopsis}'
        assert summary in man
        for option in re.findall(r'^ +(?:-\w, )?--([a-z-]+)', help_text, re.M):
            assert f'--{option}' in man, f'{name}: --{option}'


def test_version(_pool):
    assert re.fullmatch(r'pgmap \d+\.\d+\.\d+\n', cli.run('--version')[0].decode())


def test_devices_are_named(_pool):
    assert 'memfd:size=' in cli.run('serve', '--help')[0].decode()


cli.main(globals())
