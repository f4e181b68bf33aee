# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=sh
#
# pmem - files on a real DAX file system: ext4 with -o dax=always on /dev/pmem0, on /mnt. No page cache lies between: who maps a
# file maps the device.
# qemu: -m 2G
# kernel: memmap=256M!1G
# programs: tools/pgmap tools/pgmapd tests/system/system_client_suite tests/system/system_lease_end
# programs: tests/system/system_device_file tests/vm/vm_holder

setup() {
	mkfs.ext4 -q -b 4096 /dev/pmem0
	mount -t ext4 -o dax=always /dev/pmem0 /mnt
	mount | grep -q 'on /mnt type ext4 .*dax=always'
}

case_files() {
	serve file:/mnt/pool,size=64M,create
	pgmap info | grep -q 'mapped .* direct, with MAP_SYNC'
	stop
	rm /mnt/pool
	files_come_back_as_they_were file:/mnt/pool,size=64M,create
	files_come_back_as_they_were file:/mnt/pool
}

case_suite() {
	suite client_suite file SYS_DIR=/mnt SUITE_TARGET=socket
}

case_device_file() {
	env PGMAPD=/vm/bin/pgmapd SYS_DIR=/mnt system_device_file
}

case_lease_end() {
	suite lease_end file SYS_DIR=/mnt
}

case_demo() {
	rm -f /mnt/pool
	demo file:/mnt/pool,size=128M,create
}

# The blocks of a file that lies well are mapped by 2 MiB, as the device is.
case_no_page_table_of_small_pages() {
	rm -f /mnt/pool
	serve file:/mnt/pool,size=64M,create
	holder /f 16
	expect faults 8
	kill -KILL "$holder"
}

# From pages of the device to a file on it, past the page cache, and back.
case_direct_io() {
	rm -f /mnt/pool
	serve file:/mnt/pool,size=64M,create
	holder /f 8
	expect fill filled
	expect 'direct /mnt/file' same
	expect unmap ok
	stop
}

# The same file where the file system was told not to: the page cache lies between, and the server says so.
case_without_dax() {
	umount /mnt
	mount -t ext4 -o dax=never /dev/pmem0 /mnt
	rm -f /mnt/pool
	serve file:/mnt/pool,size=16M,create
	pgmap info >info
	says info 'mapped .* through the page cache'
	says info 'persistence .* by the page'
	stop
	umount /mnt
	mount -t ext4 -o dax=always /dev/pmem0 /mnt
	serve file:/mnt/pool
	pgmap info >info
	says info 'mapped .* direct, with MAP_SYNC'
	stop
}

case_the_block_device_is_refused() {
	refused file:/dev/pmem0 'is a device node, not a regular file'
	refused devdax:/dev/pmem0 'is a block device'
}
