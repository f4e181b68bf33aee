#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""cli_files - files in and out of a pool by the command, and what it lists."""
import filecmp
import json
import os
import re
import subprocess

import cli


def test_round_trip_of_a_file(pool):
    for size in (0, 1, 4095, 4096, 4097, 3 * cli.MIB + 5, 20 * cli.MIB + 1):
        path, data = pool.write('file', size)
        pool.run('put', path, '/file')
        assert pool.run('cat', '/file')[0] == data
        pool.run('get', '/file', pool.path('back'))
        assert filecmp.cmp(path, pool.path('back'), shallow=False)
        assert pool.run('get', '/file', '-')[0] == data
    assert not [name for name in os.listdir(pool.dir) if name.startswith('.')], 'a temporary file is left'


def test_round_trip_of_standard_input(pool):
    for size in (0, 1, 4 * cli.MIB - 1, 4 * cli.MIB, 4 * cli.MIB + 1, 50 * cli.MIB):
        _, data = pool.write('in', size)
        pool.run('put', '-', '/in', data=data)
        assert pool.run('cat', '/in')[0] == data
        assert json.loads(pool.run('stat', '-j', '/in')[0])['size_bytes'] == size
        pool.run('rm', '/in')
    assert pool.info()['free'] == pool.info()['pages']


def test_round_trip_of_a_tree(pool):
    tree = pool.path('tree')
    os.makedirs(f'{tree}/a/b')
    os.makedirs(f'{tree}/empty')
    for name in ('top', 'a/one', 'a/b/two', 'a/b/with space'):
        with open(f'{tree}/{name}', 'w', encoding='utf-8') as file:
            file.write(name * 1000)
    os.symlink('top', f'{tree}/link')
    os.symlink('..', f'{tree}/circle')
    pool.run('put', tree, '/t')
    assert pool.run('ls', '/t')[0] == b'a/\nempty/\nlink\ntop\n'
    pool.run('get', '/t', pool.path('back'))
    assert pool.run('cat', '/t/link')[0] == b'top' * 1000
    for name in ('top', 'a/one', 'a/b/two', 'a/b/with space', 'link'):
        assert filecmp.cmp(f'{tree}/{name}', pool.path(f'back/{name}'), shallow=False)
    assert os.listdir(pool.path('back/empty')) == []
    pool.run('put', tree, '/t')  # into a directory that is there
    assert b'tree/' in pool.run('ls', '/t')[0].split()
    pool.run('rm', '-r', '/t')
    assert pool.info()['free'] == pool.info()['pages']
    pool.run('put', f'{tree}/.', '/')  # what is in it
    assert pool.run('ls')[0] == b'a/\nempty/\nlink\ntop\n'
    pool.run('rm', '-r', '/')
    assert pool.run('ls')[0] == b''


def test_several_sources_need_a_directory(pool):
    one, _ = pool.write('one', 10)
    two, _ = pool.write('two', 20)
    pool.run('put', one, two, '/d', code=1)
    pool.run('mkdir', '/d')
    pool.run('put', one, two, '/d')
    assert pool.run('ls', '/d')[0] == b'one\ntwo\n'
    pool.run('get', '/d/one', '/d/two', pool.path('none'), code=1)
    os.mkdir(pool.path('out'))
    pool.run('get', '/d/one', '/d/two', pool.path('out'))
    assert sorted(os.listdir(pool.path('out'))) == ['one', 'two']


def test_rename_replace_truncate(pool):
    pool.run('put', '-', '/a', data=b'A' * 10000)
    pool.run('put', '-', '/b', data=b'B')
    pool.run('mv', '/a', '/b')
    assert pool.run('cat', '/b')[0] == b'A' * 10000
    pool.run('truncate', '/b', '5000')
    pool.run('truncate', '/b', '8K')
    assert pool.run('cat', '/b')[0] == b'A' * 5000 + bytes(8192 - 5000)
    pool.run('mkdir', '/d')
    pool.run('mv', '/b', '/d')
    assert pool.run('ls', '/d')[0] == b'b\n'
    pool.run('truncate', '/new', '1M')
    assert pool.run('cat', '/new')[0] == bytes(cli.MIB)


def test_listings_are_json_too(pool):
    pool.run('put', '-', '/f', data=b'x' * 5000)
    pool.run('mkdir', '/d')
    rows = json.loads(pool.run('ls', '-j')[0])
    assert [(r['name'], r['type'], r['path']) for r in rows] == [('d', 'dir', '/d'), ('f', 'file', '/f')]
    assert set(rows[0]) == {'path', 'name', 'type', 'ino', 'size_bytes', 'blocks', 'extents', 'max_order', 'order', 'granule_order', 'mappings', 'nlink',
                            'mtime_ns'}
    assert json.loads(pool.run('ls', '-j', '/f')[0])[0]['size_bytes'] == 5000
    stat = json.loads(pool.run('stat', '-j', '/f')[0])
    assert stat['blocks'] == 2 and stat['mappings'] == 0
    info = pool.info()
    assert info['used'] + info['free'] + info['waiting'] == info['pages'] == 64 * 256
    assert sum(n << order for order, n in enumerate(info['free_by_order'])) == info['free']
    assert info['free_clean'] + info['free_dirty'] + info['free_absent'] == info['free'] and info['keep'] == 0
    assert info['accounts_add_up'] is True and info['state'] == 'live' and info['server_pid'] == pool.server.pid
    assert json.loads(pool.run('who', '-j')[0]) == []
    for args in (['ls', '-l'], ['stat', '/f'], ['info'], ['who']):
        assert pool.run(*args)[0]


def test_order_of_a_file_and_of_what_is_made_in_a_directory(pool):
    def orders(path):
        stat = json.loads(pool.run('stat', '-j', path)[0])
        return stat['order'], stat['max_order']

    pool.run('mkdir', '/d')
    pool.run('order', '64K', '/d')
    pool.run('mkdir', '/d/e')
    pool.run('put', '-', '/d/e/f', data=b'x' * (1 << 20))
    pool.run('put', '-', '/g', data=b'x' * (1 << 20))
    assert orders('/d')[0] == 4 and orders('/d/e/f') == (4, 4) and orders('/g') == (18, 8), (orders('/d/e/f'), orders('/g'))
    pool.run('order', '4K', '/g', '/d/e/f')
    assert orders('/g') == (0, 8)  # what it has stays
    pool.run('truncate', '/g', '2M')
    pool.run('truncate', '/g', '0')
    pool.run('truncate', '/g', '2M')
    assert orders('/g') == (0, 0)
    for args, code, why in ((('3K', '/g'), 2, '3K: no size of a folio'), (('2G', '/g'), 2, 'no size of a folio'),
                            (('4K', '/none'), 1, '/none: '), (('4K', '/g/x'), 1, '/g/x: ')):
        assert why in pool.run('order', *args, code=code)[1], args
    pool.run('rm', '-r', '/d', '/g')


def test_info_says_all_that_there_is(pool):
    header = f'{os.path.dirname(os.path.abspath(__file__))}/../../include/pgmap/client.h'
    with open(header, encoding='utf-8') as file:
        body = file.read().split('struct pgmap_info {')[1].split('};')[0]
    body = re.sub(r'/\*.*?\*/', '', body, flags=re.S)
    fields = [re.sub(r'\[.*', '', name.strip()) for line in re.findall(r'^\s*\w+ ([^;]+);', body, re.M) for name in line.split(',')]
    assert len(fields) > 20 and 'waiting' in fields
    keys = {'granule_order': 'page_bytes', 'clean': 'free_clean', 'dirty': 'free_dirty', 'absent': 'free_absent'}
    pool.run('put', '-', '/f', data=b'x' * 5000)
    info, text = pool.info(), pool.run('info')[0].decode()
    for field in fields:
        assert keys.get(field, field) in info, f'{field}: not in the JSON'
    said = dict(reversed(re.findall(r'^ *(\S+) +(\S.*)$', text, re.M)))  # "free blocks" comes after "free"
    for name in ('used', 'free', 'waiting'):
        assert said[name].startswith(f'{info[name]} pages'), text
    assert info['used'] == 2 and said['size'].startswith(f"{info['used'] + info['free'] + info['waiting']} pages")
    assert said['accounts'] == 'used + free + waiting = size'
    assert str(info['server_pid']) in said['server'] and info['device'] == said['device']


def holder(pool, path):
    """A process that maps path: cat into a pipe that nobody reads."""
    cat = subprocess.Popen([cli.PGMAP, '-s', pool.socket, 'cat', path], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert cat.stdout.read(1)
    return cat


def test_who_names_the_holder_and_stop_waits_for_it(pool):
    pool.run('put', '-', '/f', data=b'x' * (8 * cli.MIB))
    cat = holder(pool, '/f')
    rows = json.loads(pool.run('who', '-j', '/f')[0])
    assert [(r['pid'], r['path'], r['state'], r['pages']) for r in rows] == [(cat.pid, '/f', 'connected', 2048)]
    assert str(cat.pid).encode() in pool.run('who')[0]
    _, errors = pool.run('fence', str(rows[0]['holder_id']), code=1)
    assert 'not dead' in errors
    _, errors = pool.run('stop', '--deadline', '0.2', code=1)
    assert f'pid {cat.pid} ' in errors and '/f' in errors and '--cancel' in errors, errors
    assert pool.info()['state'] == 'draining'
    assert 'draining' in pool.run('cat', '/f', code=1)[1]
    pool.run('stop', '--cancel')
    assert pool.info()['state'] == 'live'
    pool.run('rm', '/f')
    assert pool.info()['pages'] - pool.info()['free'] == 2048  # the name has gone, the pages wait for their holder
    assert '(deleted)' in json.loads(pool.run('who', '-j')[0])[0]['path']
    stop = subprocess.Popen([cli.PGMAP, '-s', pool.socket, 'stop'], stderr=subprocess.PIPE)
    assert len(cat.stdout.read()) == 8 * cli.MIB - 1  # what was mapped is whole
    assert cat.wait() == 0
    assert stop.wait() == 0 and stop.stderr.read() == b''
    assert pool.server.wait() == 0
    assert not os.path.exists(pool.socket)


def test_what_is_lost_and_its_repair(pool):
    pool.write('f', cli.MIB)
    pool.run('put', pool.path('f'), '/f')
    assert pool.run('lost')[0] == pool.run('lost', '/f')[0] == b'nothing is lost\n'
    assert cli.json_of(pool, 'lost', '-j') == [] and pool.info()['lost'] == 0
    assert pool.run('repair', '/f')[0] == b'0 pages of 4 KiB are good again, and zero\n'
    assert 'no such file' in pool.run('lost', '/none', code=1)[1] and 'no such file' in pool.run('repair', '/none', code=1)[1]
    assert 'multiples of 4K' in pool.run('repair', '--offset', '5', '/f', code=1)[1]
    assert 'multiples of 4K' in pool.run('repair', '--length', str(2 * cli.MIB + 5), '/f', code=1)[1]
    assert 'no valid name' in pool.run('repair', '', code=1)[1]
    assert 'no size' in pool.run('repair', '--length', 'x', '/f', code=2)[1]
    assert pool.run('cat', '/f')[0] == open(pool.path('f'), 'rb').read()


def test_a_device_that_is_cut_under_the_server_is_not_its_end(pool):
    device = f'/dev/shm/pgmap-cut-{os.getpid()}'
    pool.end_server()
    try:
        pool.start(f'file:{device},size=16M,create')
        pool.write('f', 4 * cli.MIB)
        pool.run('put', pool.path('f'), '/f')
        os.truncate(device, 0)
        assert 'cannot be read' in pool.run('get', '/f', pool.path('g'), code=1)[1]
        assert not os.path.exists(pool.path('g'))
        pool.run('truncate', '/f', '1000001')  # what is left in its last page is wiped, where there is none
        pool.run('rm', '/f')
        pool.run('put', pool.path('f'), '/f')
        assert pool.run('cat', '/f')[0] == open(pool.path('f'), 'rb').read()
    finally:
        os.unlink(device)


def test_reader_that_goes_away_is_no_error(pool):
    pool.run('put', '-', '/f', data=b'x' * (8 * cli.MIB))
    cat = holder(pool, '/f')
    cat.stdout.close()
    assert cat.wait() == 0 and cat.stderr.read() == b''


def test_verbose_reports_bytes(pool):
    path, _ = pool.write('f', cli.MIB)
    assert f'{cli.MIB} bytes' in pool.run('put', '-v', path, '/f')[1]
    assert f'{cli.MIB} bytes' in pool.run('get', '-v', '/f', pool.path('g'))[1]
    assert pool.run('put', path, '/f')[1] == ''


cli.main(globals())
