# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=sh
#
# demo - what `make demo-vm` shows: the demonstration on a real /dev/dax0.0, and then the driver unbound under load.
# qemu: -m 2G
# kernel: memmap=130M!1G
# programs: tools/pgmap tests/vm/vm_holder

setup() {
	echo 0x200000 >/sys/bus/nd/devices/region0/align
	ndctl create-namespace -f -e namespace0.0 -m devdax -a 2M
}

case_demo_on_a_real_node() {
	echo "Linux $(uname -r), /dev/dax0.0: $(($(cat /sys/bus/dax/devices/dax0.0/size) >> 20)) MiB in pages of 2 MiB"
	demo devdax:/dev/dax0.0
}

# Its answers, each with how often it came.
answers_of() {
	uniq -c "$1" | awk '{ print $2 " " $3 " x " $1 }' | sed 's/  / /' | tr '\n' ',' | sed 's/,$//; s/,/, /g'
}

# Programs that write and check 8 MiB each without a pause, and one that puts and removes files.
case_driver_unbound_under_load() {
	export PGMAP_SOCKET=/tmp/pgmap.sock
	random a 4
	serve devdax:/dev/dax0.0
	loads=
	for i in 1 2 3 4; do
		rm -f "go$i"
		{ echo fill; while [ ! -e /tmp/stop ]; do echo check; done; } | vm_holder "/load$i" 8 >"load$i" 2>&1 &
		loads="$loads $!"
	done
	while [ ! -e /tmp/stop ]; do
		pgmap put a /churn && pgmap cat /churn | cmp - a && pgmap rm /churn
	done >churn 2>&1 &
	for i in 1 2 3 4; do until_true grep -q same "load$i"; done
	echo '4 programs verify 8 MiB each, and one puts and removes files'
	echo 'echo dax0.0 > /sys/bus/dax/drivers/device_dax/unbind'
	echo dax0.0 >/sys/bus/dax/drivers/device_dax/unbind
	for i in 1 2 3 4; do until_true grep -q SIGBUS "load$i"; done
	touch /tmp/stop
	wait $loads
	for i in 1 2 3 4; do
		echo "program $i: $(answers_of "load$i")"
		[ "$(uniq "load$i" | tr '\n' ' ')" = 'mapped filled same SIGBUS ' ] || fail "program $i saw something else"
	done
	until_true grep -q 'is gone' server.err
	sed 's/^/server: /' server.err
	pgmap info | head -n 2 | sed 's/^/pgmap info: /'
	pgmap ls / | sed 's/^/pgmap ls: /'
	if pgmap put a /b 2>err; then fail 'put where there is no memory'; fi
	cat err
	pgmap rm /load1 /load2 /load3 /load4
	stop
	echo 'pgmap stop: the server has ended well'
	echo dax0.0 >/sys/bus/dax/drivers/device_dax/bind
	files_come_back_as_they_were devdax:/dev/dax0.0
	echo 'bound again: a new pool carries files'
}
