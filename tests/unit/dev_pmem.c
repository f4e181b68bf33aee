/* SPDX-License-Identifier: BSD-3-Clause */
/* A /dev/pmemN on a system that is made up (dev_made.h), in which /dev/zero is said to be a block device. What the kernel does
 * with a real one: tests/vm/machines/kinds.sh. */
#include "dev_made.h"

#include <sys/sysmacros.h>

#include "dev/pmem.h"

static mode_t said_to_be = S_IFBLK; /* what character devices are */

int __real_fstat64(int fd, struct stat *st);
int __wrap_fstat64(int fd, struct stat *st);
int __wrap_fstat64(int fd, struct stat *st)
{
	int rc = __real_fstat64(fd, st);
	if (rc == 0 && S_ISCHR(st->st_mode))
		st->st_mode = (st->st_mode & ~(mode_t)S_IFMT) | said_to_be;
	return rc;
}

static int as_it_should_be(void **state)
{
	(void)state;
	said_to_be = S_IFBLK;
	link_at("device/subsystem", "../../../../../bus/nd");
	remove_at("partition");
	write_at("size", "131072\n");
	write_at("ro", "0\n");
	write_at("device/numa_node", "1\n");
	write_at("uevent", "MAJOR=259\nMINOR=0\nDEVNAME=pmem0\nDEVTYPE=disk\n");
	return 0;
}

static int set_up(void **state)
{
	struct stat st;
	char path[64];
	assert_int_equal(stat("/dev/zero", &st), 0);
	(void)snprintf(path, sizeof(path), "sys/dev/block/%u:%u", major(st.st_rdev), minor(st.st_rdev));
	make_system(path);
	(void)snprintf(path, sizeof(path), "sys/dev/block/%u:%u/device", major(st.st_rdev), minor(st.st_rdev));
	make(path);
	return as_it_should_be(state);
}

static void refused(const char *args, int want, const char *words)
{
	refused_by(pmem_open_under, args, want, words);
}

static struct dev *opened(const char *args)
{
	return opened_by(pmem_open_under, args);
}

static void size_is_what_sysfs_says_and_the_granule_a_page(void **state)
{
	(void)state;
	struct dev *dev = opened("/dev/zero,node=1");
	assert_int_equal(dev->size_bytes, 64 * MIB);
	assert_int_equal(dev->granule_order, 0);
	assert_int_equal(dev->type, PGMAP_FSDAX);
	assert_true(dev->resident);
	assert_null(dev->ops->populate);
	assert_string_equal(dev->spec, "pmem:/dev/zero,node=1");
	dev_close(dev);
}

static void what_is_no_persistent_memory_is_refused(void **state)
{
	(void)state;
	refused("", -EINVAL, "no path given");
	refused("/nonexistent/pmem", -ENOENT, "No such file or directory (ndctl list says which there are)");
	refused(root, -EINVAL, "is no device");
	refused("/dev/null", -EINVAL, "not of persistent memory"); /* not in this sysfs at all */
	link_at("device/subsystem", "../../../bus/scsi");
	refused("/dev/zero", -EINVAL, "not of persistent memory");
	said_to_be = S_IFCHR;
	refused("/dev/zero", -EINVAL, "is a character device");
	refused("/dev/zero,align=2M", -EINVAL, "unknown key 'align' (known: node, size, uuid)");
}

/* A namespace that was made anew is another one, whatever its name. */
static void one_that_is_not_as_it_was_is_refused(void **state)
{
	(void)state;
	refused("/dev/zero,size=32M", -EINVAL, "size=33554432: it has 67108864 bytes");
	refused("/dev/zero,uuid=c083707c-0081-49af-bfba-ff284e7e3f9e", -EINVAL, "it has none");
	write_at("device/uuid", "c083707c-0081-49af-bfba-ff284e7e3f9f\n");
	refused("/dev/zero,uuid=c083707c-0081-49af-bfba-ff284e7e3f9e", -EINVAL,
		"it is c083707c-0081-49af-bfba-ff284e7e3f9f");
	dev_close(opened("/dev/zero,size=64M,uuid=c083707c-0081-49af-bfba-ff284e7e3f9f"));
	remove_at("device/uuid");
}

static void parts_and_what_cannot_be_written_are_refused(void **state)
{
	(void)state;
	write_at("ro", "1\n");
	refused("/dev/zero", -EROFS, "is read-only");
	write_at("partition", "1\n");
	refused("/dev/zero", -EINVAL, "is a partition");
}

static void odd_sizes_are_refused(void **state)
{
	(void)state;
	write_at("size", "0\n");
	refused("/dev/zero", -EINVAL, "its size is 0");
	write_at("size", "9\n");
	refused("/dev/zero", -EINVAL, "its size, 4608, is not a multiple of the page, 4K");
	for (const char *const *bad = (const char *const[]){"much", "-8", "36028797018963968", NULL}; *bad; bad++) {
		write_at("size", *bad);
		refused("/dev/zero", -EIO, "its size cannot be read");
	}
}

static void the_node_that_is_asked_for_must_be_its_own(void **state)
{
	(void)state;
	refused("/dev/zero,node=0", -EINVAL, "node=0: it belongs to node 1");
	refused("/dev/zero,node=x", -EINVAL, "not the number of a node");
	remove_at("device/numa_node");
	refused("/dev/zero,node=1", -EINVAL, "does not say");
}

static void what_changed_before_it_was_taken_is_refused(void **state)
{
	(void)state;
	char why[DEV_WHY_MAX] = "";
	struct dev *dev = opened("/dev/zero");
	write_at("size", "65536\n");
	assert_int_equal(dev->take(dev, why), -EBUSY);
	assert_non_null(strstr(why, "while it was taken over"));
	write_at("ro", "1\n");
	assert_int_equal(dev->take(dev, why), -EROFS);
	dev_close(dev);
}

static void this_system_has_none_of_that_name(void **state)
{
	(void)state;
	assert_refused("pmem:/dev/zero", -EINVAL, "not of persistent memory");
	assert_refused("pmem:", -EINVAL, "no path given");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(size_is_what_sysfs_says_and_the_granule_a_page, as_it_should_be),
		cmocka_unit_test_setup(what_is_no_persistent_memory_is_refused, as_it_should_be),
		cmocka_unit_test_setup(one_that_is_not_as_it_was_is_refused, as_it_should_be),
		cmocka_unit_test_setup(parts_and_what_cannot_be_written_are_refused, as_it_should_be),
		cmocka_unit_test_setup(odd_sizes_are_refused, as_it_should_be),
		cmocka_unit_test_setup(the_node_that_is_asked_for_must_be_its_own, as_it_should_be),
		cmocka_unit_test_setup(what_changed_before_it_was_taken_is_refused, as_it_should_be),
		cmocka_unit_test_setup(this_system_has_none_of_that_name, as_it_should_be),
	};
	return cmocka_run_group_tests(tests, set_up, remove_system);
}
