# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=sh
#
# hmem - DAX nodes of memory that the firmware sets apart (as it does with CXL): a dynamic region of 1 GiB, in which nodes are made
# of whatever is free, so that one of 64 MiB can lie in one, two or three pieces.
# qemu: -m 4G
# kernel: memmap=1G%4G-1+0xefffffff
# programs: tools/pgmap tools/pgmapd tests/system/system_client_suite tests/vm/vm_holder

bytes() {
	echo $(($1 << 20))
}

# create MIB: the node's name
create() {
	daxctl create-device -r 0 -s "$(bytes "$1")" | sed -n 's/.*"chardev":"\(.*\)".*/\1/p'
}

destroy() {
	for node; do
		daxctl disable-device "$node"
		daxctl destroy-device "$node"
	done
}

# Of what lies between nodes that stay, each new one takes what it finds. The cases use /tmp/one, /tmp/two and /tmp/three.
setup() {
	daxctl disable-device -r 0 all
	daxctl destroy-device -r 0 all || true # the first one stays, with a size of 0
	a=$(create 32) keep=$(create 16) b=$(create 32) keep="$keep $(create 16)"
	c=$(create 16) keep="$keep $(create 16)" d=$(create 16) keep="$keep $(create 16)" e=$(create 32)
	one=$(create 64)
	destroy "$a" "$b"
	two=$(create 64)
	destroy "$c" "$d" "$e"
	three=$(create 64)
	daxctl list -DMu
	echo "$keep"
	for name in one two three; do eval "ln -s /dev/\$$name /tmp/$name"; done
	pieces one 1
	pieces two 2
	pieces three 3
}

pieces() {
	node=$(readlink -f "/tmp/$1")
	[ "$(ls -d "/sys/bus/dax/devices/${node##*/}/"mapping? | wc -l)" = "$2" ] || fail "$1 does not lie in $2 pieces"
}

case_one_piece() {
	files_come_back_as_they_were devdax:/tmp/one
}

case_two_pieces() {
	files_come_back_as_they_were devdax:/tmp/two
	suite client_suite devdax:/tmp/two SUITE_TARGET=socket SYS_BIG_PAGES=1
}

case_three_pieces() {
	files_come_back_as_they_were devdax:/tmp/three
	suite client_suite devdax:/tmp/three SUITE_TARGET=embedded SYS_BIG_PAGES=1
}

# One file over all of the pieces, and each byte of it where it was put; then the next owner's, of zeros.
case_a_file_over_all_pieces() {
	for node in two three; do
		serve "devdax:/tmp/$node"
		holder /f 64
		expect fill filled
		expect check same
		expect faults 32
		kill -KILL "$holder"
		until_true pgmap rm /f
		until_true sh -c 'pgmap info | grep -q "^used *0"'
		holder /g 64
		expect check zero
		expect unmap ok
		kill -KILL "$holder"
		stop
	done
}

case_demo_three_pieces() {
	demo devdax:/tmp/three
}

# A node that was made smaller while no pool was on it has that size; one of no size at all is refused.
case_another_size() {
	node=$(readlink -f /tmp/one)
	daxctl disable-device "${node##*/}"
	echo 0 >"/sys/bus/dax/devices/${node##*/}/size"
	refused devdax:/tmp/one 'is disabled'
	echo "$(bytes 32)" >"/sys/bus/dax/devices/${node##*/}/size"
	daxctl enable-device "${node##*/}"
	serve devdax:/tmp/one
	pgmap info | grep -q '32 MiB'
	stop
}
