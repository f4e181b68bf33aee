/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * transfer.c - files into the pool and out of it with the command, from and to a folder of tmpfs, against cp from tmpfs to
 * tmpfs. In GB/s, over the whole command from its start to its end. What it writes is a new file each time: the old one is
 * removed before the clock starts.
 */
#include "subject.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sched.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pool.h"

static const char *const FOLDER = "/dev/shm", *const POOL_FILE = "/bench-transfer";

static const char *program;
static char source[64], result[64];
static uint64_t bytes;

static void clean(void)
{
	if (program)
		(void)pgmap_unlink(pool_client(), POOL_FILE);
	unlink(source);
	unlink(result);
}

static void run(const char *const argv[])
{
	int status = 0;
	pid_t pid;
	int rc = posix_spawnp(&pid, argv[0], NULL, NULL, (char *const *)(uintptr_t)argv, environ);
	if (rc != 0 || waitpid(pid, &status, 0) != pid || status != 0)
		subject_fail("%s: %s (wait status %#x)", argv[0], strerror(rc), (unsigned)status);
}

static double timed(const char *const argv[])
{
	uint64_t start = now_ns();
	run(argv);
	return (double)bytes / (double)(now_ns() - start);
}

static void unlink_in_pool(void)
{
	int rc = pgmap_unlink(pool_client(), POOL_FILE);
	if (rc != 0 && rc != -ENOENT)
		subject_fail("unlink: %s", strerror(-rc));
}

/* The same size, or it has not been copied. */
static void check_result(void)
{
	struct stat st;
	if (stat(result, &st) != 0 || (uint64_t)st.st_size != bytes)
		subject_fail("%s has not come out whole", result);
}

static void make_source(void)
{
	char piece[1 << 16];
	struct statfs fs;
	if (statfs(FOLDER, &fs) != 0 || fs.f_type != TMPFS_MAGIC ||
	    (uint64_t)fs.f_bavail * (uint64_t)fs.f_bsize < 2 * bytes)
		subject_fail("%s is no tmpfs with room for %lu bytes", FOLDER, (unsigned long)(2 * bytes));
	snprintf(source, sizeof(source), "%s/pgmap-bench-%d.source", FOLDER, (int)getpid());
	snprintf(result, sizeof(result), "%s/pgmap-bench-%d.result", FOLDER, (int)getpid());
	atexit(clean);
	memset(piece, 1, sizeof(piece));
	int fd = open(source, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	for (uint64_t at = 0; fd >= 0 && at < bytes; at += sizeof(piece)) {
		if (write(fd, piece, sizeof(piece)) != sizeof(piece))
			subject_fail("%s: %s", source, strerror(errno));
	}
	if (fd < 0 || close(fd) != 0)
		subject_fail("%s: %s", source, strerror(errno));
}

/* Where there is another CPU for the subject, its command may use both. */
static void use_both_cpus(void)
{
	const char *other = getenv("PGMAP_BENCH_OTHER_CPU");
	cpu_set_t set;
	if (!other)
		return;
	if (sched_getaffinity(0, sizeof(set), &set) == 0) {
		CPU_SET((unsigned)atoi(other), &set);
		(void)sched_setaffinity(0, sizeof(set), &set);
	}
}

static void prepare(int argc, char **argv)
{
	bytes = subject_number(argc, argv, 0) << 20;
	program = argc > 1 ? argv[1] : NULL;
	use_both_cpus();
	make_source();
}

static double put_round(void)
{
	const char *argv[] = {program, "put", source, POOL_FILE, NULL};
	unlink_in_pool();
	return timed(argv);
}

static double get_round(void)
{
	const char *argv[] = {program, "get", POOL_FILE, result, NULL};
	unlink(result);
	double rate = timed(argv);
	check_result();
	return rate;
}

static void get_prepare(int argc, char **argv)
{
	prepare(argc, argv);
	(void)put_round();
}

static double cp_round(void)
{
	const char *argv[] = {"cp", source, result, NULL};
	unlink(result);
	double rate = timed(argv);
	check_result();
	return rate;
}

int main(int argc, char **argv)
{
	static const struct subject table[] = {
		{"put", "MIB PGMAP", prepare, put_round},
		{"get", "MIB PGMAP", get_prepare, get_round},
		{"cp", "MIB", prepare, cp_round},
		{0},
	};
	return subject_main(argc, argv, table);
}
