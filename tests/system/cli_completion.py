#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""cli_completion - what bash offers at each place of a command line: the installed script, run as bash runs it."""
import os
import re
import subprocess

import cli

SCRIPT = os.environ['COMPLETION']
# As readline would: the words, the last of them being typed. A candidate a line, with NUL behind it.
ASK = 'set -u; source "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _pgmap "$1"; printf "%s\\0" "${COMPREPLY[@]}"'


def offered(pool, *words):
    done = subprocess.run(['bash', '--norc', '-c', ASK, SCRIPT, cli.PGMAP, *words], capture_output=True, cwd=pool.dir, timeout=60,
                          check=False, env={**os.environ, 'PGMAP_SOCKET': pool.socket})
    assert done.returncode == 0 and done.stderr == b'', (words, done)
    return sorted(os.fsdecode(word) for word in done.stdout.split(b'\0') if word)


def commands():
    return sorted(re.findall(r'^  ([a-z-]+) +\S', cli.run('--help')[0].decode(), re.M))


def options_of(text):
    """Letters and names in --help's list of options."""
    text = text.split('\noptions:\n', 1)[1]
    found = re.findall(r'^  (?:(-\w), |    )(--[a-z-]+)', text, re.M)
    return sorted(word for pair in found for word in pair if word)


def test_commands(pool):
    assert offered(pool, '') == commands()
    assert offered(pool, 'p') == [name for name in commands() if name.startswith('p')]
    assert offered(pool, 'help', '') == commands()
    assert offered(pool, 'help', 'ls', '') == []
    assert offered(pool, 'nonsense', '') == []


def test_options_are_those_of_the_help(pool):
    assert offered(pool, '-') == options_of(cli.run('--help')[0].decode())
    for name in commands():
        wanted = options_of(cli.run(name, '--help')[0].decode())
        assert offered(pool, name, '-') == wanted, name
        assert offered(pool, name, 'x', '-') == wanted, name
    assert offered(pool, 'who', '--w') == ['--watch']
    assert offered(pool, 'ls', '--', '-') == []  # after which nothing is an option


def test_paths_in_the_pool(pool):
    pool.run('mkdir', '-p', '/dir/sub', '/with space', '/döner', '/$(touch x)')
    pool.run('put', '-', '/file', data=b'')
    pool.run('put', '-', '/dir/a\\b', data=b'')
    assert offered(pool, 'ls', '/d') == ['/dir/', '/döner/']
    assert offered(pool, 'ls', '') == ['\\$\\(touch\\ x\\)/', 'dir/', 'döner/', 'file', 'with\\ space/']
    assert offered(pool, 'cat', '/dir/') == ['/dir/a\\\\b', '/dir/sub/']
    assert offered(pool, 'rm', '-r', '/with\\ s') == ['/with\\ space/']
    assert offered(pool, 'rm', '/f', '/f') == ['/file']
    assert offered(pool, 'stat', '-j', '/none/') == []
    assert offered(pool, 'stat', '/file/') == []
    assert offered(pool, 'ls', '/$(touch y)') == []
    assert not os.path.exists(pool.path('x')) and not os.path.exists(pool.path('y'))
    for name in ('ls', 'stat', 'rm', 'cat', 'mkdir', 'mv', 'cp', 'truncate', 'who', 'get'):
        assert offered(pool, name, '/fi') == ['/file'], name


def test_files_here(pool):
    os.makedirs(pool.path('here/with space'))
    with open(pool.path('local'), 'wb'):
        pass
    pool.run('put', '-', '/local-not', data=b'')
    pool.run('put', '-', '/lo', data=b'')
    assert offered(pool, 'put', 'lo') == ['local']
    assert offered(pool, 'put', 'here/') == ['here/with\\ space/']
    assert offered(pool, 'put', 'local', 'lo') == ['lo', 'local', 'local-not']
    assert offered(pool, 'get', 'lo') == ['lo', 'local-not']
    assert offered(pool, 'get', '/lo', 'loc') == ['local', 'local-not']
    assert offered(pool, 'bench', 'lo') == []


def test_the_pool_is_the_one_of_the_command_line(pool):
    pool.run('put', '-', '/file', data=b'')
    assert offered(pool, '-s', pool.socket, 'ls', '/') == ['/file']
    assert offered(pool, 'ls', '--socket', pool.path('none'), '/') == []  # nobody serves there
    assert offered(pool, '-s', pool.path('so')) == sorted(pool.path(name) for name in os.listdir(pool.dir) if name.startswith('so'))
    assert offered(pool, 'serve', '--device', 'x') == []


def test_it_is_registered(pool):
    done = subprocess.run(['bash', '--norc', '-c', 'source "$0"; complete -p pgmap', SCRIPT], capture_output=True, check=True, timeout=60)
    assert done.stdout == b'complete -F _pgmap pgmap\n'


if __name__ == '__main__':
    cli.main(globals())
