#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""cli_watch - who --watch: blocks in a pipe, a screen on a terminal, and three ways to end that are no failures."""
import errno
import json
import os
import pty
import signal
import subprocess
import termios

import cli

EVER = '--watch=1000000'  # one that waits: whatever ends it does not wait with it


def watch(pool, *args, stdout=subprocess.PIPE):
    return subprocess.Popen([cli.PGMAP, '-s', pool.socket, 'who', *args], stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.PIPE)


def holder(pool, path):
    cat = subprocess.Popen([cli.PGMAP, '-s', pool.socket, 'cat', path], stdout=subprocess.PIPE)
    assert cat.stdout.read(1)
    return cat


def test_blocks_in_a_pipe(pool):
    out = pool.run('who', '--watch=0.01', '--count', '3')[0].decode()
    blocks = out.split('\n\n')
    assert len(blocks) == 3 and '\x1b' not in out, out
    for block in blocks:
        title, text = block.rstrip('\n').split('\n')
        assert title.endswith('  who holds which pages') and text == 'nobody holds any page', block


def test_json_is_a_line_each(pool):
    pool.run('put', '-', '/f', data=b'x' * (8 * cli.MIB))
    cat = holder(pool, '/f')
    lines = pool.run('who', '-j', '-w0.01', '--count', '2', '/f')[0].splitlines()
    assert [[row['pid'] for row in json.loads(line)] for line in lines] == [[cat.pid], [cat.pid]]
    cat.kill()
    cat.wait()


def test_what_changes_is_seen(pool):
    pool.run('put', '-', '/f', data=b'x' * (8 * cli.MIB))
    seen = watch(pool, '-j', '--watch=0.01')
    assert json.loads(seen.stdout.readline()) == []
    cat = holder(pool, '/f')
    while not (rows := json.loads(seen.stdout.readline())):
        pass
    assert rows[0]['pid'] == cat.pid and rows[0]['path'] == '/f'
    cat.kill()
    cat.wait()
    while json.loads(seen.stdout.readline()):
        pass
    seen.send_signal(signal.SIGINT)
    assert seen.wait() == 0


def test_an_interruption_is_the_end(pool):
    for end in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        for every in (EVER, '--watch=0.01'):
            seen = watch(pool, every)
            assert b'who holds' in seen.stdout.readline()
            seen.send_signal(end)
            assert seen.wait() == 0 and seen.stderr.read() == b'', end


def test_a_reader_that_has_gone_is_the_end(pool):
    for every in (EVER, '--watch=0.01'):
        seen = watch(pool, every)
        assert seen.stdout.readline()
        seen.stdout.close()
        assert seen.wait() == 0 and seen.stderr.read() == b''


def test_a_full_disk_is_a_failure(pool):
    with open('/dev/full', 'wb') as full:
        seen = watch(pool, '--watch=0.01', stdout=full)
    assert seen.wait() == 1
    assert seen.stderr.read().count(b'\n') == 1


def test_the_end_of_the_server_is_said(pool):
    seen = watch(pool, '--watch=0.01')
    assert seen.stdout.readline()
    pool.server.kill()
    errors = seen.stderr.read().decode()
    assert seen.wait() == 1 and errors.count('\n') == 1 and 'the server has gone' in errors and 'pgmap serve' in errors, errors
    seen.stdout.close()


def all_of(master):
    """What was written to a terminal, until nobody has it open any more: a read gives what there is yet."""
    out = b''
    while True:
        try:
            out += os.read(master, 65536)
        except OSError as error:
            assert error.errno == errno.EIO
            return out


def test_a_terminal_is_redrawn_and_not_overrun(pool):
    pool.run('put', '-', '/f', data=b'x' * (8 * cli.MIB))
    cats = [holder(pool, '/f') for _ in range(12)]
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (10, 120)) if hasattr(termios, 'tcsetwinsize') else subprocess.run(
        ['stty', 'rows', '10', 'cols', '120'], stdin=slave, check=True)
    seen = watch(pool, '--watch=0.01', '--count', '2', stdout=slave)
    os.close(slave)
    out = all_of(master).decode()
    assert seen.wait() == 0
    os.close(master)
    screens = out.split('\x1b[H\x1b[J')
    assert len(screens) == 3 and screens[0] == '', out
    for screen in screens[1:]:
        assert screen.count('\n') == 9 and screen.endswith('... and 6 more\r\n'), screen
    for cat in cats:
        cat.kill()
        cat.wait()


def test_wrong_numbers(pool):
    for args in (['--watch=0'], ['--watch=soon'], ['--watch=-1'], ['--watch=0.001'], ['--watch', '--count', '0'], ['--watch', '--count', '-1'],
                 ['--watch', '--count', 'x'], ['--watch', '--count', '99999999999999999999'], ['--count', '3']):
        errors = pool.run('who', *args, code=2)[1]
        assert args[-1].removeprefix('--watch=') in errors or '--count' in errors, errors


if __name__ == '__main__':
    cli.main(globals())
