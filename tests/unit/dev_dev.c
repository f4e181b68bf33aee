/* SPDX-License-Identifier: BSD-3-Clause */
/* Specs and sizes: what is read, what is refused, and that the refusal says which and why. What an open device costs. */
#include <dirent.h>

#include "dev_util.h"

static void sizes_are_numbers_with_a_power_of_1024(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		uint64_t bytes;
	} good[] = {{"0", 0},
		    {"4096", 4096},
		    {"4K", 4096},
		    {"2M", 2 << 20},
		    {"1G", 1 << 30},
		    {"3t", UINT64_C(3) << 40},
		    {"16777215T", UINT64_C(16777215) << 40},
		    {"18446744073709551615", UINT64_MAX}};
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		uint64_t n = 1;
		assert_int_equal(dev_parse_size(good[i].text, &n), 0);
		assert_true(n == good[i].bytes);
	}
}

static void sizes_that_are_none_are_refused(void **state)
{
	(void)state;
	static const char *const bad[] = {
		"",   "K", "-1", "+1", " 1", "1 ", "1KB", "1.5G", "0x10", "16777216T", "18446744073709551616",
		"1P", "M2"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		uint64_t n = 77;
		assert_int_equal(dev_parse_size(bad[i], &n), -EINVAL);
		assert_true(n == 77);
	}
	assert_int_equal(dev_parse_size(NULL, NULL), -EINVAL);
}

static void bad_specs_are_refused_and_say_why(void **state)
{
	(void)state;
	assert_refused(NULL, -EINVAL, "no device");
	assert_refused("", -EINVAL, "unknown kind");
	assert_refused("floppy:size=1M", -EINVAL, "unknown kind of device 'floppy'");
	assert_refused("floppy:size=1M", -EINVAL, "memfd, hugetlb, file");
	assert_refused("memfd", -EINVAL, "no size=");
	assert_refused("memfd:", -EINVAL, "no size=");
	assert_refused("memfd:size", -EINVAL, "'size' is not KEY=VALUE");
	assert_refused("memfd:size=", -EINVAL, "KEY=VALUE");
	assert_refused("memfd:=4K", -EINVAL, "KEY=VALUE");
	assert_refused("memfd:size=1M,,page=4K", -EINVAL, "KEY=VALUE");
	assert_refused("memfd:size=0", -EINVAL, "size is 0");
	assert_refused("memfd:size=1X", -EINVAL, "size=1X is not a size");
	assert_refused("memfd:size=9000000T", -EINVAL, "not a size");
	assert_refused("memfd:size=5000,page=4K", -EINVAL, "size 5000 is not a multiple of the page, 4K");
	assert_refused("memfd:size=3M,page=2M", -EINVAL, "not a multiple of the page, 2M");
	assert_refused("memfd:size=1M,page=8K", -EINVAL, "page=8K is not");
	assert_refused("memfd:size=1M,colour=red", -EINVAL, "unknown key 'colour'");
	assert_refused("memfd:size=1M,size=2M", -EINVAL, "size is given twice");
	assert_refused("memfd:size=1M,", -EINVAL, "ends with a comma");
	assert_refused("memfd:size=1M,lock,page=4K,lock", -EINVAL, "lock is given twice");
	assert_refused("memfd:size=1M,lock=yes", -EINVAL, "lock takes no value");
	assert_refused("memfd:size=1M,node=K", -EINVAL, "node=K is not the number of a node");
	assert_refused("memfd:fd=x", -EINVAL, "fd=x");
	assert_refused("memfd:fd=0,size=1M", -EINVAL, "takes no other key");
}

static void the_kinds_can_be_listed(void **state)
{
	(void)state;
	assert_string_equal(dev_kind_at(0)->name, "memfd");
	for (size_t i = 0; dev_kind_at(i); i++)
		assert_non_null(strstr(dev_kind_at(i)->usage, dev_kind_at(i)->name));
	assert_null(dev_kind_at(1000));
}

/* Locks on the device by descriptors of this process. (/proc/locks has them all, and is not read in one piece.) */
static unsigned locks(const struct dev *dev)
{
	struct stat st, other;
	char path[300], line[256];
	const struct dirent *entry;
	unsigned n = 0;
	DIR *dir = opendir("/proc/self/fdinfo");
	assert_non_null(dir);
	assert_int_equal(fstat(dev->fd, &st), 0);
	while ((entry = readdir(dir)) != NULL) {
		if (fstat(atoi(entry->d_name), &other) != 0 || other.st_ino != st.st_ino || other.st_dev != st.st_dev)
			continue;
		(void)snprintf(path, sizeof(path), "/proc/self/fdinfo/%s", entry->d_name);
		FILE *file = fopen(path, "re");
		assert_non_null(file);
		while (fgets(line, sizeof(line), file))
			n += strncmp(line, "lock:", 5) == 0;
		assert_int_equal(fclose(file), 0);
	}
	assert_int_equal(closedir(dir), 0);
	return n;
}

/* However they end: waited for, or asked about. */
static void leases_that_ended_leave_no_lock(void **state)
{
	(void)state;
	struct dev *dev;
	char why[DEV_WHY_MAX];
	assert_int_equal(dev_open("memfd:size=4K,page=4K", &dev, why), 0);
	assert_int_equal(locks(dev), 1);
	for (uint64_t byte = 1; byte <= 20; byte++) {
		int lease = dev_open_lease(dev, byte, true);
		assert_true(lease >= 0);
		assert_int_equal(locks(dev), 3);
		assert_int_equal(close(lease), 0);
		if (byte % 2)
			assert_int_equal(dev_lease_wait(dev, byte), 0);
		assert_int_equal(dev_lease_probe(dev, byte), 1);
		assert_int_equal(locks(dev), 2); /* byte 0, and all bytes that are to come */
	}
	dev_close(dev);
}

enum { BYTE = 7 };

static const char *spec_of(int fd)
{
	static char spec[32];
	(void)snprintf(spec, sizeof(spec), "memfd:fd=%d", fd);
	return spec;
}

/* Nobody waits for a device that is closed, but for the one who waits already; and it keeps nobody from having it. */
static void a_close_lets_go_of_all_locks_while_somebody_waits(void **state)
{
	(void)state;
	char why[DEV_WHY_MAX];
	struct dev *the_dev;
	assert_int_equal(dev_open("memfd:size=4K,page=4K", &the_dev, why), 0);
	int fd = dup(the_dev->fd), waiter = dev_lease_waiter(the_dev);
	assert_true(fd >= 0 && waiter >= 0);
	dev_close(the_dev);
	assert_int_equal(dev_open(spec_of(fd), &the_dev, why), 0);
	assert_int_equal(dev_waiter_wait(waiter, 0), -EINVAL);
	assert_int_equal(close(waiter) | close(fd), 0);
	dev_close(the_dev);
}

/* A client has a descriptor still from when this server had the device before. */
static void what_own_clients_hold_still_keeps_nobody_out(void **state)
{
	(void)state;
	static const uint64_t bytes[] = {3, BYTE, BYTE + 1, 40};
	const struct dev_own own = {bytes, 4}, wrong[] = {{bytes, 1}, {bytes + 2, 2}, {NULL, 0}};
	struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = BYTE, .l_len = 1};
	char why[DEV_WHY_MAX];
	struct dev *the_dev;
	assert_int_equal(dev_open("memfd:size=4K,page=4K", &the_dev, why), 0);
	int fd = dup(the_dev->fd), stale = dev_open_lease(the_dev, BYTE, true);
	assert_true(fd >= 0 && stale >= 0);
	dev_close(the_dev);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(dev_open_again(spec_of(fd), &wrong[i], &the_dev, why), -EBUSY);
		assert_non_null(strstr(why, "still map it"));
	}
	assert_int_equal(fcntl(stale, F_OFD_SETLK, &whole), 0); /* no lease: it keeps its owner from having one */
	assert_int_equal(dev_open_again(spec_of(fd), &own, &the_dev, why), -EBUSY);
	assert_non_null(strstr(why, "somebody else locks"));
	whole.l_type = F_RDLCK;
	assert_int_equal(fcntl(stale, F_OFD_SETLK, &whole), 0);
	assert_int_equal(dev_open_again(spec_of(fd), &own, &the_dev, why), 0);
	assert_int_equal(dev_lease_probe(the_dev, BYTE), 0); /* it is seen: who ends is waited for */
	for (off_t byte = 0; byte < 50; byte++) {            /* nothing else is to be had, whose it ever may be */
		whole.l_start = byte;
		whole.l_type = F_WRLCK;
		assert_int_equal(fcntl(stale, F_OFD_SETLK, &whole), byte == BYTE ? 0 : -1);
		whole.l_type = F_RDLCK;
		assert_int_equal(fcntl(stale, F_OFD_SETLK, &whole), byte == BYTE ? 0 : -1);
	}
	int fresh = dev_join_lease(the_dev, BYTE, false), other = dev_join_lease(the_dev, 40, true);
	assert_true(fresh >= 0 && other >= 0);
	assert_int_equal(close(stale), 0);
	assert_int_equal(dev_lease_probe(the_dev, BYTE), 0);
	assert_int_equal(close(fresh), 0);
	assert_int_equal(dev_lease_probe(the_dev, BYTE), 1);
	assert_int_equal(dev_lease_probe(the_dev, 40), 0);
	assert_int_equal(close(other) | close(fd), 0);
	assert_int_equal(dev_lease_wait(the_dev, 40), 0);
	dev_close(the_dev);
}

static void close_of_nothing_is_nothing(void **state)
{
	(void)state;
	dev_close(NULL);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes_are_numbers_with_a_power_of_1024),
		cmocka_unit_test(sizes_that_are_none_are_refused),
		cmocka_unit_test(bad_specs_are_refused_and_say_why),
		cmocka_unit_test(the_kinds_can_be_listed),
		cmocka_unit_test(leases_that_ended_leave_no_lock),
		cmocka_unit_test(a_close_lets_go_of_all_locks_while_somebody_waits),
		cmocka_unit_test(what_own_clients_hold_still_keeps_nobody_out),
		cmocka_unit_test(close_of_nothing_is_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
