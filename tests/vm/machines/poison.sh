# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=sh
#
# poison - memory that the kernel is told is broken (MADV_HWPOISON), under a pool that serves: a DAX node in pages of 2 MiB,
# memory of the system's own in pages of 4 KiB and of 2 MiB, and a pmem device's page cache.
# qemu: -m 2G
# kernel: memmap=66M!1G memmap=64M!1152M
# programs: tools/pgmap tools/pgmapd tests/vm/vm_holder tests/vm/vm_guard

setup() {
	echo 0x200000 >/sys/bus/nd/devices/region0/align
	ndctl create-namespace -f -e namespace0.0 -m devdax -a 2M
	echo 32 >/proc/sys/vm/nr_hugepages
	[ -b /dev/pmem1 ]
}

case_guarded_pages_of_4k() {
	vm_guard 4K >out
	[ "$(cat out)" = 'short 5242880 lost 4096 memory
short 0 lost 4096 memory
end' ] || { cat out; fail 'not as it should be'; }
}

case_guarded_pages_of_2m() {
	vm_guard 2M >out
	[ "$(cat out)" = 'short 4194304 lost 2097152 memory
short 0 lost 2097152 memory
end' ] || { cat out; fail 'not as it should be'; }
}

# told LINE: the server says that, in one line.
told() {
	until_true grep -q 'lost their data' /tmp/server.err
	says /tmp/server.err "$1"
	[ "$(wc -l </tmp/server.err)" = 1 ] || { cat /tmp/server.err; fail 'not one line'; }
}

# is_lost OFFSET BYTES: that of /f, which has 8 MiB, its holder is told so, and what lies before it can be read.
is_lost() {
	pgmap lost >lost
	says lost "^ *$1 .* data lost  */f  pid $holder (vm_holder)"
	pgmap lost -j /f >lost.json
	says lost.json "\"offset_bytes\": *$1"
	says lost.json "\"len_bytes\": *$2"
	pgmap info -j >info
	says info "\"lost\": *$(($2 / 4096)),"
	expect pin EHWPOISON
	expect "notify 600" 1
	expect 'notify 0' 0
	if pgmap get /f got 2>err; then fail 'all of it was read'; fi
	says err "/f: has lost its data from byte $1 on"
	[ "$(wc -l <err)" = 1 ]
	[ "$(wc -c <got)" = "$1" ]
	if pgmap cat /f 2>/dev/null >cat; then fail 'all of it was read'; fi
	cmp got cat
	random a 1
	pgmap put a /a
	pgmap cat /a | cmp - a
	pgmap rm /a
}

# Nothing is handed out of what was lost: the pool of BYTES has so much less, even when it is asked for all.
stays_out() {
	expect unmap ok
	pgmap rm /f
	[ "$(pgmap lost)" = 'nothing is lost' ]
	pgmap info >info
	says info "^lost  *$(($1 / 4096)) pages"
	if pgmap truncate /all "$2" 2>err; then fail 'bad pages are handed out'; fi
	pgmap truncate /all "$(($2 - $1))"
	pgmap get /all all
	[ "$(tr -d '\0' <all | wc -c)" = 0 ]
	pgmap rm /all
}

case_a_dax_node() {
	serve devdax:/dev/dax0.0
	size=$(($(pgmap info -j | sed -n 's/.*"pages": *\([0-9]*\),.*/\1/p') * 4096))
	holder /f 8
	expect fill filled
	expect 'poison 600' 'SIGBUS poison'
	told "device devdax:/dev/dax0.0: 2 MiB from byte [0-9]* on have lost their data: /f (2 MiB at 2097152), mapped by pid $holder (vm_holder)"
	is_lost 2097152 2097152
	if pgmap repair /f 2>err; then fail 'a DAX node cannot be repaired'; fi
	says err 'its device cannot clear what is bad'
	stays_out 2097152 "$size"
	stop
	[ "$(wc -l </tmp/server.err)" = 1 ]
}

# repaired PAGES: /f is good again, zero where it was lost, and other memory lies there.
repaired() {
	expect pin EHWPOISON
	pgmap repair /f >out
	says out "^$1 pages of 4 KiB are good again, and zero"
	[ "$(pgmap lost)" = 'nothing is lost' ]
	expect pin ok
	if pgmap repair --offset 0 /f --length 1 2>err; then fail 'a length that is no page'; fi
	expect unpin ok
	expect remap ok
	expect check other
	expect fill filled
	expect check same
	pgmap get /f got
	[ "$(wc -c <got)" = 8388608 ]
	expect unmap ok
	pgmap rm /f
	pgmap info >info
	says info '^lost  *0 pages'
}

case_memory_in_pages_of_4k() {
	serve memfd:size=12M,page=4K
	random a 12
	pgmap put a /a # so that the server has wiped, and mapped, what the next file gets
	pgmap rm /a
	holder /f 8
	expect fill filled
	expect 'poison 600' ok
	told "4 KiB from byte [0-9]* on have lost their data: /f (4 KiB at 2457600), mapped by pid $holder (vm_holder)"
	expect check 'SIGBUS poison'
	is_lost 2457600 4096
	repaired 1
	stop
}

case_memory_in_pages_of_2m() {
	serve hugetlb:size=16M,page=2M
	holder /f 8
	expect fill filled
	expect 'poison 600' ok
	told "2 MiB from byte [0-9]* on have lost their data: /f (2 MiB at 2097152), mapped by pid $holder (vm_holder)"
	expect check 'SIGBUS poison'
	is_lost 2097152 2097152
	repaired 512
	stop
}

# Free pages of memory that can be had anew are, when they are needed.
case_memory_that_is_free_again() {
	serve memfd:size=16M,page=4K
	holder /f 8
	expect fill filled
	expect 'poison 600' ok
	told 'have lost their data: /f'
	expect unmap ok
	pgmap rm /f
	pgmap info >info
	says info '^lost  *1 pages'
	pgmap truncate /all 16M
	pgmap get /all all
	[ "$(tr -d '\0' <all | wc -c)" = 0 ]
	pgmap info >info
	says info '^lost  *0 pages'
	pgmap rm /all
	stop
}

# Its page cache is told to be broken, and cannot let go of a page that is mapped: nothing clears that, nor says that it did. Then it can.
case_a_pmem_device() {
	serve pmem:/dev/pmem1
	holder /f 8
	expect fill filled
	echo 'poison 600' >&8
	read -r answer <&9
	echo "poison: $answer"
	told "4 KiB from byte [0-9]* on have lost their data: /f (4 KiB at 2457600), mapped by pid $holder (vm_holder)"
	is_lost 2457600 4096
	if pgmap repair /f 2>err; then fail 'good again'; fi
	says err 'it is bad still'
	expect unmap ok
	pgmap rm /f
	pgmap truncate /all 64M
	pgmap get /all all
	[ "$(tr -d '\0' <all | wc -c)" = 0 ]
	pgmap info >info
	says info '^lost  *0 pages'
	pgmap rm /all
	stop
}

# It is lost all the same; the others go on.
case_a_holder_that_dies() {
	serve devdax:/dev/dax0.0
	pgmap put /vm/bin/pgmap /b
	holder /f 8
	expect fill filled
	expect 'poison 0' 'SIGBUS poison'
	until_true grep -q 'lost their data' /tmp/server.err
	pgmap cat /b | cmp - /vm/bin/pgmap
	killed "$holder"
	until_true sh -c "pgmap lost | grep -q '/f  nobody'" # its mappings are seen to end after it has
	pgmap rm /f /b
	stop
}
