/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * holder.c - a client of a pool that does one thing after the other as it is told, for the cases in virtual machines:
 *     vm_holder PATH MIB <WORDS >ANSWERS
 * It maps the pool's file PATH (made, with MIB, if it is not there), says "mapped", and then answers each line that it reads:
 *   fill        writes to every page: "filled", or "SIGBUS" where it got one (it goes on all the same)
 *   check       "same" if every page holds what fill wrote, "zero" if all of them are zero, "other", "SIGBUS"
 *   faults      how many page faults it takes to read one byte of every page, in a mapping made for that
 *   pin, unpin  all of it: "ok", or the error's name
 *   fork        a child that has the mapping too, and ends with nothing but its death: its pid
 *   poison N    the kernel is told that page N of the mapping is broken: "ok", or the error's name
 *   notify N    the server is told that page N cannot be read: how many it finds to be lost, or the error's name
 *   more        makes PATH.more, as big, and maps it: "ok", or the error's name
 *   remap       pgmap_remap() of all of it: "ok", or the error's name
 *   direct FILE moves a page that nobody has touched from the mapping to FILE and back, by O_DIRECT: "same" if it is what fill wrote,
 *               "other", or the error's name
 *   unmap       "ok", or the error's name
 * At the end of its input it ends at once, and gives nothing back by itself.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <pgmap/client.h>

enum { PAGE = 4096 };

static struct pgmap_client *client;
static struct pgmap_mapping *mapping;
static uint64_t *at;
static uint64_t bytes;
static sigjmp_buf back;
static volatile sig_atomic_t bus_code;

static void on_sigbus(int signal, siginfo_t *info, void *context)
{
	(void)signal;
	(void)context;
	bus_code = info->si_code;
	siglongjmp(back, 1);
}

static void say(const char *word)
{
	(void)puts(word);
	(void)fflush(stdout);
}

static void say_error(int err)
{
	say(err ? strerrorname_np(-err) : "ok");
}

static void say_count(int64_t n)
{
	if (n < 0) {
		say_error((int)n);
		return;
	}
	(void)printf("%ld\n", (long)n);
	(void)fflush(stdout);
}

static void say_sigbus(void)
{
	say(bus_code == BUS_MCEERR_AR ? "SIGBUS poison" : "SIGBUS");
}

static void fill(void)
{
	for (uint64_t i = 0; i < bytes / sizeof(*at); i += PAGE / sizeof(*at))
		*(volatile uint64_t *)&at[i] = i ^ UINT64_C(0x5ca1ab1e);
	say("filled");
}

static void check(void)
{
	bool same = true, zero = true;
	for (uint64_t i = 0; i < bytes / sizeof(*at); i += PAGE / sizeof(*at)) {
		uint64_t is = *(volatile uint64_t *)&at[i];
		same = same && is == (i ^ UINT64_C(0x5ca1ab1e));
		zero = zero && is == 0;
	}
	say(same ? "same" : zero ? "zero" : "other");
}

static long faults_so_far(void)
{
	struct rusage usage;
	(void)getrusage(RUSAGE_SELF, &usage);
	return usage.ru_minflt + usage.ru_majflt;
}

static void faults(const char *path)
{
	struct pgmap_mapping *fresh;
	int err = pgmap_open_map(client, path, 0, 0, PGMAP_MAP_READ, &fresh);
	if (err) {
		say_error(err);
		return;
	}
	const volatile unsigned char *from = pgmap_mapping_address(fresh);
	long before = faults_so_far();
	for (uint64_t i = 0; i < bytes; i += PAGE)
		(void)from[i];
	(void)printf("%ld\n", faults_so_far() - before);
	(void)fflush(stdout);
	(void)pgmap_unmap(fresh);
}

static void more(const char *path)
{
	char name[256];
	struct pgmap_mapping *other;
	(void)snprintf(name, sizeof(name), "%s.more", path);
	int err = pgmap_open_map(client, name, PGMAP_O_CREATE, bytes, PGMAP_MAP_READ, &other);
	say_error(err);
	if (!err)
		(void)pgmap_unmap(other);
}

/* The kernel's own pins, on pages that this process has no page-table entry of: in a mapping made for that. */
static int direct_io(int fd, char *from, char *into)
{
	if (pwrite(fd, from, PAGE, 0) != PAGE || pread(fd, into, PAGE, 0) != PAGE)
		return -errno;
	return 0;
}

static void direct(const char *path, const char *file)
{
	struct pgmap_mapping *fresh;
	int fd = open(file, O_RDWR | O_CREAT | O_TRUNC | O_DIRECT | O_CLOEXEC, 0600);
	int err = fd < 0 ? -errno : 0;
	if (!err)
		err = pgmap_open_map(client, path, 0, 0, PGMAP_MAP_READ | PGMAP_MAP_WRITE, &fresh);
	if (!err) {
		char *page = pgmap_mapping_address(fresh), *last = page + bytes - PAGE;
		err = direct_io(fd, page, last);
		if (!err)
			say(memcmp(last, page, PAGE) == 0 && *at == UINT64_C(0x5ca1ab1e) ? "same" : "other");
		(void)pgmap_unmap(fresh);
	}
	if (err)
		say_error(err);
	if (fd >= 0)
		(void)close(fd);
}

static void leave_child(void)
{
	pid_t pid = fork();
	if (pid == 0)
		for (;;)
			(void)pause();
	(void)printf("%d\n", pid);
	(void)fflush(stdout);
}

static void obey(const char *word, const char *path)
{
	unsigned long page;
	char file[64];
	if (sigsetjmp(back, 1))
		say_sigbus();
	else if (strcmp(word, "fill") == 0)
		fill();
	else if (strcmp(word, "check") == 0)
		check();
	else if (strcmp(word, "faults") == 0)
		faults(path);
	else if (strcmp(word, "more") == 0)
		more(path);
	else if (strcmp(word, "pin") == 0)
		say_error(pgmap_pin(mapping, 0, bytes, PGMAP_PIN_LOCAL));
	else if (strcmp(word, "unpin") == 0)
		say_error(pgmap_unpin(mapping, 0, bytes, PGMAP_PIN_LOCAL));
	else if (strcmp(word, "fork") == 0)
		leave_child();
	else if (sscanf(word, "poison %lu", &page) == 1)
		say_error(madvise((char *)at + page * PAGE, PAGE, MADV_HWPOISON) ? -errno : 0);
	else if (sscanf(word, "notify %lu", &page) == 1)
		say_count(pgmap_notify_failure(mapping, page * PAGE, PAGE));
	else if (strcmp(word, "remap") == 0)
		say_error(pgmap_remap(mapping, 0));
	else if (sscanf(word, "direct %63s", file) == 1)
		direct(path, file);
	else if (strcmp(word, "unmap") == 0)
		say_error(pgmap_unmap(mapping));
	else
		say("what?");
}

int main(int argc, char **argv)
{
	char word[64];
	const struct sigaction action = {.sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO};
	if (argc != 3)
		return 2;
	bytes = strtoull(argv[2], NULL, 10) << 20;
	int err = pgmap_connect(getenv("PGMAP_SOCKET"), &client);
	if (!err)
		err = pgmap_open_map(client, argv[1], PGMAP_O_CREATE, bytes, PGMAP_MAP_READ | PGMAP_MAP_WRITE,
				     &mapping);
	if (err) {
		say_error(err);
		return 1;
	}
	at = pgmap_mapping_address(mapping);
	(void)sigaction(SIGBUS, &action, NULL);
	say("mapped");
	while (fgets(word, sizeof(word), stdin)) {
		word[strcspn(word, "\n")] = 0;
		obey(word, argv[1]);
	}
	_exit(0);
}
