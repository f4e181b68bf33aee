# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=sh
#
# nvdimm - an ACPI NVDIMM of 64 MiB that survives the machine. Its first boot ends as by a power cut; the second looks what is
# there: what was stored through mappings with MAP_SYNC is, and what was written without, and without fsync(), is not.
# qemu: -machine q35,nvdimm=on -m 1G,slots=2,maxmem=2G
# qemu: -object memory-backend-file,id=dimm,share=on,mem-path=FILE,size=64M -device nvdimm,memdev=dimm
# disk: 64
# killed: stored_with_sync
# programs: tools/pgmap tests/vm/vm_holder

# No commit of the journal but those that are asked for.
mount_dax() {
	mount -t ext4 -o dax=always,commit=1000 /dev/pmem0 /mnt
}

case_stored_with_sync() {
	ndctl create-namespace -f -e namespace0.0 -m fsdax -M mem
	mkfs.ext4 -q -b 4096 /dev/pmem0
	mount_dax
	sync
	serve file:/mnt/pool,size=16M,create
	pgmap info >info
	says info 'mapped .* direct, with MAP_SYNC'
	says info 'persistence .* by the cache line'
	holder /f 4
	grep -q '^VmFlags:.* sf' "/proc/$holder/smaps" || fail 'the holder has no mapping with MAP_SYNC'
	expect fill filled
	expect check same
	# The control: a file that nobody has synced.
	head -c 1048576 /dev/zero | tr '\0' 'x' >/mnt/control
	[ "$(wc -c </mnt/control)" = 1048576 ]
}

# The pool was a volatile one, so what its file holds is all that there is to look at.
case_after_the_power_cut() {
	mount_dax
	[ "$(wc -c </mnt/pool)" = 16777216 ]
	filled=$(tr -d '\0' </mnt/pool | wc -c)
	[ "$filled" = 4096 ] || fail "$filled bytes of 4096, 4 of each page"
	[ ! -s /mnt/control ] || fail 'the control is there: nothing was cut'
	refused file:/mnt/pool 'holds data'
	serve file:/mnt/pool,overwrite
	[ "$(pgmap ls / | wc -l)" = 0 ]
	stop
	umount /mnt
}

case_devdax_of_an_nvdimm() {
	ndctl create-namespace -f -e namespace0.0 -m devdax -a 4k
	# A list of bad blocks of ours: one before the node, one in it.
	region=/sys/bus/nd/devices/region0
	before=$(($(cat /sys/bus/dax/devices/dax0.0/resource) - $(cat $region/resource)))
	printf '0 8\n%d 1\n' $((before / 512 + 80)) >list
	mount --bind list $region/badblocks
	ndctl list -NM >ndctl.out
	says ndctl.out '"badblock_count":1,'
	chmod 777 /tmp
	chmod 666 /dev/dax0.0
	if nobody pgmap serve --device devdax:/dev/dax0.0 --socket /tmp/n.sock >log 2>&1; then fail 'nobody may know'; fi
	says log 'has bad blocks, and which pages these are cannot be read: Permission denied'
	serve devdax:/dev/dax0.0
	says /tmp/server.err 'has bad blocks: 1 pages of 4 KiB'
	pgmap info >info
	says info 'mapped .* direct$'
	says info 'persistence .* by the cache line'
	random a 1
	pgmap put a /a
	pgmap cat /a | cmp - a
	stop
}

case_demo_on_an_nvdimm() {
	umount /sys/bus/nd/devices/region0/badblocks || true
	demo devdax:/dev/dax0.0
}
