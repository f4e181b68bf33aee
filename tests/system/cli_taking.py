#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""cli_taking - truncate, punch and rm of what somebody holds, by the command: at once, once it is free, or not at all."""
import json
import signal
import subprocess

import cli


def stat(pool, path):
    return json.loads(pool.run('stat', '-j', path)[0])


def make(pool, path, mib=4):
    pool.run('truncate', path, f'{mib}M')


class Holder:
    """Somebody who maps a file of the pool: a cat of it whose pipe nobody reads."""

    def __init__(self, pool, path):
        self.pool, self.path = pool, path
        self.process = subprocess.Popen([cli.PGMAP, '--socket', pool.socket, 'cat', path], stdout=subprocess.PIPE)
        while not json.loads(pool.run('who', '-j', path)[0]):
            pass

    def end(self):
        """It reads to its end, unmaps and goes."""
        data = self.process.stdout.read()
        assert self.process.wait() == 0
        return data


def begin(pool, *args):
    """A command that waits, once it does: a mapping of the file is refused."""
    waiter = subprocess.Popen([cli.PGMAP, '--socket', pool.socket, *args], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    while True:
        done = subprocess.run([cli.PGMAP, '--socket', pool.socket, 'cat', '/f'], capture_output=True, timeout=120, check=False)
        if done.returncode:
            assert b'somebody waits' in done.stderr, done.stderr
            return waiter
        assert waiter.poll() is None, waiter.stderr.read()


def finish(waiter, code):
    errors = waiter.communicate(timeout=120)[1].decode()
    assert waiter.returncode == code, f'{waiter.returncode}: {errors}'
    return errors


def test_fail_answers_at_once_and_says_who(pool):
    make(pool, '/f')
    holder = Holder(pool, '/f')
    before = stat(pool, '/f')
    for command in (('truncate', '--fail', '/f', '0'), ('punch', '--fail', '/f', '0', '4K'), ('rm', '--fail', '/f')):
        _, errors = pool.run(*command, code=1)
        assert f'pid {holder.process.pid} ' in errors and 'in use' in errors and '--wait' in errors, errors
    assert stat(pool, '/f') == before
    holder.end()
    pool.run('punch', '--fail', '/f', '1M', '1M')
    pool.run('truncate', '--fail', '/f', '3M')
    assert stat(pool, '/f')['blocks'] == 2 * 256
    pool.run('rm', '--fail', '/f')
    assert pool.info()['free'] == pool.info()['pages']


def test_wait_ends_with_the_last_unmap(pool):
    for command in (('truncate', '--wait', '3600', '/f', '1M'), ('punch', '--wait', '3600', '/f', '0', '4M'),
                    ('rm', '--wait', '3600', '/f')):
        make(pool, '/f')
        holder = Holder(pool, '/f')
        waiter = begin(pool, *command)
        assert waiter.poll() is None and stat(pool, '/f')['size_bytes'] == 4 * cli.MIB
        assert holder.end() == bytes(4 * cli.MIB)
        finish(waiter, 0)
        info = pool.info()
        assert info['waiting'] == 0 and info['used'] == (256 if command[0] == 'truncate' else 0), info
        pool.run('rm', '-f', '/f')


def test_a_wait_that_ends_in_vain_changes_nothing(pool):
    make(pool, '/f')
    holder = Holder(pool, '/f')
    before = stat(pool, '/f')
    _, errors = pool.run('truncate', '--wait', '0.05', '/f', '0', code=1)
    assert 'still in use' in errors and f'pid {holder.process.pid} ' in errors, errors
    _, errors = pool.run('rm', '--wait', '0', '/f', code=1)
    assert 'still in use' in errors, errors
    assert stat(pool, '/f') == before
    assert pool.run('cat', '/f')[0] == holder.end()


def test_a_waiter_that_is_killed_leaves_nothing_behind(pool):
    make(pool, '/f')
    holder = Holder(pool, '/f')
    waiter = begin(pool, 'truncate', '--wait', '3600', '/f', '0')
    waiter.send_signal(signal.SIGKILL)
    assert waiter.wait() == -signal.SIGKILL
    while subprocess.run([cli.PGMAP, '--socket', pool.socket, 'cat', '/f'], capture_output=True, timeout=120, check=False).returncode:
        pass
    assert stat(pool, '/f')['size_bytes'] == 4 * cli.MIB
    assert holder.end() == bytes(4 * cli.MIB)
    assert stat(pool, '/f')['size_bytes'] == 4 * cli.MIB


def test_a_holder_that_is_killed_ends_the_wait(pool):
    make(pool, '/f')
    holder = Holder(pool, '/f')
    waiter = begin(pool, 'rm', '--wait', '3600', '/f')
    holder.process.kill()
    holder.process.wait()
    finish(waiter, 0)
    assert pool.info()['free'] == pool.info()['pages']


def test_a_drain_ends_the_wait(pool):
    make(pool, '/f')
    holder = Holder(pool, '/f')
    waiter = begin(pool, 'punch', '--wait', '3600', '/f', '0', '4K')
    pool.run('stop', '--deadline', '0', code=1)
    assert 'draining' in finish(waiter, 1)
    pool.run('stop', '--cancel')
    assert len(holder.end()) == 4 * cli.MIB


def test_a_punched_file_reads_as_zero(pool):
    path, data = pool.write('data', 3 * cli.MIB + 5)
    pool.run('put', path, '/f')
    pool.run('punch', '/f', '1M', '1M')
    assert stat(pool, '/f')['blocks'] == 2 * 256 + 1
    assert stat(pool, '/f')['size_bytes'] == len(data)
    assert pool.run('cat', '/f')[0] == data[:cli.MIB] + bytes(cli.MIB) + data[2 * cli.MIB:]
    pool.run('punch', '/f', '3M', '1M')  # beyond the end, too
    assert pool.run('cat', '/f')[0][3 * cli.MIB:] == bytes(5)


def test_wrong_usage_is_told(pool):
    make(pool, '/f')
    assert 'one of them' in pool.run('rm', '--wait', '1', '--fail', '/f', code=2)[1]
    assert 'soon' in pool.run('truncate', '--wait', 'soon', '/f', '0', code=2)[1]
    assert 'many' in pool.run('punch', '/f', 'many', '4K', code=2)[1]
    assert '4 KiB' in pool.run('punch', '/f', '1', '4K', code=1)[1]
    assert '4 KiB' in pool.run('punch', '/f', '0', '0', code=1)[1]
    assert '/none' in pool.run('punch', '/none', '0', '4K', code=1)[1]
    assert '/none' in pool.run('rm', '--fail', '/none', code=1)[1]
    pool.run('rm', '-f', '--fail', '/none')
    assert stat(pool, '/f')['size_bytes'] == 4 * cli.MIB


cli.main(globals())
