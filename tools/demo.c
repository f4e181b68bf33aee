/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * demo.c - `pgmap demo`: starts a server and workers of its own, lets them run (demo_rounds.c), ends them (demo_end.c), and
 * says what was counted. demo.h says what is counted, and why it can be believed.
 *
 * Whatever hangs, the last line comes: a watchdog thread prints it, kills everything that was started and ends the program.
 */
#include "demo.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "commands.h"
#include "text.h"

enum { DEMO_SECONDS_MAX = 30, END_SECONDS = 28, STUCK_SECONDS = 15, DEMO_SECONDS = 20 };

enum { DEMO_OPTION_DEVICE, DEMO_OPTION_SECONDS };

static pthread_mutex_t last_line = PTHREAD_MUTEX_INITIALIZER;

uint64_t demo_random(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

void demo_pause(unsigned ms)
{
	struct timespec pause = {.tv_nsec = (long)ms * 1000000};
	nanosleep(&pause, NULL);
}

static void say(struct demo *demo, const char *prefix, const char *format, va_list args)
{
	char text[1400], shown[TEXT_SHOWN_MAX * sizeof(text)];
	vsnprintf(text, sizeof(text), format, args);
	demo->said++;
	if (demo->shows)
		fputs("\r\033[K", stderr);
	printf("demo: %s%s\n", prefix, text_shown(shown, sizeof(shown), text));
	fflush(stdout);
}

void demo_say(struct demo *demo, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	say(demo, "", format, args);
	va_end(args);
}

void demo_error(struct demo *demo, const char *format, ...)
{
	va_list args;
	if (demo->errors++ >= 10)
		return;
	va_start(args, format);
	say(demo, "wrong: ", format, args);
	va_end(args);
}

/* A child that dies with the director. */
static pid_t start(struct demo *demo, const char *const argv[], int keep_fd)
{
	pid_t director = getpid(), pid = fork();
	if (pid) {
		if (pid < 0)
			demo_error(demo, "fork: %s", strerror(errno));
		return pid;
	}
	setpgid(0, 0); /* the terminal's interrupt is for the director, which ends the others in order */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != director)
		_exit(1);
	if (keep_fd >= 0)
		fcntl(keep_fd, F_SETFD, 0);
	execv("/proc/self/exe", (char *const *)(uintptr_t)argv);
	_exit(127);
}

int demo_spawn(struct demo *demo, unsigned slot)
{
	char fd[16], index[16];
	snprintf(fd, sizeof(fd), "%d", demo->table_fd);
	snprintf(index, sizeof(index), "%u", slot);
	const char *argv[] = {"pgmap", "-s", demo->socket, "demo-worker", fd, index, NULL};
	demo->workers[slot] = start(demo, argv, demo->table_fd);
	return demo->workers[slot] < 0 ? -EAGAIN : 0;
}

/* Huge pages where enough of them lie ready for the whole pool. */
static const char *device_spec(const struct demo *demo)
{
	if (demo->cli->option[DEMO_OPTION_DEVICE])
		return demo->cli->option[DEMO_OPTION_DEVICE];
	unsigned long pages = 0;
	FILE *file = fopen("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "re");
	if (file) {
		if (fscanf(file, "%lu", &pages) != 1)
			pages = 0;
		fclose(file);
	}
	return pages >= 512 ? "memfd:size=" DEMO_POOL ",page=2M" : "memfd:size=" DEMO_POOL ",page=4K";
}

static int start_server(struct demo *demo)
{
	int ready[2];
	char fd[16], byte;
	if (pipe2(ready, O_CLOEXEC))
		return cli_fail(demo->cli, "pipe: %s", strerror(errno));
	snprintf(fd, sizeof(fd), "%d", ready[1]);
	const char *argv[] = {"pgmap",           "-s",         demo->socket, "serve", "--quiet", "--device",
			      device_spec(demo), "--ready-fd", fd,           NULL};
	demo->server = start(demo, argv, ready[1]);
	close(ready[1]);
	bool ok = demo->server > 0 && read(ready[0], &byte, 1) == 1;
	close(ready[0]);
	if (!ok)
		return cli_fail(demo->cli, "%s: the server did not start (its reason is above)", device_spec(demo));
	int err = pgmap_connect(demo->socket, &demo->client);
	return err ? cli_fail(demo->cli, "%s: %s", demo->socket, cli_why(err)) : CLI_DONE;
}

static int make_table(struct demo *demo)
{
	const char *run = getenv("XDG_RUNTIME_DIR");
	snprintf(demo->dir, sizeof(demo->dir), "%s/pgmap-demo-XXXXXX", run && *run && strlen(run) < 40 ? run : "/tmp");
	demo->table_fd = memfd_create("pgmap-demo", MFD_CLOEXEC);
	if (demo->table_fd < 0 || ftruncate(demo->table_fd, sizeof(*demo->table)))
		return cli_fail(demo->cli, "memfd: %s", strerror(errno));
	demo->table = mmap(NULL, sizeof(*demo->table), PROT_READ | PROT_WRITE, MAP_SHARED, demo->table_fd, 0);
	if (demo->table == MAP_FAILED)
		return cli_fail(demo->cli, "memfd: %s", strerror(errno));
	if (!mkdtemp(demo->dir))
		return cli_fail(demo->cli, "%s: %s (set XDG_RUNTIME_DIR to a folder of yours)", demo->dir,
				strerror(errno));
	snprintf(demo->socket, sizeof(demo->socket), "%s/sock", demo->dir);
	return CLI_DONE;
}

/* Kill and forget everything that still runs: only processes that were started here, by their number. */
static void kill_all(struct demo *demo)
{
	for (unsigned i = 0; i < DEMO_SLOTS; i++)
		if (demo->workers[i] > 0)
			kill(demo->workers[i], SIGKILL);
	for (unsigned i = 0; i < DEMO_WORKERS; i++)
		if (demo->orphans[i] > 0)
			kill(demo->orphans[i], SIGKILL);
	if (demo->server > 0)
		kill(demo->server, SIGKILL);
	unlink(demo->socket);
	rmdir(demo->dir);
}

/* The last line; once, whoever comes first. Answers the exit code. */
static int verdict(struct demo *demo)
{
	uint64_t verified = demo->verified, early = demo->reused_early, foreign = demo->foreign_bytes,
		 errors = demo->errors;
	pthread_mutex_lock(&last_line);
	for (unsigned i = 0; i < DEMO_SLOTS; i++) {
		struct demo_slot *slot = &demo->table->slots[i];
		verified += atomic_load(&slot->verified);
		early += atomic_load(&slot->reused_early);
		foreign += atomic_load(&slot->foreign_bytes);
		errors += atomic_load(&slot->errors);
		if (atomic_load(&slot->noted) == 2)
			demo_say(demo, "wrong: %s", slot->note);
	}
	bool pass = !early && !foreign && !demo->leaked_pages && !errors && verified && demo->killed;
	demo_say(demo,
		 "%s files=%lu bytes=%lu verified=%lu killed=%lu reused_early=%lu leaked_pages=%lu foreign_bytes=%lu",
		 pass ? "PASS" : "FAIL", (unsigned long)demo->files_loaded, (unsigned long)demo->bytes,
		 (unsigned long)verified, (unsigned long)demo->killed, (unsigned long)early,
		 (unsigned long)demo->leaked_pages, (unsigned long)foreign);
	return pass ? CLI_DONE : CLI_FAILED;
}

/* Grows for as long as anything goes on. */
static uint64_t activity(struct demo *demo)
{
	uint64_t sum = demo->said + demo->files_loaded;
	for (unsigned i = 0; i < DEMO_SLOTS; i++)
		sum += atomic_load(&demo->table->slots[i].verified);
	return sum;
}

static void *watchdog(void *arg)
{
	struct demo *demo = arg;
	uint64_t seen = 0;
	int64_t last = cli_now_ns(), now = last;
	for (; now < demo->deadline_ns && now - last < (int64_t)STUCK_SECONDS * 1000000000; now = cli_now_ns()) {
		uint64_t sum = activity(demo);
		if (sum != seen)
			last = now;
		seen = sum;
		demo_pause(100);
	}
	demo_error(demo, "something is stuck: nothing has gone on for %lu s",
		   (unsigned long)((now - last) / 1000000000));
	int code = verdict(demo);
	kill_all(demo);
	_exit(code);
}

static bool all_ready(struct demo *demo)
{
	for (unsigned i = 0; i < DEMO_WORKERS; i++)
		if (!atomic_load(&demo->table->slots[i].ready))
			return false;
	return true;
}

static void play(struct demo *demo, int64_t seconds_ns)
{
	char bytes[CLI_TEXT_MAX];
	struct pgmap_info info;
	if (pgmap_info(demo->client, &info) == 0)
		demo_say(demo, "%lu files, %s, are in a pool on %s", (unsigned long)demo->files_loaded,
			 cli_bytes(bytes, demo->bytes), info.device);
	for (unsigned i = 0; i < DEMO_WORKERS; i++)
		demo_spawn(demo, i);
	while (!all_ready(demo) && !cli_stopped())
		demo_pause(5); /* the watchdog is behind it */
	demo_say(demo, "%d workers map and verify them; one is killed every second", DEMO_WORKERS);
	demo_rounds(demo, cli_now_ns() + seconds_ns);
	demo_everybody_out(demo);
	demo_say(demo,
		 "%lu killed, %lu left a child that still mapped; %lu files replaced, %lu truncated, %lu removed; %lu "
		 "fenced",
		 (unsigned long)demo->killed, (unsigned long)demo->left_children, (unsigned long)demo->replaced,
		 (unsigned long)demo->truncated, (unsigned long)demo->removed, (unsigned long)demo->fenced);
	if (cli_stopped()) {
		demo_error(demo, "interrupted");
		return;
	}
	demo_nothing_left(demo);
	demo_drain(demo);
}

static int run_demo(struct cli *cli)
{
	static struct demo the_demo;
	struct demo *demo = &the_demo;
	pthread_t thread;
	int64_t seconds_ns = (int64_t)DEMO_SECONDS * 1000000000;
	const char *seconds = cli->option[DEMO_OPTION_SECONDS];
	if (seconds && (cli_parse_seconds(seconds, &seconds_ns) || seconds_ns < 3000000000 ||
			seconds_ns > (int64_t)DEMO_SECONDS_MAX * 1000000000))
		return cli_usage(cli, "%s: no number of seconds from 3 to %d", seconds, DEMO_SECONDS_MAX);
	demo->cli = cli;
	demo->shows = isatty(STDERR_FILENO);
	demo->start_ns = cli_now_ns();
	demo->deadline_ns = demo->start_ns + seconds_ns + (int64_t)END_SECONDS * 1000000000;
	demo->random = (uint64_t)demo->start_ns ^ (uint64_t)getpid() << 32;
	prctl(PR_SET_CHILD_SUBREAPER, 1); /* killed workers' children become ours */
	cli_catch_signals();
	int code = make_table(demo);
	if (code == CLI_DONE && pthread_create(&thread, NULL, watchdog, demo))
		code = cli_fail(cli, "a thread: %s", strerror(EAGAIN));
	if (code == CLI_DONE)
		code = start_server(demo);
	struct pgmap_info info = {0};
	if (code == CLI_DONE && pgmap_info(demo->client, &info))
		code = cli_fail(cli, "info: %s", cli_why(-EPIPE));
	if (code == CLI_DONE) {
		demo->table->granule = UINT64_C(4096) << info.granule_order;
		demo->load_max = DEMO_LOAD_MAX < info.pages * 4096 * 2 / 5 ? DEMO_LOAD_MAX : info.pages * 4096 * 2 / 5;
		code = demo_choose(demo, cli->argc ? cli->argv[0] : NULL);
	}
	if (code == CLI_DONE)
		code = demo_hash_sources(demo);
	if (code == CLI_DONE)
		code = demo_load(demo);
	if (code == CLI_DONE) {
		play(demo, seconds_ns);
		code = verdict(demo);
	}
	kill_all(demo);
	return code;
}

static const struct cli_option demo_options[] = {
	{'d', "device", "SPEC", "the memory of the pool, all of it (default: memfd, 1 GiB)"},
	{0, "seconds", "N", "how long the workers run (3 to 30; default 20)"},
	{0, NULL, NULL, NULL},
};

const struct cli_command cmd_demo = {
	.name = "demo",
	.synopsis = "[--device SPEC] [--seconds N] [INPUT]",
	.summary = "see it hold: many processes, real files, kills, and every page accounted for",
	.text = "Starts a server on a pool of 1 GiB (huge pages where the system has them) or on that device, loads "
		"real files (INPUT, a "
		"file or "
		"folder; else shared libraries of this machine) and lets 8 processes map and verify them, while one is "
		"killed every "
		"second and files are replaced, truncated and removed. In the end the pool is drained while a "
		"straggler holds a file.\n"
		"The last line says PASS, or FAIL with exit code 1, and what was counted, from outside of the pool: "
		"bytes that changed "
		"while they were held, pages that did not come back, bytes of a former owner in new files.",
	.options = demo_options,
	.max_args = 1,
	.run = run_demo,
};
