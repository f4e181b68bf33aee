#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""cli_errors - bad input to the command: the exit code, one line that says what, which and why, and nothing lost."""
import json
import os
import resource
import signal
import subprocess

import cli

HUGE = '/sys/kernel/mm/hugepages/hugepages-1048576kB/free_hugepages'


def refused(pool, device, *words, others=(), layout='linear'):
    more = [word for other in others for word in ('--device', other)]
    _, errors = cli.run('serve', '--device', device, *more, '--layout', layout, '--socket', pool.path('other'), code=1)
    for word in words:
        assert word in errors, f'{device}: no {word!r} in {errors!r}'
    assert not os.path.exists(pool.path('other')), 'a socket is left'


def test_unknown_device(pool):
    refused(pool, 'floppy:size=1M', 'floppy')
    refused(pool, 'memfd:colour=red', 'colour')
    refused(pool, 'memfd', 'memfd')


def test_size_is_no_multiple_of_the_page(pool):
    refused(pool, 'memfd:size=4097,page=4K', '4097')
    refused(pool, 'memfd:size=3M,page=2M', 'size')
    refused(pool, 'memfd:size=0', 'size')


def test_what_is_no_device_of_its_kind(pool):
    refused(pool, 'devdax:/dev/null', '/dev/null', 'no DAX node')
    refused(pool, 'devdax:/etc/passwd', 'is no device')
    refused(pool, 'devdax:' + pool.path('none'), 'No such file')
    refused(pool, 'devdax:/dev/null,align=3X', 'align=3X is no size')
    refused(pool, 'pmem:/dev/null', 'is a character device')
    refused(pool, 'pmem:/dev/null,uuid=1', 'uuid=1 is no uuid')
    refused(pool, 'pci:none', 'is not DOMAIN:BUS:DEV.FN/BAR')
    refused(pool, 'pci:ffff:00:00.0/0', 'no such PCI device')
    refused(pool, 'file:/dev/null', 'is a device node, not a regular file')
    refused(pool, 'limited:memfd:size=1M', 'is LIMITED')


def sized_file(pool, name, size, mode=0o600):
    with open(pool.path(name), 'wb') as file:
        file.truncate(size)
    os.chmod(pool.path(name), mode)
    return 'file:' + pool.path(name)


def test_a_device_twice_in_one_pool(pool):
    device = sized_file(pool, 'twice', 1 << 20)
    os.link(pool.path('twice'), pool.path('hard'))
    os.symlink('twice', pool.path('soft'))
    for name in ('twice', 'hard', 'soft', '../' + os.path.basename(pool.path('')[:-1]) + '/twice'):
        again = 'file:' + pool.path(name)
        refused(pool, device, f'{again}: this pool has it already, as {device}', others=['memfd:size=1M', again])
    assert os.stat(pool.path('twice')).st_size == 1 << 20


def test_devices_that_cannot_take_turns(pool):
    big, small = 'memfd:size=2M,page=4K', 'memfd:size=1M,page=4K'
    refused(pool, big, 'one size', '2097152', '1048576', others=[small], layout='stripe:64K')
    refused(pool, big, 'whole chunks of 12288', others=[big], layout='stripe:12K')
    huge = 'memfd:size=2M,page=2M'
    refused(pool, huge, 'a chunk of 1048576 bytes', 'not whole pages', '2097152', others=[huge], layout='stripe:1M')
    for layout in ('stripe:0', 'stripe:', 'stripe:3K', 'stripe:much', 'mirror'):
        refused(pool, big, f"'{layout}'", 'stripe:SIZE', others=[big], layout=layout)
        refused(pool, big, f"'{layout}'", 'stripe:SIZE', layout=layout)


def test_one_device_takes_turns_in_whole_chunks_too(pool):
    refused(pool, 'memfd:size=2M,page=4K', 'whole chunks of 12288', layout='stripe:12K')
    refused(pool, 'memfd:size=2M,page=4K', 'whole chunks of 1073741824', layout='stripe:1G')


def test_one_bad_device_of_several(pool):
    device = sized_file(pool, 'good', 1 << 20)
    with open(pool.path('good'), 'r+b') as file:
        file.write(b'there')
    refused(pool, device, 'good', 'holds data', others=['memfd:size=1M'])
    refused(pool, 'memfd:size=1M', 'memfd:size=5000', '5000', others=['memfd:size=5000', device])
    refused(pool, device + ',overwrite', '5000', others=['memfd:size=5000'])
    refused(pool, device + ',overwrite', 'no DAX node', others=['devdax:/dev/null'])
    refused(pool, device + ',overwrite', 'whole chunks', layout='stripe:1G')
    sized_file(pool, 'full', 1 << 20)
    with open(pool.path('full'), 'r+b') as file:
        file.write(b'here')
    refused(pool, device + ',overwrite', 'holds data', others=['file:' + pool.path('full')])
    with open(pool.path('good'), 'rb') as file:
        assert file.read(5) == b'there'
    refused(pool, 'file:' + pool.path('new') + ',size=1M,create', '5000', others=['memfd:size=5000'])
    assert not os.path.exists(pool.path('new')), 'a file is left that was made for nothing'


def test_a_limit_on_sizes_is_found_before_any_is_emptied(pool):
    device = sized_file(pool, 'good', 1 << 20)
    with open(pool.path('good'), 'r+b') as file:
        file.write(b'there')
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (16 << 20, hard))
    try:
        refused(pool, device + ',overwrite', 'new,size=64M', 'ulimit -f', others=['file:' + pool.path('new') + ',size=64M,create'])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    with open(pool.path('good'), 'rb') as file:
        assert file.read(5) == b'there'
    assert not os.path.exists(pool.path('new')), 'a file is left that was made for nothing'


def test_no_huge_pages_reserved(pool):
    # More than any machine has reserved: 1 TiB in pages of 1 GiB.
    if os.path.exists(HUGE):
        refused(pool, 'memfd:size=1T,page=1G', '1G')
    refused(pool, 'memfd:size=1T,page=2M', '2M')


def test_socket_in_use(pool):
    _, errors = cli.run('serve', '--device', 'memfd:size=1M', '--socket', pool.socket, code=1)
    assert pool.socket in errors
    pool.run('ls')  # the first one still serves


def test_socket_of_a_dead_server_is_taken_over(pool):
    pool.server.kill()
    pool.server.wait()
    assert os.path.exists(pool.socket)
    _, errors = pool.run('ls', code=1)
    assert 'pgmap serve' in errors and pool.socket in errors
    pool.start()
    pool.run('ls')


def test_pool_full_in_the_middle_of_a_put(pool):
    before = pool.info()
    path, _ = pool.write('big', 80 * cli.MIB)
    _, errors = pool.run('put', path, '/big', code=1)
    assert path in errors and '80 MiB' in errors and '64 MiB' in errors, errors
    with open(path, 'rb') as file:
        _, errors = pool.run('put', '-', '/stream', code=1, stdin=file)
    assert 'the pool is full' in errors and '64 MiB' in errors, errors
    assert pool.run('ls')[0] == b'', 'something is left'
    after = pool.info()
    assert after['free'] == before['free'] == before['pages'], 'the space is not back'


def test_pool_full_keeps_what_was_there(pool):
    path, data = pool.write('old', cli.MIB)
    pool.run('put', path, '/file')
    big, _ = pool.write('big', 80 * cli.MIB)
    pool.run('put', big, '/file', code=1)
    assert pool.run('cat', '/file')[0] == data
    assert pool.run('ls')[0] == b'file\n'


def test_interrupted_put_leaves_nothing(pool):
    for end in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        put = subprocess.Popen([cli.PGMAP, '-s', pool.socket, 'put', '-', '/half'], stdin=subprocess.PIPE, stderr=subprocess.PIPE)
        put.stdin.write(b'x' * (3 * cli.MIB))
        put.stdin.flush()
        while not pool.run('ls')[0].startswith(b'.put-'):  # until it writes
            pass
        put.send_signal(end)
        errors = put.stderr.read().decode()
        assert put.wait() == 1 and errors.count('\n') == 1 and 'interrupted' in errors, errors
        put.stdin.close()
        assert pool.run('ls')[0] == b''
        assert pool.info()['free'] == pool.info()['pages']


def test_killed_put_leaves_no_half_file_under_the_name(pool):
    put = subprocess.Popen([cli.PGMAP, '-s', pool.socket, 'put', '-', '/half'], stdin=subprocess.PIPE)
    put.stdin.write(b'x' * (3 * cli.MIB))
    put.stdin.flush()
    while not pool.run('ls')[0].startswith(b'.put-'):
        pass
    put.kill()
    put.wait()
    put.stdin.close()
    assert b'half' not in pool.run('ls')[0].split()
    pool.run('stat', '/half', code=1)


def test_what_is_not_there(pool):
    for command in (('cat',), ('stat',), ('rm',), ('ls',), ('rm', '-r'), ('who',)):
        _, errors = pool.run(*command, '/no/such', code=1)
        assert errors.startswith(f'pgmap {command[0]}: /no/such: '), errors
    pool.run('rm', '-f', '/no/such')
    _, errors = pool.run('get', '/no/such', pool.path('out'), code=1)
    assert '/no/such' in errors and not os.path.exists(pool.path('out'))
    _, errors = pool.run('put', pool.path('absent'), '/x', code=1)
    assert pool.path('absent') in errors
    _, errors = pool.run('fence', '4711', code=1)
    assert '4711' in errors


def test_directories_where_files_belong(pool):
    pool.run('mkdir', '/d')
    assert 'rm -r' in pool.run('rm', '/d', code=1)[1]
    pool.run('cat', '/d', code=1)
    pool.run('mkdir', '/d', code=1)
    pool.run('put', '-', '/d', code=1, data=b'x')
    pool.run('mkdir', '/none/deep', code=1)
    pool.run('mkdir', '-p', '/d/e/f')
    assert pool.run('ls', '/d/e')[0] == b'f/\n'


def test_what_cannot_be_leaves_the_accounts_as_they_were(pool):
    pool.run('put', '-', '/f', data=b'x' * 5000)
    pool.run('mkdir', '-p', '/d/e')
    bad = [('truncate', '/f', '65M'), ('put', '-', '/f/x'), ('put', '-', '/f/x/y'), ('mkdir', '/f/x'),
           ('put', '-', '/' + 'n' * 256), ('mkdir', '/' + 'n' * 256), ('mkdir', '/d' + '/n' * 600), ('mkdir', '/d/../x'),
           ('mv', '/f', '/f/x'), ('mv', '/d', '/d/e/x'), ('mv', '/f', '/' + 'n' * 256), ('cp', '/f', '/f/x'), ('mv', '/f', '/none/x'),
           ('punch', '/f', '1', '4096'), ('punch', '/f/x', '0', '4096'), ('repair', '/f', '--offset', '12K'),
           ('repair', '/f', '--offset', '8K', '--length', str(2**64 - 4096)), ('rm', '/f/x'), ('rm', '/d/../f'), ('who', '/f/x')]
    before = pool.info()
    assert before['used'] + before['free'] + before['waiting'] == before['pages'] and before['used'] == 2
    for args in bad:
        pool.run(*args, code=1, data=b'bytes')
        after = pool.info()
        same = ('pages', 'used', 'free', 'waiting', 'files', 'dirs', 'live_pages')
        assert [after[key] for key in same] == [before[key] for key in same], f'{args}: {after}'
        assert json.loads(pool.run('who', '-j')[0]) == [], args
    assert pool.run('cat', '/f')[0] == b'x' * 5000


def test_get_into_a_folder_that_refuses(pool):
    pool.run('put', '-', '/f', data=b'bytes')
    _, errors = pool.run('get', '/f', pool.path('none/f'), code=1)
    assert pool.path('none/') in errors
    pool.run('cat', '/f', stdin=None)
    with open('/dev/full', 'wb') as full:
        done = subprocess.run([cli.PGMAP, '-s', pool.socket, 'cat', '/f'], stdout=full, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 1 and done.stderr.count(b'\n') == 1


def test_a_truncate_that_is_refused_leaves_no_file(pool):
    for how in ((), ('--fail',)):
        _, errors = pool.run('truncate', '/new', '65M', *how, code=1)
        assert 'whole pool' in errors, errors
        assert pool.run('ls')[0] == b'', 'a file is left'
    pool.run('truncate', '/new', '8K')
    pool.run('truncate', '/new', '65M', code=1)
    assert json.loads(pool.run('stat', '-j', '/new')[0])['size_bytes'] == 8192


def test_a_ready_descriptor_that_is_not_there(pool):
    with open('/dev/null', 'rb') as reader:
        for number in (77, reader.fileno()):
            done = subprocess.run([os.environ['PGMAPD'], '--device', 'memfd:size=4M', '--socket', pool.path('other'), '--ready-fd', str(number)],
                                  pass_fds=(reader.fileno(),), capture_output=True, text=True, timeout=60, check=False)
            assert done.returncode == 1 and len(done.stderr.splitlines()) == 1 and 'not open for writing' in done.stderr, done
    assert not os.path.exists(pool.path('other'))


def test_a_server_has_a_socket_in_the_file_system(pool):
    _, errors = cli.run('-s', 'embedded:memfd:size=4M', 'serve', '--device', 'memfd:size=4M', code=1)
    assert 'embedded:' in errors and not os.path.exists('embedded:memfd:size=4M'), errors
    ours, theirs = os.pipe()
    with subprocess.Popen([os.environ['PGMAPD'], '--quiet', '--device', 'memfd:size=4M', '--socket', 'unix:' + pool.path('other'),
                           '--ready-fd', str(theirs)], pass_fds=(theirs,)) as server:
        os.close(theirs)
        assert os.read(ours, 1) == b'\0' and os.read(ours, 1) == b''
        os.close(ours)
        cli.run('-s', pool.path('other'), 'ls')
        cli.run('-s', 'unix:' + pool.path('other'), 'stop')
        assert server.wait() == 0


def test_wrong_usage(pool):
    wrong = [(), ('nonsense',), ('ls', '--nonsense'), ('ls', '-x'), ('ls', '/a', '/b'), ('put', 'x'), ('mv', '/a'),
             ('truncate', '/a', 'big'), ('truncate', '/a', '1Q'), ('stop', '--deadline', 'soon'), ('stop', '--deadline'),
             ('stop', '--deadline', '1', '--cancel'),
             ('fence', 'x'), ('fence', '-1'), ('demo', '--seconds', '1'), ('help', 'nonsense'), ('--nonsense',), ('-s',)]
    for args in wrong:
        _, errors = pool.run(*args, code=2)
        assert '--help' in errors, f'{args}: {errors}'


def test_server_not_there(pool):
    for command in (['ls'], ['info'], ['who'], ['stop'], ['rm', '/x'], ['put', '/etc/passwd', '/x']):
        _, errors = cli.run('-s', pool.path('nobody'), *command, code=1)
        assert pool.path('nobody') in errors and 'pgmap serve' in errors, errors
    cli.run('-s', pool.path('nobody'), 'device', 'remove', '0', '--deadline', 'soon', code=2)  # whoever might be there


def test_names_cannot_move_the_cursor(pool):
    _, errors = pool.run('cat', '/a\nb\x1b[2J', code=1)
    assert '\x1b' not in errors and '/a\\nb\\x1b[2J' in errors, errors


cli.main(globals())
