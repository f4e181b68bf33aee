#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
#
# The storm must find the bugs that it is there for: build it with each planted bug, and see it fail; and without one,
# and see it pass. usage: tests/unit/faults.sh [BUILD_ROOT]   (default: build/, one tree fault-KIND per bug)
set -u
src=$(cd "$(dirname "$0")/../.." && pwd)
root=${1:-$src/build}
bad=0
for fault in none early stale; do
	tree=$root/fault-$fault
	[ -f "$tree/build.ninja" ] || meson setup -Dfault=$fault "$tree" "$src" >/dev/null || exit 1
	ninja -C "$tree" tests/unit/unit_fs_storm >/dev/null || exit 1
	if "$tree/tests/unit/unit_fs_storm" >/dev/null 2>&1; then passed=yes; else passed=no; fi
	if [ $fault = none ]; then wanted=yes; else wanted=no; fi
	echo "fault=$fault: storm passed: $passed (wanted: $wanted)"
	[ $passed = $wanted ] || bad=1
done
exit $bad
