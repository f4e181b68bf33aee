# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=sh
#
# again - namespaces that are made again, by ndctl, while no server is on them, or one, or a dead one's clients. Each time the kernel
# gives the node anew, under the name that it had.
# qemu: -m 2G
# kernel: memmap=132M!1G
# programs: tools/pgmap tests/vm/vm_holder

# namespace MODE [OPTION]...: of the one region; $uuid is what it got.
namespace() {
	ndctl create-namespace -f -e namespace0.0 -m "$@" >/tmp/made
	uuid=$(sed -n 's/.*"uuid":"\(.*\)".*/\1/p' /tmp/made)
}

setup() {
	echo 0x200000 >/sys/bus/nd/devices/region0/align
}

# What the first server was on: how its user would write it down.
as_it_was() {
	namespace devdax -a 2M
	was=devdax:/dev/dax0.0,size=$(cat /sys/bus/dax/devices/dax0.0/size),align=2M,uuid=$uuid
	serve "$was"
	random a 2
	pgmap put a /a
	stop
	serve "$was" # the same again
	stop
}

case_made_again_under_a_stopped_pool() {
	as_it_was
	namespace devdax -a 2M
	refused "$was" "uuid=.*: it is $uuid: made anew since, or another one"
	serve "${was%,uuid=*}" # who asks for no more than size and alignment has it
	holder /f 8
	expect check zero
	expect unmap ok
	stop
}

case_with_another_alignment() {
	as_it_was
	namespace devdax -a 4K
	refused "$was" 'align=2097152: its alignment is 4096: it is not as it was, or another one'
	serve devdax:/dev/dax0.0,align=4K,uuid="$uuid"
	pgmap info | grep -q 'page .*4 KiB'
	stop
}

# Where the list of pages lies in the system's memory, not on the device, the namespace is bigger.
case_with_another_size() {
	as_it_was
	namespace devdax -a 2M -M mem
	refused "$was" 'size=.*: it has .* bytes: it is not as it was, or another one'
}

case_for_another_use() {
	as_it_was
	namespace fsdax
	refused "$was" 'No such file'
	refused devdax:/dev/pmem0 'is a block device'
	refused pmem:/dev/pmem0,uuid="${was#*uuid=}" "it is $uuid: made anew"
	was=$uuid
	serve "pmem:/dev/pmem0,uuid=$was"
	stop
	namespace raw
	refused "pmem:/dev/pmem0,uuid=$was" 'it has none'
	refused "pmem:/dev/pmem0,size=1G" 'size=1073741824: it has 138412032 bytes'
}

# The kernel takes the old one away: its users find out, and what has its name now is nothing to this server.
case_under_a_server() {
	as_it_was
	serve "$was"
	holder /f 8
	expect fill filled
	namespace devdax -a 2M
	until_true grep -q 'is gone' /tmp/server.err
	expect check SIGBUS
	expect pin ENODEV
	pgmap serve --quiet --device "devdax:/dev/dax0.0,uuid=$uuid" --socket /tmp/new.sock &
	until_true env PGMAP_SOCKET=/tmp/new.sock pgmap info # beside the old one
	env PGMAP_SOCKET=/tmp/new.sock pgmap put a /a
	expect check SIGBUS # the old mapping is of nothing, not of the new memory
	env PGMAP_SOCKET=/tmp/new.sock pgmap stop
	expect unmap ok
	pgmap rm /f
	stop
}

# They map what is no more, so nobody needs to wait for them.
case_under_a_dead_servers_clients() {
	as_it_was
	serve "$was"
	holder /f 8
	expect fill filled
	killed "$server"
	refused "$was" 'still map it'
	namespace devdax -a 2M
	refused "$was" 'made anew since'
	serve devdax:/dev/dax0.0,uuid="$uuid"
	expect check SIGBUS
	killed "$holder"
	holder /g 60
	expect check zero
	expect unmap ok
	stop
}

# The driver alone is unbound and bound again: the node is the same, and so are the locks on it; and who mapped it maps it again.
case_bound_again_under_a_dead_servers_clients() {
	as_it_was
	serve "$was"
	holder /f 8
	expect fill filled
	killed "$server"
	echo dax0.0 >/sys/bus/dax/drivers/device_dax/unbind
	refused "$was" 'is disabled'
	expect check SIGBUS
	echo dax0.0 >/sys/bus/dax/drivers/device_dax/bind
	expect check same
	refused "$was" 'still map it'
	killed "$holder"
	serve "$was"
	stop
}
