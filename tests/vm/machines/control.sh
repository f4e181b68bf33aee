# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=sh
#
# control - the harness's negative control: a case that fails, one that ends the kernel, and one that it then cannot have run.
# run.py wants each of them reported as failed, and ok_... as passed.
# qemu: -m 512M

case_ok_boots() {
	uname -r
	[ "$(cat /proc/1/comm)" = init ]
}

case_fails_in_the_middle() {
	false
	true
}

case_ok_after_a_failure() {
	true
}

case_panics() {
	echo c >/proc/sysrq-trigger
}

case_comes_after_the_panic() {
	true
}
