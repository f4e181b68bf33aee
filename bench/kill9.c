/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * kill9.c - from the end of a killed holder's last mapping to all of its pages reusable.
 *
 * A round: a child connects and maps files until it holds that many folios; it is killed; the clock starts when the
 * kernel says that it is gone (its pidfd becomes readable: after the last mapping and the last descriptor, and so the
 * lease's lock, have gone, by microseconds), and stops when the pool holds no more pages than before. A child that maps
 * for seconds after the kill (the kernel's own teardown) is not counted: that is not ours.
 */
#include "subject.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <pgmap/client.h>

/* Files that grew page by page: each page is a folio of its own, and yet few mappings hold them all. */
enum { FILE_PAGES = 1000 };

static struct pgmap_client *client;
static uint64_t folios;

static uint64_t files(void)
{
	return (folios + FILE_PAGES - 1) / FILE_PAGES;
}

static uint64_t live_pages(void)
{
	struct pgmap_info info;
	int rc = pgmap_info(client, &info);
	if (rc != 0)
		subject_fail("info: %s", strerror(-rc));
	return info.live_pages;
}

static void file_name(char name[32], uint64_t i)
{
	snprintf(name, 32, "/kill9/%lu", (unsigned long)i);
}

static int grow_file(const char *name)
{
	struct pgmap_file *file = NULL;
	struct pgmap_stat st = {0};
	int rc = pgmap_open(client, name, PGMAP_O_CREATE, &file);
	if (rc == 0)
		rc = pgmap_fstat(file, &st);
	for (uint64_t pages = st.size_bytes / 4096 + 1; rc == 0 && pages <= FILE_PAGES; pages++)
		rc = pgmap_truncate(file, pages * 4096);
	if (rc == 0)
		rc = pgmap_fstat(file, &st);
	if (rc == 0 && st.extents != FILE_PAGES)
		subject_fail("%s has %lu extents, not %d", name, (unsigned long)st.extents, FILE_PAGES);
	return rc == 0 ? pgmap_close(file) : rc;
}

static void make_files(void)
{
	char name[32];
	int rc = pgmap_mkdir(client, "/kill9");
	if (rc != 0 && rc != -EEXIST)
		subject_fail("mkdir: %s", strerror(-rc));
	for (uint64_t i = 0; i < files(); i++) {
		file_name(name, i);
		rc = grow_file(name);
		if (rc != 0)
			subject_fail("%s: %s", name, strerror(-rc));
	}
}

/* The holder: maps all files, says so, and waits to be killed. */
static _Noreturn void hold(int ready)
{
	struct pgmap_client *own = NULL;
	char name[32];
	int rc = pgmap_connect(NULL, &own);
	for (uint64_t i = 0; rc == 0 && i < files(); i++) {
		struct pgmap_mapping *m = NULL;
		file_name(name, i);
		rc = pgmap_open_map(own, name, 0, 0, PGMAP_MAP_READ, &m);
	}
	if (write(ready, &rc, sizeof(rc)) != sizeof(rc))
		_exit(1);
	for (;;)
		pause();
}

static pid_t start_holder(void)
{
	int ready[2], rc = 0;
	if (pipe(ready) != 0)
		subject_fail("pipe: %s", strerror(errno));
	pid_t pid = fork();
	if (pid < 0)
		subject_fail("fork: %s", strerror(errno));
	if (pid == 0) {
		close(ready[0]);
		hold(ready[1]);
	}
	close(ready[1]);
	ssize_t n = read(ready[0], &rc, sizeof(rc));
	close(ready[0]);
	if (n != sizeof(rc) || rc != 0) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		subject_fail("the holder could not map its files: %s", n == sizeof(rc) ? strerror(-rc) : "it died");
	}
	return pid;
}

static double kill_round(void)
{
	uint64_t before = live_pages();
	pid_t pid = start_holder();
	uint64_t held = live_pages() - before;
	if (held < files() * FILE_PAGES)
		subject_fail("%lu pages are held, not %lu", (unsigned long)held, (unsigned long)(files() * FILE_PAGES));
	int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (pidfd < 0)
		subject_fail("pidfd_open: %s", strerror(errno));
	struct pollfd gone = {.fd = pidfd, .events = POLLIN};
	kill(pid, SIGKILL);
	while (poll(&gone, 1, -1) != 1)
		;
	uint64_t start = now_ns();
	while (live_pages() > before) {
		if (now_ns() - start > UINT64_C(30000000000))
			subject_fail("30 s after its holder's death %lu pages are still held",
				     (unsigned long)(live_pages() - before));
	}
	double ns = (double)(now_ns() - start);
	close(pidfd);
	waitpid(pid, NULL, 0);
	return ns;
}

static void kill_prepare(int argc, char **argv)
{
	folios = subject_number(argc, argv, 0);
	int rc = pgmap_connect(NULL, &client);
	if (rc != 0)
		subject_fail("connect: %s", strerror(-rc));
	make_files();
}

int main(int argc, char **argv)
{
	static const struct subject table[] = {{"kill", "FOLIOS", kill_prepare, kill_round}, {0}};
	return subject_main(argc, argv, table);
}
