# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=sh
#
# devices - a machine of tests/vm, for guest.py: a devdax node of 64 MiB, a raw /dev/pmem1 of 32 MiB and a BAR of 4 MiB, had and
# let go, by turns with the calls that cannot be left out. A case says a line "KIND OURS LIMIT" (ns) for each round.
# qemu: -m 1G
# qemu: -object memory-backend-ram,size=4M,share=on,id=bar -device ivshmem-plain,memdev=bar,addr=4
# kernel: memmap=66M!512M memmap=32M!640M
# programs: bench/bench_device

setup() {
	echo 0x200000 >/sys/bus/nd/devices/region0/align
	ndctl create-namespace -f -e namespace0.0 -m devdax -a 2M
}

# A parameter of the kernel's, of bench/run.
parameter() {
	sed -n "s/.*pgmap\.$1=\([0-9]*\).*/\1/p" /proc/cmdline
}

# compare KIND SPEC PATH
compare() {
	[ -z "$(parameter quick)" ] || export PGMAP_BENCH_QUICK=1
	mkfifo ask.ours answer.ours ask.limit answer.limit
	bench_device open_close "$1:$2" <ask.ours >answer.ours &
	bench_device file "$3" <ask.limit >answer.limit &
	exec 4>ask.ours 5<answer.ours 6>ask.limit 7<answer.limit
	read -r ours <&5
	read -r limit <&7
	[ "$ours $limit" = 'ready ready' ] || fail "$ours; $limit"
	round=0
	while [ $round -lt "$(parameter rounds)" ]; do
		echo go >&4
		read -r ours <&5
		echo go >&6
		read -r limit <&7
		echo "$1 $ours $limit"
		round=$((round + 1))
	done
	exec 4>&- 5<&- 6>&- 7<&-
	rm -f ask.* answer.*
}

case_devdax() { compare devdax /dev/dax0.0 /dev/dax0.0; }
case_pmem() { compare pmem /dev/pmem1 /dev/pmem1; }
case_pci() { compare pci 0000:00:04.0/2 /sys/bus/pci/devices/0000:00:04.0/resource2; }
