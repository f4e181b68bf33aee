# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=sh
#
# lib.sh - what the cases of all machines share. A case is a function case_NAME of a machine's file; it has failed when one
# of its commands has (set -e), and says why on its output. setup is run once, before them. A case's own time limit is
# the only clock, and whatever it leaves behind is killed after it.

setup() { :; } # a machine may have its own

fail() {
	echo "fail: $*"
	exit 1
}

# Until this command succeeds.
until_true() {
	until "$@" >/dev/null 2>&1; do usleep 20000; done
}

# killed PID...: and gone, with all that they had open. Children of others, too.
killed() {
	kill -KILL "$@"
	for pid; do
		wait "$pid" || :
		until_true [ ! -d "/proc/$pid" ]
	done
}

# The file has a line with these words.
says() {
	grep -q -- "$2" "$1" || { echo "no '$2' in:"; cat "$1"; exit 1; }
}

# serve SPEC [OPTION]...: a server on it, ready. $server is its pid, /tmp/server.err what it says.
serve() {
	spec=$1
	shift
	export PGMAP_SOCKET=/tmp/pgmap.sock
	rm -f /tmp/ready
	mkfifo /tmp/ready
	pgmap serve --quiet --device "$spec" "$@" --ready-fd 4 4>/tmp/ready >/tmp/server.err 2>&1 &
	server=$!
	[ "$(head -c 1 /tmp/ready | wc -c)" = 1 ] || { cat /tmp/server.err; fail "no server on $spec"; }
}

# refused SPEC WORDS [OPTION]...: no server on it, and one line that has these words.
refused() {
	spec=$1 words=$2
	shift 2
	if pgmap serve --quiet --device "$spec" "$@" --socket /tmp/refused.sock </dev/null >/tmp/refused.log 2>&1; then
		fail "a server on $spec"
	fi
	[ "$(wc -l </tmp/refused.log)" = 1 ] || { cat /tmp/refused.log; fail "not one line"; }
	says /tmp/refused.log "$words"
}

# nobody COMMAND...: by a user who has no rights. By its path: the shell has a setpriv of its own.
nobody() {
	/usr/sbin/setpriv --reuid=65534 --regid=65534 --clear-groups "$@"
}

# The pool is drained, and its server ends well.
stop() {
	pgmap stop
	wait "$server"
}

# random FILE MIB
random() {
	head -c "$(($2 << 20))" /dev/urandom >"$1"
}

# Files go into the pool on SPEC, come back as they were, are found by name, and leave nothing.
files_come_back_as_they_were() {
	random a 1
	random b 3
	serve "$1"
	pgmap put a /a
	pgmap mkdir /folder
	pgmap put b /folder/b
	pgmap ls / | grep -q folder
	pgmap get /a a.back
	pgmap cat /folder/b >b.back
	cmp a a.back
	cmp b b.back
	pgmap rm /a
	if pgmap cat /a 2>/dev/null; then fail 'a file that was removed'; fi
	pgmap put b /a
	pgmap cat /a | cmp - b
	pgmap rm -r /a /folder
	[ "$(pgmap ls / | wc -l)" = 0 ]
	stop
}

# holder PATH MIB: the program vm_holder with that file mapped; $holder is its pid. Tell it what to do with expect.
holder() {
	rm -f /tmp/words /tmp/answers
	mkfifo /tmp/words /tmp/answers
	exec 8<>/tmp/words 9<>/tmp/answers
	vm_holder "$1" "$2" <&8 >&9 8>&- 9>&- &
	holder=$!
	answers mapped
}

answers() {
	read -r answer <&9
	[ "$answer" = "$1" ] || fail "the holder says '$answer', not '$1'"
}

# expect WORD ANSWER
expect() {
	echo "$1" >&8
	answers "$2"
}

# The suites of tests/system: PROGRAM DEVICE [NAME=VALUE]...
suite() {
	program=$1 device=$2
	shift 2
	env PGMAPD=/vm/bin/pgmapd SYS_EMULATED=1 SYS_DEVICE="$device" "$@" "system_$program"
}

# The demonstration on this device; its own last line is the verdict.
demo() {
	pgmap demo --device "$1" --seconds 3 /vm/modules | tee demo.log
	tail -n 1 demo.log | grep -q '^demo: PASS .* reused_early=0 leaked_pages=0 foreign_bytes=0$'
}
