/* SPDX-License-Identifier: BSD-3-Clause */
/* A DAX node on a system that is made up: below a folder of our own lie a sysfs and a /dev, in which /dev/zero is said to be
 * one. Mapped by several it is not what a DAX node is, but it has a number, an inode, locks and memory that is zero. What the
 * kernel does with a real one: tests/vm/machines/dax.sh. */
#include "dev_made.h"

#include <sys/sysmacros.h>

#include "dev/devdax.h"

/* As it is on a machine that has one: 64 MiB, in pages of 2 MiB, on node 1. */
static int as_it_should_be(void **state)
{
	(void)state;
	link_at("subsystem", "../../../../bus/dax");
	link_at("driver", "../../../../bus/dax/drivers/device_dax");
	write_at("size", "67108864\n");
	write_at("align", "2097152\n");
	write_at("target_node", "1\n");
	write_at("numa_node", "0\n");
	write_at("../uuid", "c083707c-0081-49af-bfba-ff284e7e3f9e\n");
	write_at("uevent", "MAJOR=1\nMINOR=5\nDEVNAME=dax0.0\nDRIVER=device_dax\n");
	return 0;
}

static int set_up(void **state)
{
	struct stat st;
	char path[64];
	assert_int_equal(stat("/dev/zero", &st), 0);
	(void)snprintf(path, sizeof(path), "sys/dev/char/%u:%u", major(st.st_rdev), minor(st.st_rdev));
	make_system(path);
	return as_it_should_be(state);
}

static void refused(const char *args, int want, const char *words)
{
	refused_by(devdax_open_under, args, want, words);
}

static struct dev *opened(const char *args)
{
	return opened_by(devdax_open_under, args);
}

static void size_and_granule_are_what_sysfs_says(void **state)
{
	(void)state;
	struct dev *dev = opened("/dev/zero");
	assert_int_equal(dev->size_bytes, 64 * MIB);
	assert_int_equal(dev->granule_order, 9);
	assert_true(dev->resident);
	assert_string_equal(dev->spec, "devdax:/dev/zero");
	assert_null(dev->ops->populate);
	dev_close(dev);
	write_at("align", "4096\n");
	dev = opened("/dev/zero,node=1");
	assert_int_equal(dev->granule_order, 0);
	assert_string_equal(dev->spec, "devdax:/dev/zero,node=1");
	dev_close(dev);
}

static void a_long_path_is_shown_by_its_end(void **state)
{
	(void)state;
	char path[PATH_MAX] = "/dev", spec[DEV_SPEC_MAX];
	while (strlen(path) < 200)
		strcat(path, "/../dev");
	strcat(path, "/zero");
	struct dev *dev = opened(path);
	(void)snprintf(spec, sizeof(spec), "devdax:...%s", path + strlen(path) - (DEV_SPEC_MAX - 32));
	assert_string_equal(dev->spec, spec);
	dev_close(dev);
}

static void what_is_no_dax_node_is_refused(void **state)
{
	(void)state;
	char folder[PATH_MAX];
	refused("", -EINVAL, "no path given");
	refused("/nonexistent/dax", -ENOENT, "No such file or directory (daxctl list says which there are)");
	(void)snprintf(folder, sizeof(folder), "%s/dev", root);
	refused(folder, -EINVAL, "is no device");
	refused("/dev/null", -EINVAL, "no DAX node"); /* not in this sysfs at all */
	link_at("subsystem", "../../../../class/mem");
	refused("/dev/zero", -EINVAL, "no DAX node");
	refused("/dev/zero,page=1M", -EINVAL, "unknown key 'page' (known: node, size, align, uuid)");
}

static void one_without_the_right_driver_is_refused(void **state)
{
	(void)state;
	link_at("driver", "");
	refused("/dev/zero", -ENXIO, "disabled");
	link_at("driver", "../../bus/dax/drivers/kmem");
	refused("/dev/zero", -EBUSY, "the driver kmem, as the system's own memory");
}

static void odd_sizes_and_alignments_are_refused(void **state)
{
	(void)state;
	write_at("size", "0\n");
	refused("/dev/zero", -EINVAL, "its size is 0");
	write_at("size", "3145728\n");
	refused("/dev/zero", -EINVAL, "3145728, is not a multiple of its alignment, 2M");
	write_at("size", "much\n");
	refused("/dev/zero", -EIO, "cannot be read");
	write_at("size", "67108864\n");
	for (const char *const *bad = (const char *const[]){"0", "-4096", "2048", "6144", "2147483648", NULL}; *bad;
	     bad++) {
		write_at("align", *bad);
		refused("/dev/zero", -EINVAL, "alignment that cannot be used");
	}
}

static void the_node_that_is_asked_for_must_be_its_own(void **state)
{
	(void)state;
	char path[PATH_MAX];
	refused("/dev/zero,node=0", -EINVAL, "node=0: it belongs to node 1");
	refused("/dev/zero,node=x", -EINVAL, "not the number of a node");
	(void)snprintf(path, sizeof(path), "%s/target_node", device);
	assert_int_equal(unlink(path), 0);
	dev_close(opened("/dev/zero,node=0"));
	write_at("numa_node", "-1\n");
	refused("/dev/zero,node=0", -EINVAL, "does not say");
}

static void one_that_is_not_as_it_was_is_refused(void **state)
{
	(void)state;
	dev_close(opened("/dev/zero,size=64M,align=2M,uuid=c083707c-0081-49af-bfba-ff284e7e3f9e"));
	refused("/dev/zero,size=1M", -EINVAL, "size=1048576: it has 67108864 bytes");
	refused("/dev/zero,align=4K", -EINVAL, "align=4096: its alignment is 2097152");
	refused("/dev/zero,uuid=c083707c-0081-49af-bfba-ff284e7e3f9f", -EINVAL,
		"it is c083707c-0081-49af-bfba-ff284e7e3f9e");
}

/* Piece number i of the node: where it begins in memory, and where on the node, and its size; of 0: none. */
static void set_piece(unsigned i, uint64_t start, uint64_t offset, uint64_t bytes)
{
	char name[32], text[32];
	char path[PATH_MAX];
	(void)snprintf(path, sizeof(path), "%s/mapping%u", device, i);
	if (!bytes) {
		static const char *const files[] = {"start", "end", "page_offset"};
		for (int f = 0; f < 3; f++) {
			(void)snprintf(name, sizeof(name), "mapping%u/%s", i, files[f]);
			remove_at(name);
		}
		(void)rmdir(path);
		return;
	}
	(void)mkdir(path, 0755);
	(void)snprintf(name, sizeof(name), "mapping%u/start", i);
	(void)snprintf(text, sizeof(text), "%#llx\n", (unsigned long long)start);
	write_at(name, text);
	(void)snprintf(name, sizeof(name), "mapping%u/end", i);
	(void)snprintf(text, sizeof(text), "%#llx\n", (unsigned long long)(start + bytes - 1));
	write_at(name, text);
	(void)snprintf(name, sizeof(name), "mapping%u/page_offset", i);
	(void)snprintf(text, sizeof(text), "%#llx\n", (unsigned long long)offset >> 12);
	write_at(name, text);
}

static int no_pieces(void **state)
{
	for (unsigned i = 0; i < 4; i++)
		set_piece(i, 0, 0, 0);
	return as_it_should_be(state);
}

static void each_mapping_is_a_piece(void **state)
{
	(void)state;
	set_piece(0, 0x100000000, 0, 64 * MIB);
	struct dev *dev = opened("/dev/zero");
	assert_null(dev->pieces_bytes);
	dev_close(dev);
	set_piece(0, 0x100000000, 0, 16 * MIB);
	set_piece(1, 0x200000000, 16 * MIB, 32 * MIB);
	set_piece(2, 0x100000000 + 16 * MIB, 48 * MIB, 16 * MIB);
	dev = opened("/dev/zero");
	assert_int_equal(dev->npieces, 3);
	assert_int_equal(dev->pieces_bytes[0], 16 * MIB);
	assert_int_equal(dev->pieces_bytes[1], 32 * MIB);
	assert_int_equal(dev->pieces_bytes[2], 16 * MIB);
	dev_close(dev);
	set_piece(2, 0x200000000 + 32 * MIB, 48 * MIB, 16 * MIB); /* next to the second */
	dev = opened("/dev/zero");
	assert_int_equal(dev->npieces, 2);
	assert_int_equal(dev->pieces_bytes[1], 48 * MIB);
	dev_close(dev);
}

static void pieces_that_do_not_make_up_the_node_are_refused(void **state)
{
	(void)state;
	set_piece(0, 0x100000000, 0, 16 * MIB);
	set_piece(1, 0x200000000, 16 * MIB, 32 * MIB);
	refused("/dev/zero", -EIO, "its 2 pieces of memory"); /* too few */
	set_piece(2, 0x300000000, 48 * MIB, 32 * MIB);
	refused("/dev/zero", -EIO, "do not make up its size"); /* too many */
	set_piece(2, 0x300000000, 50 * MIB, 16 * MIB);
	refused("/dev/zero", -EIO, "do not make up its size"); /* not where the last one ends */
	set_piece(2, 0x300000000, 48 * MIB, 15 * MIB);
	set_piece(3, 0x400000000, 63 * MIB, 1 * MIB);
	refused("/dev/zero", -EIO, "do not make up its size"); /* not granules */
	set_piece(3, 0, 0, 0);
	set_piece(2, 0x300000000, 48 * MIB, 16 * MIB);
	write_at("mapping2/end", "0\n");
	refused("/dev/zero", -EIO, "do not make up its size");
	write_at("mapping2/end", "much\n");
	refused("/dev/zero", -EIO, "do not make up its size");
}

/* Two nodes have two inodes, and so their own locks. */
static void a_second_node_of_the_device_is_refused(void **state)
{
	(void)state;
	char own[PATH_MAX];
	(void)snprintf(own, sizeof(own), "%s/dev/dax0.0", root);
	assert_int_equal(symlink("/dev/zero", own), 0); /* it is this one */
	dev_close(opened("/dev/zero"));
	dev_close(opened(own));
	assert_int_equal(unlink(own), 0);
	if (mknod(own, S_IFCHR | 0600, makedev(1, 5)) == 0) { /* only for root */
		refused("/dev/zero", -EINVAL, "is a second node of");
		assert_int_equal(unlink(own), 0);
	}
	assert_int_equal(symlink("/dev/null", own), 0); /* something else has its name: nothing is known */
	dev_close(opened("/dev/zero"));
	assert_int_equal(unlink(own), 0);
}

/* A program that knows of no lease. */
static void one_that_somebody_else_maps_is_refused(void **state)
{
	(void)state;
	char why[DEV_WHY_MAX] = "", mapping[128];
	struct stat st;
	assert_int_equal(stat("/dev/zero", &st), 0);
	(void)snprintf(mapping, sizeof(mapping),
		       "7f0000000000-7f0000200000 rw-s 00000000 %02x:%02x %lu     /dev/dax0.0", major(st.st_dev),
		       minor(st.st_dev), (unsigned long)st.st_ino);
	struct dev *dev = opened("/dev/zero");
	write_process(4711, "qemu-system-x86", mapping);
	assert_int_equal(dev->take(dev, why), -EBUSY);
	assert_non_null(strstr(why, "pid 4711 (qemu-system-x86) maps it"));
	dev_close(dev);
	remove_process(4711);
}

/* Between the first look and byte 0, somebody else may have been there. */
static void what_changed_before_it_was_taken_is_refused(void **state)
{
	(void)state;
	char why[DEV_WHY_MAX] = "";
	struct dev *dev = opened("/dev/zero");
	write_at("size", "33554432\n");
	assert_int_equal(dev->take(dev, why), -EBUSY);
	assert_non_null(strstr(why, "while it was taken over"));
	write_at("size", "67108864\n");
	write_at("align", "4096\n");
	assert_int_equal(dev->take(dev, why), -EBUSY);
	link_at("driver", "");
	assert_int_equal(dev->take(dev, why), -ENXIO);
	dev_close(dev);
}

/* A device that was unbound is gone for good, also when it is bound again: it is not opened any more, and who asks for a lease
 * gets a file without memory. */
static void one_that_was_unbound_stays_gone(void **state)
{
	(void)state;
	struct stat st;
	struct dev *dev = opened("/dev/zero");
	dev->guard_fd = open("/dev/zero", O_RDWR | O_CLOEXEC);
	assert_int_equal(dev_check(dev), 0);
	int lease = dev_open_lease(dev, 1, true);
	assert_true(lease >= 0 && fstat(lease, &st) == 0 && S_ISCHR(st.st_mode));
	assert_int_equal(dev_lease_probe(dev, 1), 0);
	link_at("driver", "");
	assert_int_equal(dev_check(dev), -ENXIO);
	struct stat other; /* so that the link has another inode */
	char keep[PATH_MAX];
	(void)snprintf(keep, sizeof(keep), "%s/keep", device);
	assert_int_equal(symlink("x", keep), 0);
	link_at("driver", "../../../../bus/dax/drivers/device_dax");
	assert_int_equal(dev_check(dev), -ENXIO);
	assert_int_equal(unlink(keep), 0);
	for (int write = 0; write < 2; write++) {
		int gone[] = {dev_open_lease(dev, 2, write), dev_join_lease(dev, 1, write)};
		for (int i = 0; i < 2; i++) {
			assert_true(gone[i] >= 0 && fstat(gone[i], &other) == 0 && S_ISREG(other.st_mode) &&
				    other.st_size == 0);
			assert_int_equal(fcntl(gone[i], F_GETFL) & O_ACCMODE, write ? O_RDWR : O_RDONLY);
			assert_int_equal(ftruncate(gone[i], 4096), -1);
			assert_int_equal(close(gone[i]), 0);
		}
	}
	assert_int_equal(dev_lease_probe(dev, 2), 1);
	assert_int_equal(close(lease), 0);
	assert_int_equal(dev_lease_probe(dev, 1), 1);
	dev_close(dev);
}

static void discard_says_when_the_memory_is_gone(void **state)
{
	(void)state;
	struct dev *dev = opened("/dev/zero");
	int zero = dev->fd;
	assert_int_equal(dev->ops->discard(dev, 0, dev->size_bytes), 0);
	dev->fd =
		memfd_create("dax", MFD_CLOEXEC); /* a device that keeps what is written to it, of which half is left */
	assert_true(dev->fd >= 0);
	assert_int_equal(ftruncate(dev->fd, 32 * MIB), 0);
	assert_int_equal(pwrite(dev->fd, "old", 3, 4 * MIB), 3);
	assert_int_equal(pwrite(dev->fd, "old", 3, 6 * MIB), 3);
	assert_int_equal(dev->ops->discard(dev, 4 * MIB, 2 * MIB), 0);
	char bytes[3];
	assert_int_equal(pread(dev->fd, bytes, 3, 4 * MIB), 3);
	assert_memory_equal(bytes, "\0\0\0", 3);
	assert_int_equal(pread(dev->fd, bytes, 3, 6 * MIB), 3);
	assert_memory_equal(bytes, "old", 3);
	assert_int_equal(dev->ops->discard(dev, 30 * MIB, 4 * MIB), -EIO);
	assert_int_equal(close(dev->fd), 0);
	dev->fd = zero;
	dev_close(dev);
}

static void this_system_has_none_of_that_name(void **state)
{
	(void)state;
	assert_refused("devdax:/dev/zero", -EINVAL, "no DAX node");
	assert_refused("devdax:", -EINVAL, "no path given");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(size_and_granule_are_what_sysfs_says, as_it_should_be),
		cmocka_unit_test_setup(a_long_path_is_shown_by_its_end, as_it_should_be),
		cmocka_unit_test_setup(what_is_no_dax_node_is_refused, as_it_should_be),
		cmocka_unit_test_setup(one_without_the_right_driver_is_refused, as_it_should_be),
		cmocka_unit_test_setup(odd_sizes_and_alignments_are_refused, as_it_should_be),
		cmocka_unit_test_setup(the_node_that_is_asked_for_must_be_its_own, as_it_should_be),
		cmocka_unit_test_setup(one_that_is_not_as_it_was_is_refused, as_it_should_be),
		cmocka_unit_test_setup_teardown(each_mapping_is_a_piece, no_pieces, no_pieces),
		cmocka_unit_test_setup_teardown(pieces_that_do_not_make_up_the_node_are_refused, no_pieces, no_pieces),
		cmocka_unit_test_setup(a_second_node_of_the_device_is_refused, as_it_should_be),
		cmocka_unit_test_setup(one_that_somebody_else_maps_is_refused, as_it_should_be),
		cmocka_unit_test_setup(what_changed_before_it_was_taken_is_refused, as_it_should_be),
		cmocka_unit_test_setup(one_that_was_unbound_stays_gone, as_it_should_be),
		cmocka_unit_test_setup(discard_says_when_the_memory_is_gone, as_it_should_be),
		cmocka_unit_test(this_system_has_none_of_that_name),
	};
	return cmocka_run_group_tests(tests, set_up, remove_system);
}
