# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=sh
#
# lib.sh - what the cases of all machines share. A case is a function case_NAME of a machine's file; it has failed when one
# of its commands has (set -e), and says why on its output.

fail() {
	echo "fail: $*"
	exit 1
}

# Until this command succeeds; the case's own time limit is the only clock.
until_true() {
	until "$@" >/dev/null 2>&1; do usleep 20000; done
}
