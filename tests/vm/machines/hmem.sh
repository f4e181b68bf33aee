# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=sh
#
# hmem - DAX nodes of memory that the firmware sets apart (as it does with CXL): a dynamic region of 1 GiB, in which nodes are made
# of whatever is free, so that one of 64 MiB can lie in one, two or three pieces.
# qemu: -m 4G -object memory-backend-ram,id=all,size=4G -numa node,memdev=all
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

case_demo_one_piece() {
	demo devdax:/tmp/one
}

case_demo_two_pieces() {
	demo devdax:/tmp/two
}

case_demo_three_pieces() {
	demo devdax:/tmp/three
}

# What is one folio is contiguous memory: of 64 MiB that lie in pieces, the largest is as big as the biggest piece.
case_c2_14_no_folio_lies_on_two_pieces() {
	for node in 'one 1 64' 'two 2 32' 'three 3 32'; do
		set -- $node
		serve "devdax:/tmp/$1"
		holder /f 64
		pgmap stat /f >stat
		says stat "$2 extents, folios up to $3"
		kill -KILL "$holder"
		stop
	done
}

# Which pieces these are is for root to read.
case_a_server_without_rights() {
	chmod 777 /tmp
	chmod 666 /dev/dax0.*
	if nobody pgmap serve --device devdax:/tmp/two --socket /tmp/n.sock >log 2>&1; then fail 'nobody may know'; fi
	says log 'lies in 2 pieces, and which these are is for root to read'
	export PGMAP_SOCKET=/tmp/n.sock
	nobody pgmap serve --quiet --device devdax:/tmp/one &
	server=$!
	until_true pgmap info
	stop
	chmod 600 /dev/dax0.*
}

# Two nodes are one pool, of which the files lie on both, and one node is gone.
case_a_pool_on_two_nodes() {
	refused devdax:/tmp/one 'has it already' --device devdax:/tmp/one
	refused devdax:/tmp/one 'has it already' --device "devdax:$(readlink -f /tmp/one)"
	for layout in linear stripe:2M stripe:16M; do
		serve devdax:/tmp/one --device devdax:/tmp/two --layout $layout
		refused devdax:/tmp/two 'another server has it'
		holder /f 96
		expect fill filled
		expect check same
		expect faults 48
		killed "$holder"
		until_true pgmap rm /f
		stop
	done
	serve devdax:/tmp/one --device devdax:/tmp/two
	holder /f 96
	expect fill filled
	two=$(readlink -f /tmp/two)
	daxctl disable-device "${two##*/}"
	until_true grep -q 'is gone' /tmp/server.err
	says /tmp/server.err "devdax:/tmp/two is gone .*lost: all bytes that lay on it.*the pool goes on"
	expect check SIGBUS
	pgmap info | grep -q 'devdax:/tmp/two (gone)'
	expect unmap ok
	pgmap rm /f
	random a 8
	pgmap put a /a
	pgmap cat /a | cmp - a
	pgmap rm /a
	stop
	daxctl enable-device "${two##*/}"
}

# A stripe is of devices of one size.
case_an_uneven_stripe_is_refused() {
	for node in $(ls /sys/bus/dax/devices); do
		[ "$(cat /sys/bus/dax/devices/$node/size)" = "$(bytes 16)" ] && small=$node
	done
	refused devdax:/tmp/one 'one size' --device "devdax:/dev/$small" --layout stripe:2M
	refused devdax:/tmp/one 'chunk' --device devdax:/tmp/two --layout stripe:4K
	refused devdax:/tmp/one 'stripe:SIZE' --device devdax:/tmp/two --layout stripe:3K
}

# What has become the system's memory is no pool's, until it is given back.
case_the_systems_own_memory() {
	big=$(create 256)
	echo offline >/sys/devices/system/memory/auto_online_blocks
	daxctl reconfigure-device -N -m system-ram "$big"
	refused "devdax:/dev/$big" "is in use by the driver kmem, as the system's own memory"
	daxctl reconfigure-device -m devdax "$big"
	serve "devdax:/dev/$big,node=0"
	stop
	destroy "$big"
}

# A node that was made smaller while no pool was on it has that size; one of no size at all is refused.
case_another_size() {
	node=$(readlink -f /tmp/one)
	daxctl disable-device "${node##*/}"
	echo 0 >"/sys/bus/dax/devices/${node##*/}/size"
	refused devdax:/tmp/one 'is disabled'
	echo "$(bytes 32)" >"/sys/bus/dax/devices/${node##*/}/size"
	daxctl enable-device "${node##*/}"
	refused devdax:/tmp/one,size=64M 'size=67108864: it has 33554432 bytes: it is not as it was, or another one'
	serve devdax:/tmp/one,size=32M,align=2M
	pgmap info | grep -q '32 MiB'
	stop
}
