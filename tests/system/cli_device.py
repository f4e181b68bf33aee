#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""cli_device - the devices of a pool, by the real command."""
import cli


def devices(pool):
    return cli.json_of(pool, 'device', 'list')


def test_list_says_what_each_is(pool):
    (device,) = devices(pool)
    assert device == {'number': 0, 'device': 'memfd:size=67108864,page=4K', 'state': 'live', 'page_bytes': 4096, 'pages': 16384,
                      'held': 0, 'bad': 0, 'access': 'memory', 'persistence': 'none'}, device
    text = pool.run('device', 'list')[0].decode()
    head, line = text.splitlines()
    assert head.split() == 'NUMBER STATE PAGE SIZE HELD BAD MAPPED PERSISTENCE DEVICE'.split()
    assert line.split() == '0 live 4 KiB 64 MiB 0 B 0 memory none memfd:size=67108864,page=4K'.split(), line


def test_wrong_usage(pool):
    for args in (('device',), ('device', 'lst'), ('device', 'list', 'more'), ('device', '--nonsense')):
        _, errors = pool.run(*args, code=2)
        assert '--help' in errors, errors


cli.main(globals())
