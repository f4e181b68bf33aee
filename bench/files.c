/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * files.c - a file of 2 MiB is made, mapped, touched, unmapped and unlinked: what that takes in a pool of this program's, in
 * the server's, on tmpfs and on huge pages by hand. The pools do it in bursts of 32, and get the time in between to have
 * memory ready, as a pool that is used by people has; or without a pause, where each file waits for the bytes of the one
 * before it to be wiped.
 */
#include "subject.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "pool.h"

enum { FILE_BYTES = 2 << 20, FILE_PAGES = FILE_BYTES / 4096, BURST = 32 };

static struct pgmap_client *client;
static uint64_t count;

static void make_one(void)
{
	struct pgmap_mapping *m;
	int unlinked, err = pgmap_open_map(client, "/bench-file", PGMAP_O_CREATE | PGMAP_O_EXCL, FILE_BYTES,
					   PGMAP_MAP_READ | PGMAP_MAP_WRITE, &m);
	if (err)
		subject_fail("open_map: %s", strerror(-err));
	*(volatile char *)pgmap_mapping_address(m) = 1;
	err = pgmap_unmap_unlink(m, &unlinked);
	if (err || unlinked)
		subject_fail("unmap and unlink: %s", strerror(err ? -err : -unlinked));
}

static void make_batch(uint64_t n)
{
	while (n--)
		make_one();
}

/* Until as much is ready as a burst takes; a pool that does not come so far in 2 s is measured as it is. */
static void wait_until_ready(void)
{
	struct pgmap_info info;
	for (int i = 0; i < 2000; i++) {
		int err = pgmap_info(client, &info);
		if (err)
			subject_fail("info: %s", strerror(-err));
		uint64_t most = info.pages / 8 / FILE_PAGES * FILE_PAGES; /* what a pool has ready */
		if (info.clean >= (most < (uint64_t)BURST * FILE_PAGES ? most : (uint64_t)BURST * FILE_PAGES))
			return;
		(void)usleep(1000);
	}
}

static double burst_round(void)
{
	make_batch(BURST); /* so that the pool knows what is wanted, also after a pause */
	wait_until_ready();
	uint64_t start = now_ns();
	make_batch(BURST);
	return (double)(now_ns() - start) / BURST;
}

static double ceaseless_round(void)
{
	uint64_t start = now_ns();
	make_batch(count);
	return (double)(now_ns() - start) / (double)count;
}

static void embedded_prepare(int argc, char **argv)
{
	int err = argc < 1 ? -EINVAL : pgmap_connect(argv[0], &client);
	if (err)
		subject_fail("%s: %s", argc < 1 ? "no pool" : argv[0], strerror(-err));
	count = subject_calibrate(make_batch);
}

static void server_prepare(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	client = pool_client();
	count = subject_calibrate(make_batch);
}

/* By hand: a file with a name on tmpfs; one without on huge pages, for which there need be no mount. */
static void map_touch_close(int fd, const char *kind)
{
	char *at = MAP_FAILED;
	if (fd >= 0 && ftruncate(fd, FILE_BYTES) == 0)
		at = mmap(NULL, FILE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (at == MAP_FAILED)
		subject_fail("a file in pages of %s: %s", kind, strerror(errno));
	*(volatile char *)at = 1;
	(void)munmap(at, FILE_BYTES);
	(void)close(fd);
}

static void tmpfs_batch(uint64_t n)
{
	static const char path[] = "/dev/shm/pgmap-bench-file";
	while (n--) {
		map_touch_close(open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600), "4 KiB");
		if (unlink(path) != 0)
			subject_fail("%s: %s", path, strerror(errno));
	}
}

/* 21 << 26: pages of 2 MiB. */
static void huge_batch(uint64_t n)
{
	while (n--)
		map_touch_close(memfd_create("bench", MFD_CLOEXEC | MFD_HUGETLB | 21U << 26), "2 MiB");
}

static void (*by_hand)(uint64_t n);

static double by_hand_round(void)
{
	uint64_t start = now_ns();
	by_hand(count);
	return (double)(now_ns() - start) / (double)count;
}

static void tmpfs_prepare(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	by_hand = tmpfs_batch;
	count = subject_calibrate(tmpfs_batch);
}

static void huge_prepare(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	by_hand = huge_batch;
	count = subject_calibrate(huge_batch);
}

int main(int argc, char **argv)
{
	static const struct subject table[] = {
		{"embedded", "TARGET", embedded_prepare, burst_round},
		{"embedded_ceaseless", "TARGET", embedded_prepare, ceaseless_round},
		{"server", "", server_prepare, burst_round},
		{"server_ceaseless", "", server_prepare, ceaseless_round},
		{"tmpfs", "", tmpfs_prepare, by_hand_round},
		{"huge", "", huge_prepare, by_hand_round},
		{0},
	};
	return subject_main(argc, argv, table);
}
