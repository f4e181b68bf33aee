#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""cli_device - the devices of a pool, by the real command: a list, one more, one less, and all that is refused."""
import json
import os
import pty
import signal
import subprocess

import cli

FIRST = 'memfd:size=67108864,page=4K'
SECOND = 'memfd:size=33554432,page=4K'


def devices(pool):
    return cli.json_of(pool, 'device', 'list')


def states(pool):
    return [device['state'] for device in devices(pool)]


def refused(pool, *args, words=()):
    """One line that begins with what it is about, says why, and has changed nothing."""
    before = devices(pool), pool.info()
    _, errors = pool.run('device', *args, code=1)
    for word in words:
        assert word in errors, f'{args}: no {word!r} in {errors!r}'
    assert (devices(pool), pool.info()) == before, args
    return errors


def held_file(pool, path, size):
    """A file that fills the pool, without a name, that a stopped `cat` maps: it holds pages on both devices."""
    with open(pool.path('data'), 'wb') as file:
        file.truncate(size)
    pool.run('put', pool.path('data'), path)
    cat = subprocess.Popen([cli.PGMAP, '-s', pool.socket, 'cat', path], stdout=subprocess.PIPE)
    while not any(row['pid'] == cat.pid for row in json.loads(pool.run('who', '-j')[0])):
        pass
    pool.run('rm', path)
    return cat


def end(process):
    process.kill()
    process.wait()
    process.stdout.close()


def test_list_says_what_each_is(pool):
    (device,) = devices(pool)
    assert device == {'number': 0, 'device': FIRST, 'state': 'live', 'page_bytes': 4096, 'pages': 16384,
                      'used': 0, 'held': 0, 'bad': 0, 'access': 'memory', 'persistence': 'none'}, device
    text = pool.run('device', 'list')[0].decode()
    head, line = text.splitlines()
    assert head.split() == 'NUMBER STATE PAGE SIZE USED HELD BAD MAPPED PERSISTENCE DEVICE'.split()
    assert line.split() == f'0 live 4 KiB 64 MiB 0 B 0 B 0 memory none {FIRST}'.split(), line


def test_add_and_remove(pool):
    for name in ('1', SECOND, 'size=335'):
        pool.run('device', 'add', SECOND)
        assert [(d['number'], d['device']) for d in devices(pool)] == [(0, FIRST), (1, SECOND)]
        assert pool.info()['pages'] == 24576
        assert SECOND in pool.info()['device']
        data, _ = pool.write('data', 80 * cli.MIB)
        pool.run('put', data, '/big')
        assert pool.run('cat', '/big')[0] == open(data, 'rb').read()
        pool.run('rm', '/big')
        pool.run('device', 'remove', name)
        assert [d['device'] for d in devices(pool)] == [FIRST]
        assert pool.info()['pages'] == 16384


def test_the_first_one_can_go_too(pool):
    pool.run('device', 'add', SECOND)
    pool.run('device', 'remove', '0')
    assert [(d['number'], d['device']) for d in devices(pool)] == [(1, SECOND)]
    pool.run('put', '-', '/f', data=b'bytes')
    pool.run('device', 'add', FIRST)
    assert [(d['number'], d['device']) for d in devices(pool)] == [(0, FIRST), (1, SECOND)]
    assert pool.run('cat', '/f')[0] == b'bytes'


def test_what_cannot_be_added(pool):
    path = pool.path('device')
    refused(pool, 'add', 'floppy:size=1M', words=['floppy:size=1M: ', 'unknown kind'])
    refused(pool, 'add', 'memfd:size=0', words=['memfd:size=0: ', 'size'])
    refused(pool, 'add', 'memfd:size=5000,page=4K', words=['5000', 'multiple'])
    refused(pool, 'add', 'memfd:fd=3', words=['inherited'])
    refused(pool, 'add', 'limited:memfd:size=4M', words=['LIMITED'])
    refused(pool, 'add', 'devdax:/dev/null', words=['/dev/null'])
    refused(pool, 'add', f'file:{path}', words=[path])
    refused(pool, 'add', f'file:{pool.dir}', words=[pool.dir])
    refused(pool, 'add', 'memfd:' + 'x' * 900, words=['too long'])
    with open(path, 'wb') as file:
        file.write(b'precious')
    refused(pool, 'add', f'file:{path},size=1M', words=['overwrite'])
    assert open(path, 'rb').read() == b'precious'
    refused(pool, 'add', 'file:some.img,create,size=4M', words=['file:some.img', 'the whole path'])
    assert not os.path.exists('some.img')


def test_a_server_that_dies_meanwhile(pool):
    pool.run('device', 'add', SECOND)
    cat = held_file(pool, '/held', 80 * cli.MIB)
    remove = subprocess.Popen([cli.PGMAP, '-s', pool.socket, 'device', 'remove', '1'], stderr=subprocess.PIPE)
    while states(pool) != ['live', 'leaving']:
        pass
    _, errors = pool.run('device', 'remove', '0', code=1)
    assert 'the others are being removed' in errors, errors
    pool.end_server()
    errors = remove.communicate()[1].decode()
    assert remove.returncode == 1 and 'the server has gone' in errors and errors.count('\n') == 1, errors
    end(cat)


def test_a_device_twice_and_one_that_another_has(pool):
    spec = f'file:{pool.path("device")},size=4M'
    pool.run('device', 'add', spec + ',create')
    refused(pool, 'add', spec, words=['in this pool already'])
    os.link(pool.path('device'), pool.path('again'))
    refused(pool, 'add', f'file:{pool.path("again")}', words=['in this pool already'])
    other = cli.Pool()
    try:
        refused(other, 'add', spec, words=['another server has it (stop that one'])
        pool.run('device', 'remove', pool.path('device'))
        other.run('device', 'add', spec)
    finally:
        other.end()


def test_too_many(pool):
    for _ in range(7):
        pool.run('device', 'add', 'memfd:size=1M,page=4K')
    refused(pool, 'add', 'memfd:size=1M,page=4K', words=['8 devices'])
    refused(pool, 'remove', 'size=1048576', words=['several devices'])
    for number in range(1, 8):
        pool.run('device', 'remove', str(number))


def test_a_spec_that_is_too_long(pool):
    for length in 128, 1500:
        refused(pool, 'add', 'x' * length, words=['the spec is too long (127 bytes at most)'])


def test_what_cannot_be_removed(pool):
    refused(pool, 'remove', '0', words=['the last'])
    refused(pool, 'remove', '7', words=['7: ', 'no such device'])
    refused(pool, 'remove', '', words=['no such device'])
    refused(pool, 'remove', '0', '--cancel', words=['not being removed'])
    refused(pool, 'remove', '0', '--revoke', words=['yet'])
    pool.run('device', 'add', SECOND)
    data, _ = pool.write('data', 80 * cli.MIB)
    pool.run('put', data, '/some file')
    for number in '01':
        refused(pool, 'remove', number, words=['1 file has ', '/some file', 'remove it'])
    pool.run('rm', '/some file')


def test_a_holder_is_waited_for_and_named(pool):
    pool.run('device', 'add', SECOND)
    cat = held_file(pool, '/held', 80 * cli.MIB)
    _, errors = pool.run('device', 'remove', '1', '--deadline', '0', code=1)
    assert f'pid {cat.pid} (pgmap) holds /held' in errors and '--cancel 1' in errors, errors
    assert states(pool) == ['live', 'leaving']
    _, errors = pool.run('device', 'remove', '1', code=1)
    assert 'being removed already' in errors
    assert {row['pid'] for row in json.loads(pool.run('who', '-j', '--device', '1')[0])} == {cat.pid}
    pool.run('device', 'remove', '1', '--cancel')
    assert states(pool) == ['live', 'live']
    remove = subprocess.Popen([cli.PGMAP, '-s', pool.socket, 'device', 'remove', '1'], stderr=subprocess.PIPE)
    while states(pool) != ['live', 'leaving']:
        pass
    pool.run('device', 'remove', '1', '--cancel')
    errors = remove.communicate()[1].decode()
    assert remove.returncode == 1 and 'called off' in errors and errors.count('\n') == 1, errors
    remove = subprocess.Popen([cli.PGMAP, '-s', pool.socket, 'device', 'remove', '1'], stderr=subprocess.PIPE)
    while states(pool) != ['live', 'leaving']:
        pass
    end(cat)
    assert remove.communicate()[1] == b'' and remove.returncode == 0
    assert states(pool) == ['live']


def on_a_terminal(pool, *args):
    ours, theirs = pty.openpty()
    process = subprocess.Popen([cli.PGMAP, '-s', pool.socket, *args], stderr=theirs)
    os.close(theirs)
    return process, ours


def read_until(terminal, words):
    text = b''
    while words.encode() not in text:
        text += os.read(terminal, 4096)


def test_a_terminal_is_told_for_whom(pool):
    pool.run('device', 'add', SECOND)
    cat = held_file(pool, '/held', 80 * cli.MIB)
    remove, terminal = on_a_terminal(pool, 'device', 'remove', '1')
    read_until(terminal, f'removing: pid {cat.pid}')
    end(cat)
    assert remove.wait() == 0
    os.close(terminal)


def test_what_is_called_off_is_not_begun_anew_on_a_terminal(pool):
    """Called off at the moment at which the terminal was told, and nothing else was being done."""
    pool.run('device', 'add', SECOND)
    cat = held_file(pool, '/held', 80 * cli.MIB)
    for args, doing in ((('stop',), 'draining'), (('device', 'remove', '1'), 'removing')):
        for _ in range(3):
            process, terminal = on_a_terminal(pool, *args)
            read_until(terminal, f'{doing}: pid {cat.pid}')
            process.send_signal(signal.SIGSTOP)
            pool.run(*args, '--cancel')
            process.send_signal(signal.SIGCONT)
            read_until(terminal, 'called off')
            assert process.wait() == 1
            os.close(terminal)
    assert states(pool) == ['live', 'live'] and pool.info()['state'] == 'live', pool.info()
    end(cat)


def test_wrong_usage(pool):
    for args in (('device',), ('device', 'lst'), ('device', 'list', 'more'), ('device', '--nonsense'), ('device', 'add'),
                 ('device', 'remove'), ('device', 'add', 'x', 'y'), ('device', 'remove', '0', '--deadline', 'soon'),
                 ('device', 'remove', '0', '--deadline', '1', '--cancel'), ('device', 'remove', '0', '-j'),
                 ('device', 'list', '--cancel'), ('device', 'add', 'x', '--deadline', '1'), ('who', '/f', '--device', '0')):
        _, errors = pool.run(*args, code=2)
        assert '--help' in errors, errors
    _, errors = pool.run('who', '--device', 'none', code=1)
    assert 'no such device' in errors


cli.main(globals())
