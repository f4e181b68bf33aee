#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""week_overcommit - a system that forbids overcommit (vm.overcommit_memory=2), with little left to promise: a pool far bigger
than that starts, and serves. Run by scripts/with-strict-overcommit, which sets it and takes it back."""
import sys

import cli
import pylib

HUGE = 'size=4T'  # its words alone reserve 8 GiB of addresses; 4 GiB may be promised


def test_a_pool_of_more_than_may_be_promised_serves(pool):
    pool.end_server()
    pool.start(f'file:{pool.path("pool")},{HUGE},create')
    path, data = pool.write('f', 8 * cli.MIB)
    pool.run('put', path, '/f')
    pool.run('cp', '/f', '/g')
    assert pool.run('cat', '/g')[0] == data
    client = pylib.Client(pool.socket)
    mapping = client.map('/h', 16 * cli.MIB)
    mapping.bytes[:] = b'h' * mapping.size
    assert [row['path'] for row in cli.json_of(pool, 'who')] == ['/h']
    info = pool.info()
    assert info['used'] + info['free'] + info['waiting'] == info['pages'] and info['live_pages'] == 16 * cli.MIB // pylib.PAGE, info
    assert mapping.unmap() == 0
    client.disconnect()
    pool.run('rm', '/f', '/g', '/h')
    pool.run('stop')
    assert pool.server.wait() == 0


def test_a_pool_in_one_program(_pool):
    client = pylib.Client('embedded:memfd:size=64M,page=4K')
    mapping = client.map('/f', cli.MIB)
    mapping.bytes[:] = b'f' * cli.MIB
    assert mapping.unmap() == 0
    client.disconnect()


if __name__ == '__main__':
    with open('/proc/sys/vm/overcommit_memory', encoding='ascii') as file:
        if file.read().strip() != '2':
            sys.exit('week_overcommit: run it with scripts/with-strict-overcommit')
    cli.main(globals())
