# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=sh
#
# dax - real /dev/dax nodes of 64 MiB, made of what the kernel was told to take for persistent memory: dax0.0 in pages of 2 MiB,
# dax1.0 in pages of 4 KiB.
# qemu: -m 2G
# kernel: memmap=66M!1G memmap=66M!1152M memmap=64M!1280M
# programs: tools/pgmap tools/pgmapd tests/system/system_client_suite tests/system/system_lease_end tests/system/system_lease_fork tests/vm/vm_holder

setup() {
	for region in 0 1; do # as it comes, their sizes would have to be multiples of 16 MiB
		echo 0x200000 >/sys/bus/nd/devices/region$region/align
	done
	ndctl create-namespace -f -e namespace0.0 -m devdax -a 2M
	ndctl create-namespace -f -e namespace1.0 -m devdax -a 4k
	[ "$(cat /sys/bus/dax/devices/dax0.0/align /sys/bus/dax/devices/dax1.0/align | xargs)" = '2097152 4096' ]
}

case_files_2m() {
	files_come_back_as_they_were devdax:/dev/dax0.0
}

case_files_4k() {
	files_come_back_as_they_were devdax:/dev/dax1.0
}

case_suite_2m() {
	suite client_suite devdax:/dev/dax0.0 SUITE_TARGET=socket SYS_BIG_PAGES=1
}

case_suite_4k() {
	suite client_suite devdax:/dev/dax1.0 SUITE_TARGET=socket
}

case_suite_embedded_4k() {
	suite client_suite devdax:/dev/dax1.0 SUITE_TARGET=embedded
}

case_lease_end_2m() {
	suite lease_end devdax:/dev/dax0.0
}

case_lease_fork_4k() {
	suite lease_fork devdax:/dev/dax1.0 SUITE_TARGET=socket
}

case_demo_2m() {
	demo devdax:/dev/dax0.0
}

case_demo_4k() {
	demo devdax:/dev/dax1.0
}

# The kernel finds and pins pages of a node that this program has not touched yet: those of a file are moved from there, and back.
case_direct_io() {
	mkfs.ext4 -q /dev/pmem2
	mount -t ext4 /dev/pmem2 /mnt
	for node in dax0.0 dax1.0; do
		serve devdax:/dev/$node
		holder /f 8
		expect fill filled
		expect 'direct /mnt/file' same
		expect unmap ok
		stop
	done
	umount /mnt
}

case_no_page_table_of_small_pages() {
	serve devdax:/dev/dax0.0
	holder /f 16
	expect faults 8 # of 2 MiB each
	killed "$holder"
	pgmap rm /f
	stop
	serve devdax:/dev/dax1.0
	holder /f 16
	expect faults 4096
}

case_what_is_no_dax_node_is_refused() {
	refused devdax:/dev/null 'is a device, but no DAX node'
	refused devdax:/dev/pmem2 'is a block device'
	refused devdax:/tmp 'is no device'
	refused devdax:/dev/dax7.0 'No such file'
	refused devdax:/dev/dax0.0,node=9 'node=9: it belongs to node 0'
	number=$(cat /sys/bus/dax/devices/dax0.0/dev)
	mknod /tmp/twin c "${number%:*}" "${number#*:}"
	refused devdax:/tmp/twin 'is a second node of /dev/dax0.0'
	serve devdax:/dev/dax0.0,node=0
	stop
}

case_others_need_permission() {
	chmod 777 /tmp
	if nobody pgmap serve --device devdax:/dev/dax0.0 --socket /tmp/n.sock >/tmp/log 2>&1; then
		fail 'nobody may open it'
	fi
	says /tmp/log 'cannot be opened for reading and writing: Permission denied'
	chmod 666 /dev/dax0.0
	export PGMAP_SOCKET=/tmp/n.sock
	nobody pgmap serve --quiet --device devdax:/dev/dax0.0 &
	until_true pgmap info
	random a 1
	pgmap put a /a
	pgmap cat /a | cmp - a
	pgmap stop
	chmod 600 /dev/dax0.0
}

case_two_servers() {
	serve devdax:/dev/dax0.0
	refused devdax:/dev/dax0.0 'another server has it'
	ln -s /dev/dax0.0 /tmp/link
	refused devdax:/tmp/link 'another server has it'
	random a 1
	pgmap put a /a
	pgmap cat /a | cmp - a
	stop
}

# Its client's child maps the device when both are dead: nobody gets it before that child has gone.
case_a_dead_servers_clients() {
	serve devdax:/dev/dax0.0
	holder /f 8
	expect fill filled
	echo fork >&8
	read -r child <&9
	killed "$server" "$holder"
	refused devdax:/dev/dax0.0 'processes of a dead server still map it'
	killed "$child"
	serve devdax:/dev/dax0.0
	holder /g 60
	expect check zero # of what the first had left
}

case_disabled_and_enabled() {
	daxctl disable-device dax0.0
	refused devdax:/dev/dax0.0 'is disabled: no driver is bound to it'
	daxctl enable-device dax0.0
	serve devdax:/dev/dax0.0
	holder /f 8
	expect check zero
}

unbind() {
	echo "$1" >/sys/bus/dax/drivers/device_dax/unbind
}

bound() {
	[ -e "/sys/bus/dax/devices/$1/driver" ] || echo "$1" >/sys/bus/dax/drivers/device_dax/bind
}

# A node comes to a pool that serves, and leaves it once nobody has pages there; then it can come again.
comes_and_leaves() {
	pgmap device add "devdax:/dev/$1"
	holder /f 8 # more than the memfd has
	expect fill filled
	if pgmap device remove 1 2>/tmp/why; then fail 'a file lies there'; fi
	says /tmp/why /f
	pgmap rm /f
	if pgmap device remove 1 --deadline 1 2>/tmp/why; then fail 'its pages are held'; fi
	says /tmp/why "pid $holder"
	expect check same
	killed "$holder"
	until [ "$(pgmap device list | wc -l)" = 2 ]; do :; done # it was told to leave
	pgmap device add "devdax:/dev/$1"
	pgmap device remove 1
}

case_added_and_removed() {
	serve memfd:size=4M,page=4K
	comes_and_leaves dax0.0
	comes_and_leaves dax1.0
	stop
}

# One that the system has taken away can be removed, too, and comes again once it is back.
case_removed_when_it_has_gone() {
	bound dax1.0
	serve memfd:size=4M,page=4K
	pgmap device add devdax:/dev/dax1.0
	holder /f 8
	expect fill filled
	unbind dax1.0
	until pgmap device list | grep -q gone; do :; done
	pgmap rm /f
	killed "$holder"
	pgmap device remove 1 --deadline 100
	[ "$(pgmap device list | wc -l)" = 2 ]
	random a 1
	pgmap put a /a
	pgmap cat /a | cmp - a
	bound dax1.0
	pgmap device add devdax:/dev/dax1.0
	pgmap rm /a
	stop
}

# Its mappings are there, and touching them is a SIGBUS. The server says what is lost, refuses what needs memory, and goes on
# with the rest; to map a node that was opened after it was unbound would end the kernel.
case_unbound_while_mapped_and_pinned() {
	bound dax0.0
	random a 1
	serve devdax:/dev/dax0.0
	holder /f 8
	expect fill filled
	expect check same
	expect pin ok
	unbind dax0.0
	until_true grep -q 'is gone' /tmp/server.err
	says /tmp/server.err 'device devdax:/dev/dax0.0 is gone (unbound, removed, or a driver'"'"'s now): lost: all bytes of 1 files, 8 MiB'
	expect check SIGBUS
	expect fill SIGBUS
	expect pin ENODEV
	expect faults ENODEV
	expect unpin ok
	pgmap info >info
	says info 'devdax:/dev/dax0.0 (gone)'
	pgmap ls / | grep -q f
	if pgmap put a /a 2>err; then fail 'put where there is no memory'; fi
	says err "the pool's device is gone"
	if pgmap cat /f 2>err; then fail 'bytes that are lost'; fi
	if pgmap stop --deadline 0 2>err; then fail 'drained under a holder'; fi
	says err "pid $holder"
	pgmap stop --cancel
	expect pin ENODEV
	expect unmap ok
	pgmap rm /f
	stop
	[ "$(wc -l </tmp/server.err)" = 1 ]
}

# A holder's fork is followed by a new lease, of a device that is gone.
case_unbound_under_a_fork() {
	bound dax0.0
	serve devdax:/dev/dax0.0
	holder /f 8
	expect fill filled
	echo fork >&8
	read -r child <&9
	unbind dax0.0
	until_true grep -q 'is gone' /tmp/server.err
	expect unmap ok
	kill -KILL "$child" "$holder"
	stop
}

case_bound_again() {
	bound dax0.0
	files_come_back_as_they_were devdax:/dev/dax0.0
}

case_unbound_while_idle() {
	bound dax0.0
	serve devdax:/dev/dax0.0
	unbind dax0.0
	until_true grep -q 'is gone' /tmp/server.err
	[ "$(pgmap ls / | wc -l)" = 0 ]
	bound dax0.0 # too late for this server
	pgmap info >info
	says info 'devdax:/dev/dax0.0 (gone)'
	refused devdax:/dev/dax0.0 'another server has it'
	stop
	serve devdax:/dev/dax0.0
	holder /f 60
	expect check zero
}

# Nobody tells a pool of one program: it finds out.
case_unbound_under_an_embedded_pool() {
	bound dax0.0
	export PGMAP_SOCKET=embedded:devdax:/dev/dax0.0
	holder /f 8
	expect fill filled
	expect more ok
	unbind dax0.0
	expect check SIGBUS
	expect faults ENXIO # the kernel's
	expect more ENXIO
	expect unmap ok
	bound dax0.0
}
