#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""cli_help - every command has help, and the man page says what the help says; so for the server's own program."""
import os
import re
import subprocess

import cli

COMMANDS = 'serve stop info ls put get cat rm mkdir mv cp truncate punch order stat who fence lost repair device demo bench help'.split()


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


def test_man_pages_come_from_the_same_table(_pool):
    overview = plain(cli.run('--man')[0].decode())
    for name in COMMANDS:
        man = plain(cli.run('--man', name)[0].decode())
        help_text = cli.run(name, '--help')[0].decode()
        synopsis = re.search(r'usage: pgmap \[-s SOCKET\] (.*)', help_text).group(1)
        summary = help_text.splitlines()[0].split(' - ', 1)[1]
        assert f'pgmap [-s SOCKET] {synopsis}' in man, f'{name}: {synopsis}'
        assert f'pgmap-{name} - {summary}' in man
        assert f'pgmap-{name}(1)\n{summary}\n' in overview
        for option in re.findall(r'^ +(?:-\w, )?--([a-z-]+)', help_text, re.M):
            assert f'--{option}' in man, f'{name}: --{option}'
        words = re.sub(r'\s+', ' ', man.replace('.PP', ''))
        for line in help_text.split('\n\n', 2)[2].split('options:')[0].splitlines():
            assert line.strip() in words, f'{name}: {line}'
    assert 'memfd:size=' in plain(cli.run('--man', 'serve')[0].decode())
    cli.run('--man', 'nonsense', code=2)


def pgmapd(*args):
    """Exit code, stdout, stderr of the server's program: for what ends by itself."""
    done = subprocess.run([os.environ['PGMAPD'], *args], capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout, done.stderr


def test_the_server_says_the_same_in_help_and_man(_pool):
    code, text, err = pgmapd('--help')
    assert (code, err) == (0, '') and text == pgmapd('-h')[1]
    code, roff, err = pgmapd('--man')
    man = plain(roff)
    assert (code, err) == (0, '') and man.startswith('.TH PGMAPD 8 ')
    options = re.findall(r'^ +-(\w), --([a-z-]+) +(?:[A-Z]+ +)?(\S.*)$', text, re.M)
    assert [name for _, name, _ in options] == 'device layout socket others ready-fd keep wipe quiet help version'.split(), options
    for letter, name, about in options:
        assert f'-{letter}, --{name}' in man and about in man, f'{name}: {about}'
    assert 'memfd:size=' in text and 'memfd:size=' in man
    for section in 'SYNOPSIS', 'DESCRIPTION', 'FILES', 'EXIT STATUS', 'SEE ALSO':
        assert f'.SH {section}\n' in man, section
    assert re.fullmatch(r'pgmapd \d+\.\d+\.\d+\n', pgmapd('--version')[1])


def test_the_server_names_what_is_wrong_with_its_options(_pool):
    for args, named in ((['--bogus'], '--bogus: no such'), (['--socket'], '--socket: it needs'), (['-qs'], '-qs: it needs'),
                        (['-xq'], '-x: no such'), (['--quiet=1'], '--quiet=1: it takes no'), (['more'], 'more'), (['-q', 'a', 'b'], 'a'),
                        (['--ready-fd', 'x'], 'x'), (['-r', '-1'], '-1'), (['-r', ''], 'descriptor'), (['-r', '1x'], '1x'),
                        (['--keep', '1x'], '1x'), (['-w', '101'], '101'), (['--wipe', ''], 'share')):
        code, out, err = pgmapd(*args)
        assert code == 2 and out == '' and len(err.splitlines()) == 1 and named in err, (args, code, out, err)
        assert err.startswith('pgmapd: ') and 'see: pgmapd --help' in err, (args, err)
    code, _, err = pgmapd('--socket', '/tmp/' + 'x' * 200, '--device', 'memfd:size=1M,page=4K')
    assert code == 1 and '/tmp/xxx' in err and 'say another with --socket' in err, err


def test_version(_pool):
    assert re.fullmatch(r'pgmap \d+\.\d+\.\d+\n', cli.run('--version')[0].decode())


def test_devices_are_named(_pool):
    assert 'memfd:size=' in cli.run('serve', '--help')[0].decode()


cli.main(globals())
