/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Files on file systems that are full, or that will not do: each is made and mounted in a mount namespace of this process,
 * and gone with it. That needs root, and a loop device; without the right to mount, the tests are skipped.
 */
#include "dev_util.h"

#include <sched.h>
#include <sys/mount.h>

#define AT    "./dev_file_mounts.dir"
#define IMAGE "./dev_file_mounts.image"
#define POOL  AT "/pool"
enum { PIECE = 2 * MIB };

static void must(const char *command)
{
	if (system(command) != 0)
		fail_msg("%s: failed", command);
}

/* A file system of this type on a loop device, which goes with the last mount. */
static void mount_image(const char *mkfs, unsigned mib)
{
	char command[256];
	(void)snprintf(command, sizeof(command),
		       "rm -f %s && truncate -s %uM %s && PATH=$PATH:/sbin:/usr/sbin %s %s >/dev/null", IMAGE, mib,
		       IMAGE, mkfs, IMAGE);
	must(command);
	must("mount -o loop " IMAGE " " AT);
}

static void unmount(void)
{
	assert_int_equal(umount(AT), 0);
	(void)unlink(IMAGE);
}

/* Populated from the start of the device, until there is no more room; how many pieces. */
static uint64_t populate_until_full(struct dev *dev)
{
	uint64_t n = 0;
	int err = 0;
	while ((n + 1) * PIECE <= dev->size_bytes && (err = dev->ops->populate(dev, n * PIECE, PIECE)) == 0)
		n++;
	assert_int_equal(err, -ENOSPC);
	assert_int_equal(dev->ops->discard(dev, n * PIECE, PIECE), 0); /* as its caller does */
	return n;
}

/* Somebody else takes all that is left. */
static void fill_the_rest(void)
{
	static char bytes[PIECE];
	int fd = open(AT "/rest", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	for (size_t len = sizeof(bytes); len; len /= 2)
		while (write(fd, bytes, len) > 0)
			;
	assert_int_equal(fsync(fd), 0);
	assert_int_equal(close(fd), 0);
}

static void write_pieces(char *at, uint64_t npieces, char byte)
{
	for (uint64_t i = 0; i < npieces * PIECE; i += 4096) {
		memset(at + i, byte, 4096);
		if (i % (4 * MIB) == 0)
			assert_int_equal(msync(at, npieces * PIECE, MS_SYNC), 0);
	}
	assert_int_equal(msync(at, npieces * PIECE, MS_SYNC), 0);
}

/*
 * A pool that is bigger than its file system: what populate has given can be written, again and again, written back and
 * read, with nothing free any more; and what is not there is -ENOSPC, a SIGBUS nowhere.
 */
static void use_a_full_one(void)
{
	struct dev *dev = open_dev("file:" POOL ",size=1G,create");
	char *at = map_all(dev);
	uint64_t npieces = populate_until_full(dev);
	assert_true(npieces >= 3);
	fill_the_rest();
	write_pieces(at, npieces, 'a');
	write_pieces(at, npieces, 'b');
	for (uint64_t i = 0; i < npieces * PIECE; i += 512)
		assert_int_equal(at[i], 'b');
	/* A hole is not one's own any more: somebody else was quicker. */
	assert_int_equal(dev->ops->discard(dev, PIECE, PIECE), 0);
	fill_the_rest();
	uint64_t before = allocated_bytes(dev->fd);
	assert_int_equal(dev->ops->populate(dev, PIECE, PIECE), -ENOSPC);
	assert_int_equal(dev->ops->discard(dev, PIECE, PIECE), 0);
	assert_true(allocated_bytes(dev->fd) <= before);
	write_pieces(at, 1, 'c');
	/* And when there is room again, the hole is filled with zeros. */
	assert_int_equal(unlink(AT "/rest"), 0);
	assert_int_equal(dev->ops->populate(dev, PIECE, PIECE), 0);
	for (int i = 0; i < PIECE; i += 512)
		assert_int_equal(at[PIECE + i], 0);
	memset(at + PIECE, 'd', PIECE);
	assert_int_equal(munmap(at, dev->size_bytes), 0);
	dev_close(dev);
}

/*
 * Single pages, far from each other, in a file that has nothing else, and then no room is left: the page cache makes bigger
 * folios around them, and the file system must not want room for those at the first write.
 */
static void use_single_pages(void)
{
	enum { PAGE = 4096, PAGES = 3 };
	struct dev *dev = open_dev("file:" POOL ",overwrite");
	char *at = map_all(dev);
	for (int i = 0; i < PAGES; i++)
		assert_int_equal(dev->ops->populate(dev, i * PIECE + MIB + PAGE, PAGE), 0);
	assert_int_equal(dev->ops->discard(dev, PIECE + MIB + PAGE, PAGE), 0); /* the memory goes, the room stays */
	fill_the_rest();
	assert_int_equal(dev->ops->populate(dev, PIECE + MIB + PAGE, PAGE), 0);
	for (int i = 0; i < PAGES; i++) {
		assert_int_equal(at[i * PIECE + MIB + PAGE], 0);
		memset(at + i * PIECE + MIB + PAGE, 'x', PAGE);
	}
	assert_int_equal(msync(at, PAGES * PIECE, MS_SYNC), 0);
	assert_int_equal(dev->ops->discard(dev, MIB, MIB / 2), 0);
	assert_int_equal(at[MIB + PAGE], 0);
	assert_int_equal(at[PIECE + MIB + PAGE], 'x');
	assert_int_equal(munmap(at, dev->size_bytes), 0);
	assert_int_equal(dev->ops->discard(dev, 0, dev->size_bytes), 0);
	assert_true(allocated_bytes(dev->fd) <=
		    4096); /* nothing of it stays, but what the file system keeps for itself */
	dev_close(dev);
	dev_close(open_dev("file:" POOL));
	assert_int_equal(unlink(AT "/rest"), 0);
}

static void c7_11_a_full_tmpfs_is_enospc_and_never_sigbus(void **state)
{
	(void)state;
	assert_int_equal(mount("tmpfs", AT, "tmpfs", 0, "size=8M"), 0);
	use_a_full_one();
	unmount();
}

static void c7_11_a_full_ext4_is_enospc_and_never_sigbus(void **state)
{
	(void)state;
	mount_image("mkfs.ext4 -q", 16);
	use_a_full_one();
	use_single_pages();
	unmount();
}

static void c7_11_a_full_xfs_is_enospc_and_never_sigbus(void **state)
{
	(void)state;
	mount_image("mkfs.xfs -q", 320);
	must("fallocate -l 200M " AT "/most");
	use_a_full_one();
	use_single_pages();
	unmount();
}

/* Two pages, and a third that nobody has. */
static void c7_11_a_full_hugetlbfs_is_enospc_and_never_sigbus(void **state)
{
	(void)state;
	assert_int_equal(mount("hugetlbfs", AT, "hugetlbfs", 0, "pagesize=2M,size=4M"), 0);
	assert_refused("file:" POOL ",size=3M,create", -EINVAL, "size 3145728 is not a multiple of the page, 2M");
	struct dev *dev = open_dev("file:" POOL ",size=8M,create,node=0,lock");
	assert_int_equal(dev->granule_order, 9);
	char *at = map_all(dev);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(dev->ops->populate(dev, 0, 4 * MIB), 0);
		assert_int_equal(dev->ops->populate(dev, 4 * MIB, 2 * MIB), -ENOSPC);
		for (int k = 0; k < 4 * MIB; k += 512)
			assert_int_equal(at[k], 0);
		memset(at, 'x', 4 * MIB);
		assert_int_equal(dev->ops->discard(dev, 0, 4 * MIB), 0);
	}
	assert_int_equal(dev->ops->populate(dev, 2 * MIB, 2 * MIB), 0);
	assert_int_equal(munmap(at, 8 * MIB), 0);
	dev_close(dev);
	assert_refused("file:" POOL, -EEXIST, "holds data");
	dev = open_dev("file:" POOL ",overwrite");
	assert_true(allocated_bytes(dev->fd) == 0);
	dev_close(dev);
	dev_close(open_dev("file:" POOL));
	unmount();
}

/* What is refused leaves neither a new file nor a change in an old one. */
static void refuses(const char *words)
{
	char bytes[4096], spec[64], why[DEV_WHY_MAX];
	struct dev *dev;
	assert_int_equal(dev_look("file:" POOL ",size=1M,create", NULL, &dev, why), -EOPNOTSUPP); /* by looking */
	assert_non_null(strstr(why, words));
	assert_int_equal(access(POOL, F_OK), -1);
	memset(bytes, 'k', sizeof(bytes));
	int fd = open(POOL, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(write(fd, bytes, sizeof(bytes)), sizeof(bytes));
	(void)snprintf(spec, sizeof(spec), "file:%s,overwrite", POOL);
	assert_refused(spec, -EOPNOTSUPP, words);
	assert_int_equal(pread(fd, bytes, sizeof(bytes), 0), sizeof(bytes));
	for (size_t i = 0; i < sizeof(bytes); i++)
		assert_int_equal(bytes[i], 'k');
	assert_int_equal(close(fd), 0);
}

static void what_cannot_allocate_in_advance_is_refused(void **state)
{
	(void)state;
	mount_image("mkfs.ext4 -q -O ^extent,^64bit", 16);
	refuses("cannot allocate in advance");
	unmount();
}

/* More than any file of an ext4 with pages of 4 KiB. */
static void what_can_have_no_such_size_is_refused_by_looking(void **state)
{
	(void)state;
	char why[DEV_WHY_MAX];
	struct dev *dev;
	mount_image("mkfs.ext4 -q", 16);
	assert_int_equal(dev_look("file:" POOL ",size=17T,create", NULL, &dev, why), -EFBIG);
	assert_string_equal(why, "cannot be given its size: File too large");
	assert_int_equal(access(POOL, F_OK), -1);
	unmount();
}

static void what_writes_to_a_new_place_each_time_is_refused(void **state)
{
	(void)state;
	mount_image("mkfs.btrfs -q", 128);
	refuses("lies on btrfs, which writes every change to a new place");
	unmount();
}

static void a_node_needs_pages_that_stay(void **state)
{
	(void)state;
	mount_image("mkfs.ext4 -q", 16);
	assert_refused("file:" POOL ",size=1M,create,node=0", -EINVAL, "node=0 needs pages that stay");
	assert_int_equal(access(POOL, F_OK), -1);
	dev_close(open_dev("file:" POOL ",size=1M,create,node=0,lock"));
	unmount();
	assert_int_equal(mount("tmpfs", AT, "tmpfs", 0, "size=8M"), 0);
	dev_close(open_dev("file:" POOL ",size=1M,create,node=0"));
	unmount();
}

static void what_cannot_be_written_is_refused(void **state)
{
	(void)state;
	assert_int_equal(mount("tmpfs", AT, "tmpfs", 0, "size=8M"), 0);
	dev_close(open_dev("file:" POOL ",size=1M,create"));
	assert_int_equal(mount("tmpfs", AT, "tmpfs", MS_REMOUNT | MS_RDONLY, "size=8M"), 0);
	assert_refused("file:" POOL, -EROFS, "cannot be opened for reading and writing");
	assert_refused("file:" AT "/new,size=1M,create", -EROFS, "cannot be created");
	unmount();
}

static bool may_mount(void)
{
	return unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
}

int main(void)
{
	enum { SKIPPED = 77 };
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(c7_11_a_full_tmpfs_is_enospc_and_never_sigbus),
		cmocka_unit_test(c7_11_a_full_ext4_is_enospc_and_never_sigbus),
		cmocka_unit_test(c7_11_a_full_xfs_is_enospc_and_never_sigbus),
		cmocka_unit_test(c7_11_a_full_hugetlbfs_is_enospc_and_never_sigbus),
		cmocka_unit_test(what_cannot_allocate_in_advance_is_refused),
		cmocka_unit_test(what_can_have_no_such_size_is_refused_by_looking),
		cmocka_unit_test(what_writes_to_a_new_place_each_time_is_refused),
		cmocka_unit_test(a_node_needs_pages_that_stay),
		cmocka_unit_test(what_cannot_be_written_is_refused),
	};
	if (!may_mount()) {
		(void)fprintf(stderr, "this process may not mount\n");
		return SKIPPED;
	}
	(void)mkdir(AT, 0700);
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	(void)unlink(IMAGE);
	return rmdir(AT) != 0 || failed;
}
