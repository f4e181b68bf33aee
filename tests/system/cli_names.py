#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""cli_names - mv and cp by the rules of mv(1) and cp(1); names of any bytes, in and out; output that nobody takes."""
import filecmp
import json
import os
import pty
import subprocess

import cli

ODD = [b'with space', b'new\nline', b'tab\t', b'-', b'--', b'-r', b'quote\'"', b'back\\slash', 'grün €'.encode(), b'\xff\xfe', b'\x1b[2J',
       b'a\xc3', b'\xc2\x9b', b'\x7f', b'$(x)', b'*', b'..x', b'x' * 255]


def tree(pool, path='/'):
    """{path: size, or None for a directory} of all that is in the pool."""
    found = {}
    for row in json.loads(pool.run('ls', '-j', path)[0]):
        found[row['path']] = None if row['type'] == 'dir' else row['size_bytes']
        if row['type'] == 'dir':
            found.update(tree(pool, row['path']))
    return found


def refused(pool, *args, saying=''):
    """A command that fails, says why, and changes nothing."""
    before, free = tree(pool), pool.info()['free']
    errors = pool.run(*args, code=1)[1]
    assert saying in errors, f'{args}: {errors}'
    assert tree(pool) == before and pool.info()['free'] == free, f'{args}: something has changed'


def test_mv_by_the_rules(pool):
    for name in 'abc':
        pool.run('put', '-', f'/{name}', data=name.encode() * 1000)
    pool.run('mkdir', '-p', '/d/sub', '/e')
    pool.run('mv', '/a', '/b', '/d')
    assert tree(pool) == {'/c': 1000, '/d': None, '/d/a': 1000, '/d/b': 1000, '/d/sub': None, '/e': None}
    pool.run('mv', '/c', '/d/a')  # over a file
    assert pool.run('cat', '/d/a')[0] == b'c' * 1000
    pool.run('mv', '/d/sub', '/new/')  # a directory to a name
    pool.run('mv', '/new', '/e')  # and into another
    assert tree(pool) == {'/d': None, '/d/a': 1000, '/d/b': 1000, '/e': None, '/e/new': None}
    refused(pool, 'mv', '/d/a', '/d/b', '/none', saying='pgmap mkdir')
    refused(pool, 'mv', '/d/a', '/d/b', '/d/b', saying='several sources')
    refused(pool, 'mv', '/d', '/d/x', saying='into itself')
    refused(pool, 'mv', '/d', '/', saying='are the same')
    refused(pool, 'mv', '/d/a', '/d', saying='are the same')
    refused(pool, 'mv', '/d', '/d/a', saying='into itself')
    refused(pool, 'mv', '/e', '/d/a', saying='is a file')
    refused(pool, 'mv', '/', '/e', saying='into itself')
    refused(pool, 'mv', '/d/a', '/none/x', saying='no such file')
    refused(pool, 'mv', '/d/a', '', saying='""')
    refused(pool, 'mv', '/none', '/d', saying='/none')
    pool.run('mkdir', '/d/new')
    pool.run('put', '-', '/d/new/x', data=b'x')
    refused(pool, 'mv', '/e/new', '/d/new/../x', saying='".."')
    pool.run('put', '-', '/e/new/y', data=b'y')
    refused(pool, 'mv', '/e/new', '/d', saying='not empty')
    refused(pool, 'mv', '/d/new', '/e/new', '/', saying='two sources')


def test_cp_of_files(pool):
    for size in (0, 1, 4097, 20 * cli.MIB + 1):
        path, data = pool.write('file', size)
        pool.run('put', path, '/file')
        pool.run('cp', '/file', '/copy')
        assert pool.run('cat', '/copy')[0] == data
        pool.run('rm', '/file')
        assert pool.run('cat', '/copy')[0] == data  # its own pages
    pool.run('mkdir', '/d')
    pool.run('cp', '/copy', '/d/')
    assert pool.run('cat', '/d/copy')[0] == data
    refused(pool, 'cp', '/copy', '/copy', saying='are the same')
    refused(pool, 'cp', '/copy', '/d/../copy', saying='".."')
    pool.run('truncate', '/rest', '20M')
    refused(pool, 'cp', '/copy', '/new', saying='the pool is full: 20')
    pool.run('rm', '/rest')
    refused(pool, 'cp', '/d', '/new', saying='cp -r')
    refused(pool, 'cp', '/copy', '/none/new', saying='/none/new')
    pool.run('rm', '/copy', '/d/copy')
    assert 'copied 0 bytes' in pool.run('put', '-', '/n', data=b'')[1] + pool.run('cp', '-v', '/n', '/m')[1]
    assert tree(pool) == {'/d': None, '/m': 0, '/n': 0}


def test_cp_of_trees(pool):
    pool.run('mkdir', '-p', '/t/a/b', '/t/empty')
    for path in ('/t/top', '/t/a/one', '/t/a/b/two'):
        pool.run('put', '-', path, data=path.encode() * 500)
    below = {path[2:]: size for path, size in tree(pool, '/t').items()}
    pool.run('cp', '-r', '/t', '/u')
    assert {path[2:]: size for path, size in tree(pool, '/u').items()} == below
    pool.run('cp', '-r', '/t/', '/u')  # into a directory that is there
    assert {path[4:]: size for path, size in tree(pool, '/u/t').items()} == below
    pool.run('rm', '/u/t/top', '/u/t/a/one')
    pool.run('cp', '-r', '/t', '/u')  # what it has already, and what it has not
    assert {path[4:]: size for path, size in tree(pool, '/u/t').items()} == below
    assert pool.run('cat', '/u/t/a/b/two')[0] == b'/t/a/b/two' * 500
    refused(pool, 'cp', '-r', '/t', '/t/a', saying='into itself')
    refused(pool, 'cp', '-r', '/t', '/t', saying='into itself')
    refused(pool, 'cp', '-r', '/', '/t/all', saying='into itself')
    refused(pool, 'cp', '-r', '/t/a', '/t/top', saying='is a file')
    pool.run('cp', '-r', '/t/top', '/t/a', '/t/empty')
    assert tree(pool, '/t/empty') == {'/t/empty/top': 3000, '/t/empty/a': None, '/t/empty/a/one': 4000,
                                      '/t/empty/a/b': None, '/t/empty/a/b/two': 5000}


def test_names_of_any_bytes(pool):
    folder = os.fsencode(pool.path('odd'))
    os.mkdir(folder)
    for i, name in enumerate(ODD):
        with open(folder + b'/' + name, 'wb') as file:
            file.write(bytes([i]) * 100)
    pool.run('put', folder, '/odd')
    pool.run('cp', '-r', '/odd', '/copy')
    pool.run('get', '/copy', pool.path('back'))
    match = filecmp.dircmp(folder, os.fsencode(pool.path('back')))
    assert sorted(match.same_files) == sorted(ODD), match.report()
    rows = json.loads(pool.run('ls', '-j', '/odd')[0].decode('utf-8', errors='strict'))
    names = [bytes.fromhex(row['name_hex']) if 'name_hex' in row else row['name'].encode() for row in rows]
    assert names == sorted(ODD), names
    paths = [bytes.fromhex(row['path_hex']) if 'path_hex' in row else row['path'].encode() for row in rows]
    assert paths == [b'/odd/' + name for name in sorted(ODD)]
    assert pool.run('ls', '/odd')[0] == b'\n'.join(sorted(ODD)) + b'\n'  # a pipe gets them as they are
    for name in ODD:
        assert len(json.loads(pool.run('stat', '-j', '--', b'/odd/' + name)[0].decode())) >= 11
        shown = pool.run('stat', b'/odd/' + name)[0]
        assert b'\x1b' not in shown and shown.count(b'\n') == 9 and shown.decode('utf-8', errors='strict')
        pool.run('cp', b'/odd/' + name, b'/copy/new')
        pool.run('mv', b'/copy/new', b'/copy/' + name)
    for name in (b'-', b'--', b'-r'):
        assert pool.run('cat', '--', b'odd/' + name)[0] == pool.run('cat', b'/odd/' + name)[0]
    pool.run('rm', '-r', '/odd', '/copy')
    assert pool.info()['free'] == pool.info()['pages']


def test_a_name_that_looks_like_an_option(pool):
    pool.run('put', '-', '--', '-', data=b'dash')  # the pool's own "-" is a name
    assert pool.run('ls')[0] == b'-\n' and pool.run('cat', '-')[0] == b'dash'
    pool.run('mkdir', '-p', '--', '-p')
    pool.run('mv', '--', '-', '-p')
    assert pool.run('ls', '--', '-p')[0] == b'-\n'
    pool.run('-s', pool.socket, '--', 'rm', '-r', '--', '-p')
    assert pool.run('ls')[0] == b''


def on_a_terminal(pool, *args):
    """What it writes when stdout and stderr are a terminal."""
    master, slave = pty.openpty()
    done = subprocess.Popen([cli.PGMAP, '-s', pool.socket, *args], stdout=slave, stderr=slave, stdin=subprocess.DEVNULL)
    os.close(slave)
    out = b''
    try:
        while more := os.read(master, 65536):
            out += more
    except OSError:  # the other end has closed
        pass
    os.close(master)
    return done.wait(), out


def test_a_terminal_gets_no_control_character_of_a_name(pool):
    pool.run('mkdir', b'/d\x1b[2J\n\xff')
    pool.run('put', '-', b'/f\x1b[2J', data=b'x')
    for code, args in ((0, ['ls']), (0, ['ls', '-l']), (0, ['stat', b'/d\x1b[2J\n\xff']), (1, ['cat', b'/n\x1b[2J']), (2, ['ls', b'-\x1b'])):
        ended, out = on_a_terminal(pool, *args)
        assert ended == code and b'\x1b' not in out and b'\\x1b' in out, (args, ended, out)
    assert on_a_terminal(pool, 'ls')[1] == b'd\\x1b[2J\\n\\xff/\r\nf\\x1b[2J\r\n'


def test_progress_is_shown_on_a_terminal_and_can_be_had_without(pool):
    path, _ = pool.write('f', cli.MIB)
    for args in (['put', path, '/f'], ['get', '/f', pool.path('g')], ['cp', '/f', '/c']):
        code, out = on_a_terminal(pool, *args)
        assert code == 0 and f' {cli.MIB} bytes in '.encode() in out and b'\r\x1b[K' in out, out
        assert on_a_terminal(pool, args[0], '-q', *args[1:]) == (0, b'')
        assert pool.run(*args)[1] == ''


def test_output_that_nobody_takes(pool):
    names = [f'/some-directory-with-a-long-name-{i:04}' for i in range(300)]
    pool.run('mkdir', *names)
    for args in (['ls'], ['ls', '-l'], ['ls', '-j'], ['stat', *names], ['stat', '-j', '/'], ['info'], ['info', '-j'], ['who'], ['who', '-j'],
                 ['--help'], ['--version'], ['--man'], ['ls', '--help'], ['help'], ['help', 'ls']):
        with open('/dev/full', 'wb') as full:
            done = subprocess.run([cli.PGMAP, '-s', pool.socket, *args], stdout=full, stderr=subprocess.PIPE, check=False, timeout=60)
        assert done.returncode == 1 and done.stderr.count(b'\n') == 1 and b'No space left' in done.stderr, (args, done)
        # A reader that has had enough is no error, however much is left.
        reader, writer = os.pipe()
        os.close(reader)
        done = subprocess.run([cli.PGMAP, '-s', pool.socket, *args], stdout=writer, stderr=subprocess.PIPE, check=False, timeout=60)
        os.close(writer)
        assert done.returncode == 0 and done.stderr == b'', (args, done)


def test_names_too_long(pool):
    for args in (['ls'], ['stat'], ['mkdir'], ['mkdir', '-p'], ['rm'], ['cat'], ['mv', '/x'], ['cp', '/x'], ['who']):
        for path in ('/' + 'n' * 256, '/n' * 600, '/' + 'n' * 100000):
            errors = pool.run(*args, path, code=1)[1]
            assert 'too long' in errors and len(errors) < 2500, (args, errors)


def test_fetched_under_a_name_that_nobody_else_has(pool):
    pool.run('put', '-', '/f', data=b'bytes')
    for i in range(1000):  # what another client of this folder, with the same process number, might be writing
        open(pool.path(f'.get-{i}-0'), 'w', encoding='utf-8').close()
    pool.run('get', '/f', pool.path('f'))
    with open(pool.path('f'), 'rb') as file:
        assert file.read() == b'bytes'
    assert len([name for name in os.listdir(pool.dir) if name.startswith('.get-')]) == 1000


if __name__ == '__main__':
    cli.main(globals())
