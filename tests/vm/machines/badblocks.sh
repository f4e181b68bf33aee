# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=sh
#
# badblocks - blocks of persistent memory that the kernel finds bad, before a pool has them and while it serves. Two ACPI NVDIMMs of
# 64 MiB: /dev/pmem0, raw, and a DAX node on the other. The machine check is a record that the kernel's own injector writes (mce-inject,
# "sw"); what follows is the kernel's: the NVDIMM's driver adds the address to its lists, and notifies who polls them.
# Such a block stays bad here: clearing is a call of the NVDIMM's firmware (_DSM), which qemu's has not.
# qemu: -machine q35,nvdimm=on -m 1G,slots=2,maxmem=2G
# qemu: -object memory-backend-ram,id=one,size=64M -device nvdimm,memdev=one
# qemu: -object memory-backend-ram,id=two,size=64M -device nvdimm,memdev=two
# programs: tools/pgmap tests/vm/vm_holder

inject=/sys/kernel/debug/mce-inject
regions=/sys/bus/nd/devices

setup() {
	mount -t debugfs none /sys/kernel/debug
	[ -w $inject/bank ]
	[ -b /dev/pmem0 ]
	ndctl create-namespace -f -e namespace1.0 -m devdax -a 4k -M mem
	[ -c /dev/dax1.0 ]
}

# breaks ADDRESS: the 64 bytes there are bad, says the memory controller: an error of AMD's bank 4, uncorrected (valid, uncorrected,
# enabled, address and MISC valid; ECC error of the memory, on a read by this CPU). Writing the bank is what injects it.
breaks() {
	grep -q AuthenticAMD /proc/cpuinfo || fail 'another vendor has other banks'
	echo sw >$inject/flags
	echo 0 >$inject/cpu
	printf '0x%x' "$1" >$inject/addr
	echo 0x6 >$inject/misc
	echo 0xbc00000000080136 >$inject/status
	echo 4 >$inject/bank
}

# listed FILE SECTOR: the kernel has it on that list.
listed() {
	until_true grep -q "^$2 " "$1"
}

# offset_of NODE PAGE: where on the device that page of the holder's mapping lies.
offset_of() {
	at=$(($2 * 4096))
	grep " $1\$" "/proc/$holder/maps" | while read -r range _ offset _; do
		bytes=$((0x${range#*-} - 0x${range%-*}))
		[ $at -ge $bytes ] || { echo $((0x$offset + at)); break; }
		at=$((at - bytes))
	done
}

# bad_pages NUMBER: of that device, as the list of devices has it.
bad_pages() {
	pgmap device list -j | awk -F '[:,]' -v number="$1" '/"number":/ { this = $2 == number } /"bad":/ && this { print $2 }'
}

# said WORDS: the server has said one line more, and these words are in it.
lines=0
said() {
	until_true [ "$(wc -l </tmp/server.err)" -gt $lines ]
	says /tmp/server.err "$1"
	lines=$((lines + 1))
	[ "$(wc -l </tmp/server.err)" = $lines ] || { cat /tmp/server.err; fail 'more than one line'; }
}

# hears NUMBER KIND NODE LIST BASE FIRST: a pool that has the device hears of its blocks. Byte 0 of the device is at BASE in memory, sector 0 of the
# LIST at FIRST. A page of a file that is mapped is lost then, with all that follows; and a free page is not handed out.
hears() {
	number=$1 spec=$2:$3 node=$3 list=$4 base=$5 first=$6
	had=$(bad_pages "$number")
	holder /f 8
	expect fill filled
	offset=$(offset_of "$node" 600)
	breaks $((base + offset))
	listed "$list" $(((base + offset - first) / 512))
	said "device $spec: 4 KiB from byte $offset on have lost their data: /f (4 KiB at 2457600), mapped by pid $holder (vm_holder)"
	pgmap lost >lost
	says lost "^ *2457600 .* data lost  */f  pid $holder (vm_holder)"
	[ "$(bad_pages "$number")" = $((had + 1)) ]
	expect pin EHWPOISON
	if pgmap get /f got 2>err; then fail 'all of it was read'; fi
	says err '/f: has lost its data from byte 2457600 on'
	[ "$(wc -c <got)" = 2457600 ]
	if pgmap repair /f 2>err; then fail 'qemu has learnt to clear'; fi
	expect unmap ok
	pgmap rm /f
	[ "$(pgmap lost)" = 'nothing is lost' ]
	breaks $((base + offset + 8192))
	said "device $spec: 4 KiB from byte $((offset + 8192)) on have lost their data: no file's"
	[ "$(bad_pages "$number")" = $((had + 2)) ]
}

# stays_out: of the pool's pages all can be had but those that are bad.
stays_out() {
	bad=$(bad_pages 0)
	pages=$(pgmap info -j | sed -n 's/.*"pages": *\([0-9]*\),.*/\1/p')
	if pgmap truncate /all $((pages * 4096)) 2>err; then fail 'bad pages are handed out'; fi
	pgmap truncate /all $(((pages - bad) * 4096))
	pgmap rm /all
}

case_pmem() {
	base=$(($(cat $regions/namespace0.0/resource)))
	breaks $((base + 1048576))
	listed /sys/block/pmem0/badblocks 2048
	ndctl list -NM -n namespace0.0 >ndctl.out
	says ndctl.out '"badblock_count":1,'
	serve pmem:/dev/pmem0
	said 'pmem0 has bad blocks: 1 pages of 4 KiB are not handed out'
	[ "$(bad_pages 0)" = 1 ]
	hears 0 pmem /dev/pmem0 /sys/block/pmem0/badblocks $base $base
	stays_out
	stop
}

case_devdax() {
	first=$(($(cat $regions/region1/resource)))
	base=$(($(cat /sys/bus/dax/devices/dax1.0/resource)))
	breaks $((base + 1048576))
	listed $regions/region1/badblocks $(((base + 1048576 - first) / 512))
	serve devdax:/dev/dax1.0
	said 'dax1.0 has bad blocks: 1 pages of 4 KiB are not handed out'
	hears 0 devdax /dev/dax1.0 $regions/region1/badblocks $base $first
	stays_out
	stop
}

# The pool's first device has no such list. Once the other has left again, the pool hears of it no more.
case_a_device_that_came_later() {
	first=$(($(cat $regions/region1/resource)))
	base=$(($(cat /sys/bus/dax/devices/dax1.0/resource)))
	serve memfd:size=4M,page=4K
	pgmap device add devdax:/dev/dax1.0
	[ "$(bad_pages 1)" = "$(wc -l <$regions/region1/badblocks)" ]
	hears 1 devdax /dev/dax1.0 $regions/region1/badblocks $base $first
	pgmap device remove 1
	breaks $((base + 16777216))
	listed $regions/region1/badblocks $(((base + 16777216 - first) / 512))
	[ "$(pgmap lost)" = 'nothing is lost' ]
	[ "$(wc -l </tmp/server.err)" = $lines ]
	pgmap device add devdax:/dev/dax1.0
	[ "$(bad_pages 1)" = "$(wc -l <$regions/region1/badblocks)" ]
	stop
}
