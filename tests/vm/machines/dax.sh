# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=sh
#
# dax - real /dev/dax nodes of 64 MiB, made of what the kernel was told to take for persistent memory: dax0.0 in pages of 2 MiB,
# dax1.0 in pages of 4 KiB.
# qemu: -m 2G
# kernel: memmap=66M!1G memmap=66M!1152M
# programs: tools/pgmap

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
