/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * who.c - how long it takes to say who holds which pages, when many do: the command as a whole, the call alone, and a walk
 * through every process's /proc/PID/maps, which is what there is without a pool (it knows no holder but a process, and no
 * name of a file of the pool).
 *
 * The holders are connections, some hundred to a process, each of which maps every one of the files: as many processes as
 * it takes for none to have more mappings than the system lets it.
 */
#include "subject.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pool.h"

enum { MAPPINGS_MAX = 25000, FDS_PER_HOLDER = 8, FDS_SPARE = 64 };

static const char *program;
static uint64_t holders, files;

static void file_name(char name[32], uint64_t i)
{
	snprintf(name, 32, "/bench-who/%lu", (unsigned long)i);
}

static void make_files(void)
{
	char name[32];
	int rc = pgmap_mkdir(pool_client(), "/bench-who");
	if (rc == -EEXIST)
		rc = 0;
	if (rc != 0)
		subject_fail("mkdir: %s", strerror(-rc));
	for (uint64_t i = 0; i < files; i++) {
		file_name(name, i);
		pool_make_file(name, 4096);
	}
}

/* One holder: a connection that maps every file; it is never let go. */
static int hold(void)
{
	struct pgmap_client *own = NULL;
	char name[32];
	int rc = pgmap_connect(NULL, &own);
	for (uint64_t i = 0; rc == 0 && i < files; i++) {
		struct pgmap_mapping *m = NULL;
		file_name(name, i);
		rc = pgmap_open_map(own, name, 0, 0, PGMAP_MAP_READ, &m);
	}
	return rc;
}

static _Noreturn void hold_all(uint64_t n, int ready, pid_t parent)
{
	struct rlimit limit;
	int rc = 0;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < n * FDS_PER_HOLDER + FDS_SPARE) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
	for (uint64_t i = 0; rc == 0 && i < n; i++)
		rc = hold();
	if (write(ready, &rc, sizeof(rc)) != sizeof(rc))
		_exit(1);
	for (;;)
		pause();
}

static void start_holders(uint64_t n)
{
	int ready[2], rc = 0;
	if (pipe2(ready, O_CLOEXEC) != 0)
		subject_fail("pipe: %s", strerror(errno));
	pid_t parent = getpid(), pid = fork();
	if (pid < 0)
		subject_fail("fork: %s", strerror(errno));
	if (pid == 0)
		hold_all(n, ready[1], parent);
	close(ready[1]);
	ssize_t got = read(ready[0], &rc, sizeof(rc));
	close(ready[0]);
	if (got != sizeof(rc) || rc != 0)
		subject_fail("%lu holders: %s", (unsigned long)n, got == sizeof(rc) ? strerror(-rc) : "they died");
}

static int count_row(void *arg, const struct pgmap_who *who)
{
	uint64_t *rows = arg;
	*rows += who->path[0] == '/';
	return 0;
}

static double call_round(void)
{
	uint64_t rows = 0, start = now_ns();
	int rc = pgmap_who(pool_client(), NULL, count_row, &rows);
	uint64_t took = now_ns() - start;
	if (rc != 0 || rows != holders * files)
		subject_fail("who: %lu rows, not %lu: %s", (unsigned long)rows, (unsigned long)(holders * files),
			     strerror(-rc));
	return (double)took;
}

static double command_round(void)
{
	const char *argv[] = {"pgmap", "who", NULL};
	posix_spawn_file_actions_t actions;
	int status = 0;
	pid_t pid;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
	uint64_t start = now_ns();
	int rc = posix_spawn(&pid, program, &actions, NULL, (char *const *)(uintptr_t)argv, environ);
	if (rc != 0 || waitpid(pid, &status, 0) != pid || status != 0)
		subject_fail("%s who: %s (wait status %#x)", program, strerror(rc), (unsigned)status);
	uint64_t took = now_ns() - start;
	posix_spawn_file_actions_destroy(&actions);
	return (double)took;
}

static void prepare(int argc, char **argv)
{
	holders = subject_number(argc, argv, 0);
	files = subject_number(argc, argv, 1);
	program = argc > 2 ? argv[2] : NULL;
	make_files();
	uint64_t each = MAPPINGS_MAX / files ? MAPPINGS_MAX / files : 1;
	for (uint64_t left = holders; left > 0; left -= left < each ? left : each)
		start_holders(left < each ? left : each);
	(void)call_round(); /* all of them are there, whoever is asked afterwards */
}

/* Every line of every process's map, of those that have the pool's memory in them. */
static uint64_t maps_of(const char *pid)
{
	char path[300], line[600];
	uint64_t found = 0;
	snprintf(path, sizeof(path), "/proc/%s/maps", pid);
	FILE *maps = fopen(path, "re");
	while (maps && fgets(line, sizeof(line), maps))
		found += strstr(line, "/memfd:") != NULL;
	if (maps)
		fclose(maps);
	return found;
}

static double proc_round(void)
{
	uint64_t found = 0, start = now_ns();
	struct dirent *entry;
	DIR *proc = opendir("/proc");
	if (!proc)
		subject_fail("/proc: %s", strerror(errno));
	while ((entry = readdir(proc)) != NULL) {
		if (isdigit((unsigned char)entry->d_name[0]))
			found += maps_of(entry->d_name);
	}
	closedir(proc);
	keep((void *)(uintptr_t)found);
	return (double)(now_ns() - start);
}

int main(int argc, char **argv)
{
	static const struct subject table[] = {
		{"call", "HOLDERS FILES", prepare, call_round},
		{"command", "HOLDERS FILES PGMAP", prepare, command_round},
		{"proc", "", NULL, proc_round},
		{0},
	};
	return subject_main(argc, argv, table);
}
