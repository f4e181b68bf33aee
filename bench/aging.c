/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * aging.c - how much of a pool's files still lies in whole, aligned 2 MiB after the pool was filled ten times over, with
 * files of all sizes that come and go at random, 85 % full; and how much when the same files are made on a fresh pool.
 * The device is one of numbers only: where things lie does not depend on memory. The peers are file systems on a loop
 * device, asked by FIEMAP where their files lie.
 */
#include "subject.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <pgmap/fsdax.h>

enum { FILES = 65536, FILLS = 10, BIG_SHIFT = 21, SMALLEST_SHIFT = 12, LARGEST_SHIFT = 22 };

static uint64_t pool_bytes;
static struct rng rng = RNG_SEED;

/* What a file system does here. Names are numbers. */
struct place {
	void (*begin)(void); /* fresh */
	bool (*make)(unsigned name, uint64_t bytes);
	void (*remove)(unsigned name);
	uint64_t (*whole)(unsigned name, uint64_t bytes); /* of its bytes, those in whole, aligned 2 MiB */
	void (*end)(void);
};

static const struct place *place;
static uint64_t sizes[FILES]; /* 0: no such file */
static unsigned names[FILES], nnames;

/* As many small ones as large ones, on a scale of doublings. */
static uint64_t random_size(void)
{
	uint64_t base = UINT64_C(1) << (SMALLEST_SHIFT + rng_below(&rng, LARGEST_SHIFT - SMALLEST_SHIFT));
	return (base + rng_below(&rng, base)) >> SMALLEST_SHIFT << SMALLEST_SHIFT;
}

static uint64_t remove_one(void)
{
	unsigned at = (unsigned)rng_below(&rng, nnames), name = names[at];
	uint64_t bytes = sizes[name];
	place->remove(name);
	sizes[name] = 0;
	names[at] = names[--nnames];
	return bytes;
}

static unsigned free_name(void)
{
	unsigned name = (unsigned)rng_below(&rng, FILES);
	while (sizes[name])
		name = (name + 1) % FILES;
	return name;
}

static void age(void)
{
	uint64_t used = 0, most = pool_bytes / 100 * 85;
	for (uint64_t made = 0; made < FILLS * pool_bytes;) {
		uint64_t bytes = random_size();
		unsigned name = free_name();
		while (used + bytes > most)
			used -= remove_one();
		if (!place->make(name, bytes)) {
			used -= remove_one();
			continue;
		}
		sizes[name] = bytes;
		names[nnames++] = name;
		used += bytes;
		made += bytes;
	}
}

/* Of the bytes that could lie in whole 2 MiB, those that do. */
static double share(void)
{
	uint64_t could = 0, do_so = 0;
	for (unsigned i = 0; i < nnames; i++) {
		could += sizes[names[i]] >> BIG_SHIFT << BIG_SHIFT;
		do_so += place->whole(names[i], sizes[names[i]]);
	}
	return could ? (double)do_so / (double)could : 0;
}

static double round_of(bool aged)
{
	memset(sizes, 0, sizeof(sizes));
	nnames = 0;
	place->begin();
	age();
	if (!aged) {
		place->end();
		place->begin();
		for (unsigned i = 0; i < nnames; i++) {
			if (!place->make(names[i], sizes[names[i]]))
				subject_fail("no room on a fresh pool");
		}
	}
	double whole = share();
	place->end();
	return whole;
}

/* Always the same calls, so always the same share: one round is enough. */
static double result = -1;

static double aged_round(void)
{
	if (result < 0)
		result = round_of(true);
	return result;
}

static double fresh_round(void)
{
	if (result < 0)
		result = round_of(false);
	return result;
}

/* Ours. */
static struct dax_device *dax;
static struct fsdax *fs;

static int no_discard(void *ctx, uint64_t offset_bytes, uint64_t len_bytes)
{
	(void)ctx;
	(void)offset_bytes;
	(void)len_bytes;
	return 0;
}

static const struct dax_device_ops numbers = {.ops_bytes = sizeof(numbers), .discard = no_discard};

static void pool_begin(void)
{
	const struct dax_params params = {
		.params_bytes = sizeof(params),
		.type = PGMAP_FSDAX,
		.len_bytes = pool_bytes,
		.fd = -1,
		.ops = &numbers,
		.name = "aging",
	};
	if (dax_create(&params, &dax) != 0 || fsdax_create(dax, NULL, &fs) != 0)
		subject_fail("no pool");
}

static struct fsdax_file *pool_open(unsigned name, unsigned flags)
{
	char path[16];
	struct fsdax_file *file;
	(void)snprintf(path, sizeof(path), "%u", name);
	if (fsdax_open(fs, path, flags, &file) != 0)
		subject_fail("file %u cannot be opened", name);
	return file;
}

static void pool_remove(unsigned name)
{
	char path[16];
	(void)snprintf(path, sizeof(path), "%u", name);
	if (fsdax_unlink(fs, path) != 0)
		subject_fail("file %u cannot be removed", name);
}

static bool pool_make(unsigned name, uint64_t bytes)
{
	struct fsdax_file *file = pool_open(name, FSDAX_CREATE | FSDAX_EXCL);
	int err = fsdax_truncate(file, bytes);
	fsdax_close(file);
	if (err)
		pool_remove(name);
	return err == 0;
}

static uint64_t pool_whole(unsigned name, uint64_t bytes)
{
	struct fsdax_map *map;
	struct fsdax_file *file = pool_open(name, 0);
	uint64_t pages = 0;
	if (fsdax_map(file, 0, bytes, NULL, NULL, &map) != 0)
		subject_fail("file %u cannot be mapped", name);
	for (uint64_t i = 0; i < fsdax_map_nspans(map); i++) {
		struct fsdax_span span;
		fsdax_map_span(map, i, &span);
		if (span.order >= BIG_SHIFT - PGMAP_PAGE_SHIFT)
			pages += UINT64_C(1) << span.order;
	}
	fsdax_unmap(map);
	fsdax_close(file);
	return pages << PGMAP_PAGE_SHIFT;
}

static void pool_end(void)
{
	if (fsdax_destroy(fs) != 0 || dax_destroy(dax) != 0)
		subject_fail("the pool does not end");
}

static const struct place our_place = {pool_begin, pool_make, pool_remove, pool_whole, pool_end};

static void pool_prepare(int argc, char **argv)
{
	pool_bytes = subject_number(argc, argv, 0) << 20;
	place = &our_place;
}

/* A file system of the kernel's, in a file on tmpfs. Its mount is in a namespace of the process's own, and goes with it. */
static char folder[] = "/dev/shm/pgmap-aging-XXXXXX";
static char image[64], mounted[64];
static const char *kind;
static int dir_fd = -1;

static void run(const char *command)
{
	int status = system(command); /* NOLINT(cert-env33-c): the names in it are ours */
	if (status != 0)
		subject_fail("%s: it answers %d (a loop device and root are needed)", command,
			     WIFEXITED(status) ? WEXITSTATUS(status) : -1);
}

static void loop_end(void)
{
	if (dir_fd >= 0)
		close(dir_fd);
	dir_fd = -1;
	if (umount2(mounted, 0) != 0)
		subject_fail("umount %s: %s", mounted, strerror(errno));
}

static void remove_folder(void)
{
	(void)unlink(image);
	(void)rmdir(mounted);
	(void)rmdir(folder);
}

static void loop_begin(void)
{
	char command[256];
	(void)snprintf(command, sizeof(command), "truncate -s %lu %s && mkfs.%s -q %s %s >/dev/null 2>&1",
		       (unsigned long)pool_bytes, image, kind, strcmp(kind, "ext4") == 0 ? "-O ^has_journal" : "",
		       image);
	run(command);
	(void)snprintf(command, sizeof(command), "mount -o loop %s %s 2>/dev/null", image, mounted);
	run(command);
	(void)unlink(image); /* the loop device has it */
	dir_fd = open(mounted, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir_fd < 0)
		subject_fail("%s: %s", mounted, strerror(errno));
}

static bool loop_make(unsigned name, uint64_t bytes)
{
	char path[16];
	(void)snprintf(path, sizeof(path), "%u", name);
	int fd = openat(dir_fd, path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return false;
	bool made = fallocate(fd, 0, 0, (off_t)bytes) == 0;
	close(fd);
	if (!made)
		(void)unlinkat(dir_fd, path, 0);
	return made;
}

static void loop_remove(unsigned name)
{
	char path[16];
	(void)snprintf(path, sizeof(path), "%u", name);
	if (unlinkat(dir_fd, path, 0) != 0)
		subject_fail("file %u cannot be removed: %s", name, strerror(errno));
}

/* Of one extent: what lies at a multiple of 2 MiB in file and device both. */
static uint64_t whole_in(const struct fiemap_extent *extent)
{
	uint64_t big = UINT64_C(1) << BIG_SHIFT, from = (extent->fe_logical + big - 1) / big * big;
	uint64_t end = (extent->fe_logical + extent->fe_length) / big * big;
	bool congruent = (extent->fe_physical - extent->fe_logical) % big == 0;
	return congruent && end > from ? end - from : 0;
}

static uint64_t loop_whole(unsigned name, uint64_t bytes)
{
	enum { EXTENTS = 4096 };
	static union {
		struct fiemap map;
		char room[sizeof(struct fiemap) + EXTENTS * sizeof(struct fiemap_extent)];
	} all;
	char path[16];
	uint64_t sum = 0;
	(void)snprintf(path, sizeof(path), "%u", name);
	int fd = openat(dir_fd, path, O_RDONLY | O_CLOEXEC);
	memset(&all.map, 0, sizeof(all.map));
	all.map.fm_length = bytes;
	all.map.fm_extent_count = EXTENTS;
	if (fd < 0 || ioctl(fd, FS_IOC_FIEMAP, &all.map) != 0)
		subject_fail("file %u: %s", name, strerror(errno));
	close(fd);
	for (unsigned i = 0; i < all.map.fm_mapped_extents; i++)
		sum += whole_in(&all.map.fm_extents[i]);
	return sum;
}

static const struct place loop_place = {loop_begin, loop_make, loop_remove, loop_whole, loop_end};

static void loop_prepare(int argc, char **argv)
{
	pool_bytes = subject_number(argc, argv, 0) << 20;
	if (argc < 2)
		subject_fail("which file system?");
	kind = argv[1];
	place = &loop_place;
	if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
		subject_fail("%s: no mounts of its own: %s (a loop device and root are needed)", kind, strerror(errno));
	if (!mkdtemp(folder))
		subject_fail("%s: %s", folder, strerror(errno));
	(void)snprintf(image, sizeof(image), "%s/image", folder);
	(void)snprintf(mounted, sizeof(mounted), "%s/mounted", folder);
	(void)atexit(remove_folder);
	if (mkdir(mounted, 0700) != 0)
		subject_fail("%s: %s", mounted, strerror(errno));
	loop_begin();
	loop_end();
}

int main(int argc, char **argv)
{
	static const struct subject table[] = {
		{"aged", "MIB", pool_prepare, aged_round},
		{"fresh", "MIB", pool_prepare, fresh_round},
		{"other", "MIB ext4|xfs", loop_prepare, aged_round},
		{0},
	};
	return subject_main(argc, argv, table);
}
