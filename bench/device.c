/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * device.c - what it takes to have a device and to let it go, for each kind: its guards, the trial of the lease and what it
 * asks the system about itself included. By hand: the calls that cannot be left out.
 */
#include "subject.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dev/dev.h"

static const char *spec;
static uint64_t count, bytes;
static unsigned flags;

static double per_operation(void (*batch)(uint64_t n))
{
	uint64_t start = now_ns();
	batch(count);
	return (double)(now_ns() - start) / (double)count;
}

static void ours_batch(uint64_t n)
{
	for (uint64_t i = 0; i < n; i++) {
		char why[DEV_WHY_MAX] = "";
		struct dev *dev;
		int err = dev_open(spec, &dev, why);
		if (err)
			subject_fail("%s: %s", spec, why[0] ? why : strerror(-err));
		dev_close(dev);
	}
}

static void ours_prepare(int argc, char **argv)
{
	if (argc < 1 || strchr(argv[0], ':') == NULL)
		subject_fail("no device: $PGMAP_BENCH_%s names none", argc < 1 ? "DEVDAX" : argv[0]);
	spec = argv[0];
	count = subject_calibrate(ours_batch);
}

static double ours_round(void)
{
	return per_operation(ours_batch);
}

static void memory_batch(uint64_t n)
{
	for (uint64_t i = 0; i < n; i++) {
		int fd = memfd_create("bench", MFD_CLOEXEC | MFD_ALLOW_SEALING | flags);
		if (fd < 0 || ftruncate(fd, (off_t)bytes) != 0)
			subject_fail("no memfd");
		(void)close(fd);
	}
}

static void memory_prepare(int argc, char **argv)
{
	bytes = subject_number(argc, argv, 0) << 20;
	flags = subject_number(argc, argv, 1) > 4 ? MFD_HUGETLB | 21U << MAP_HUGE_SHIFT : 0;
	count = subject_calibrate(memory_batch);
}

static double memory_round(void)
{
	return per_operation(memory_batch);
}

static void file_batch(uint64_t n)
{
	for (uint64_t i = 0; i < n; i++) {
		struct stat st;
		int fd = open(spec, O_RDWR | O_CLOEXEC);
		if (fd < 0 || fstat(fd, &st) != 0)
			subject_fail("%s cannot be opened", spec);
		(void)close(fd);
	}
}

static void file_prepare(int argc, char **argv)
{
	if (argc < 1)
		subject_fail("which file?");
	spec = argv[0];
	int fd = open(spec, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		subject_fail("%s cannot be made", spec);
	(void)close(fd);
	count = subject_calibrate(file_batch);
}

static double file_round(void)
{
	return per_operation(file_batch);
}

int main(int argc, char **argv)
{
	static const struct subject table[] = {
		{"open_close", "SPEC", ours_prepare, ours_round},
		{"memory", "MIB PAGE_KIB", memory_prepare, memory_round},
		{"file", "PATH", file_prepare, file_round},
		{0},
	};
	return subject_main(argc, argv, table);
}
