# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=sh
#
# kinds - the other kinds of device memory: a raw /dev/pmem0 of 32 MiB, a /dev/pmem1 of 64 MiB for the suite, and a BAR of 4 MiB of a
# PCI device (ivshmem, at 00:04.0).
# qemu: -m 1G
# qemu: -object memory-backend-ram,size=4M,share=on,id=bar -device ivshmem-plain,memdev=bar,addr=4
# kernel: memmap=32M!512M memmap=64M!640M
# programs: tools/pgmap tools/pgmapd tests/system/system_client_suite tests/system/system_lease_end tests/vm/vm_holder

pci=0000:00:04.0
bar=/sys/bus/pci/devices/$pci

# What the documentation says of it: the memory that is mapped is the page cache's, not the device's.
case_pmem_files_are_in_the_page_cache() {
	echo 1 >/proc/sys/vm/drop_caches
	before=$(awk '/^Buffers:/ { print $2 }' /proc/meminfo)
	serve pmem:/dev/pmem0
	pgmap info >info
	says info 'mapped .* through the page cache'
	says info 'persistence .* by the page'
	random a 8
	pgmap put a /a
	after=$(awk '/^Buffers:/ { print $2 }' /proc/meminfo)
	[ $((after - before)) -ge 8192 ] || fail "from $before to $after KiB"
	pgmap get /a a.back
	cmp a a.back
	pgmap rm /a
	pgmap put a /b
	pgmap cat /b | cmp - a
	stop
}

case_pmem_demo() {
	demo pmem:/dev/pmem0
}

case_pmem_suite() {
	suite client_suite pmem:/dev/pmem1 SUITE_TARGET=socket
}

case_pmem_lease_end() {
	suite lease_end pmem:/dev/pmem0
}

case_pmem_others_need_permission() {
	chmod 777 /tmp
	if nobody pgmap serve --device pmem:/dev/pmem0 --socket /tmp/n.sock >log 2>&1; then fail 'nobody may open it'; fi
	says log 'cannot be opened for reading and writing: Permission denied'
	if nobody pgmap serve --device pci:$pci/2 --socket /tmp/n.sock >log 2>&1; then fail 'nobody may open it'; fi
	says log 'BAR 2 cannot be opened for reading and writing .*Permission denied'
	[ "$(cat $bar/enable)" = 0 ]
}

case_pmem_is_had_by_one() {
	serve pmem:/dev/pmem0
	refused pmem:/dev/pmem0 'pmem0: is in use'
	refused devdax:/dev/pmem0 'is a block device'
	if mount -t ext4 /dev/pmem0 /mnt 2>/tmp/mount.log; then fail mounted; fi
	stop
	refused pmem:/dev/pmem0 'has it already' --device pmem:/dev/pmem0
	mknod /dev/twin b $((0x$(stat -c %t /dev/pmem0))) $((0x$(stat -c %T /dev/pmem0)))
	refused pmem:/dev/twin 'a second node of'
	blockdev --setro /dev/pmem0
	refused pmem:/dev/pmem0 'is read-only'
	blockdev --setrw /dev/pmem0
	mkfs.ext4 -q -b 4096 /dev/pmem0
	mount -t ext4 /dev/pmem0 /mnt
	refused pmem:/dev/pmem0 'is in use: mounted'
	umount /mnt
}

# Once its server has been killed, only the lease says that somebody still maps the device.
mapped_after_the_servers_death() {
	serve "$1"
	random a 3
	pgmap put a /a
	rm -f pipe
	mkfifo pipe
	pgmap cat /a >pipe &
	cat=$!
	exec 5<pipe
	[ "$(head -c 1 <&5 | wc -c)" = 1 ]
	killed "$server"
	refused "$1" 'processes of a dead server still map it'
	exec 5<&-
	wait "$cat" || true
	serve "$1"
	[ "$(pgmap ls / | wc -l)" = 0 ]
	stop
}

# The list of bad blocks is one of ours, put over the kernel's. ndctl counts sectors, the server pages.
case_pmem_c6_5_bad_blocks_are_not_handed_out() {
	printf '40960 8\n57351 2\n' >list
	mount --bind list /sys/block/pmem0/badblocks
	ndctl list -NM >ndctl.out
	says ndctl.out '"badblock_count":10'
	serve pmem:/dev/pmem0
	says /tmp/server.err 'has bad blocks: 3 pages of 4 KiB are not handed out'
	head -c 32505856 /dev/zero >a # 31 MiB: it has to lie around them
	pgmap put a /a
	pgmap cat /a | cmp - a
	pgmap info >info
	says info '^used .* 7936 pages'
	says info '^waiting .* 3 pages'
	stop
	umount /sys/block/pmem0/badblocks
}

case_pmem_c7_12_mapped_after_the_servers_death() {
	mapped_after_the_servers_death pmem:/dev/pmem0
}

case_pci_files() {
	refused pci:$pci/0 'not of whole pages'
	refused pci:$pci/1 'has no BAR 1'
	refused pci:0000:00:1f.0/0 'no such PCI device'
	refused limited:pci:$pci/2 'no pool can lie on it'
	[ "$(cat $bar/enable)" = 0 ] || fail 'enabled by one that was refused'
	random a 1
	random b 2
	serve pci:$pci/2
	[ "$(cat $bar/enable)" = 1 ]
	grep -q "pci.*$pci/resource2_wc" "/proc/$server/maps"
	pgmap put a /a
	pgmap info >info
	says info 'mapped .* direct$'
	says info 'persistence .* none'
	pgmap put b /b
	pgmap get /a a.back
	pgmap cat /b | cmp - b
	cmp a a.back
	refused pci:$pci/2 'another server has it'
	stop
	[ "$(cat $bar/enable)" = 0 ]
}

case_pci_demo() {
	demo pci:$pci/2
}

case_pci_c7_12_mapped_after_the_servers_death() {
	mapped_after_the_servers_death pci:$pci/2
	[ "$(cat $bar/enable)" = 1 ] || fail 'the one that was killed had enabled it, and another has disabled it'
}

case_pci_with_a_driver_is_refused() {
	echo pci-stub >$bar/driver_override
	echo $pci >/sys/bus/pci/drivers_probe
	refused pci:$pci/2 'in use by the driver pci-stub'
	echo $pci >/sys/bus/pci/drivers/pci-stub/unbind
	serve pci:$pci/2
	stop
}

# The kernel leaves the mappings of a BAR where they are: here the device answers still.
case_pci_removed_while_mapped() {
	serve pci:$pci/2
	holder /f 1
	expect fill filled
	expect pin EPERM
	echo 1 >$bar/remove
	until_true grep -q 'is gone' /tmp/server.err
	expect check same
	expect unmap ok
	pgmap rm /f
	stop
	refused pci:$pci/2 'no such PCI device'
	echo 1 >/sys/bus/pci/rescan
	serve pci:$pci/2
	holder /f 1
	expect check zero
}

# Its files are others then, without a lock, but its memory lies where it lay, and an old mapping leads there.
case_pci_c6_8_found_again_while_somebody_maps_it() {
	serve pci:$pci/2
	holder /f 1
	expect fill filled
	killed "$server"
	echo 1 >$bar/remove
	echo 1 >/sys/bus/pci/rescan
	refused pci:$pci/2 "pid $holder (vm_holder) maps it"
	killed "$holder"
	serve pci:$pci/2
	holder /f 1
	expect check zero
}

# There, too, its files are others.
case_pci_c6_8_in_another_network() {
	serve pci:$pci/2
	if unshare -n -m sh -c "mount -t sysfs none /sys && timeout 5 pgmap serve --device pci:$pci/2 --socket /tmp/n.sock" >log 2>&1; then
		fail 'it was had twice'
	fi
	says log "maps it"
}

case_pci_that_gets_a_driver_is_gone() {
	serve pci:$pci/2
	holder /f 1
	echo pci-stub >$bar/driver_override
	echo $pci >/sys/bus/pci/drivers_probe
	until_true grep -q 'is gone' /tmp/server.err
	expect pin EPERM
	expect unmap ok
	pgmap rm /f
	stop
	killed "$holder"
	echo $pci >/sys/bus/pci/drivers/pci-stub/unbind
	echo >$bar/driver_override
	serve pci:$pci/2
}

# What is mapped is page cache, which stays for those who have it.
case_pmem_unbound_while_mapped() {
	serve pmem:/dev/pmem0
	holder /f 8
	expect fill filled
	echo namespace0.0 >/sys/bus/nd/drivers/nd_pmem/unbind
	until_true grep -q 'is gone' /tmp/server.err
	expect check same
	expect unmap ok
	stop
	echo namespace0.0 >/sys/bus/nd/drivers/nd_pmem/bind
	until_true [ -b /dev/pmem0 ]
	serve pmem:/dev/pmem0
	holder /f 4
	expect check zero
}
