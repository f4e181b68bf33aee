/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * storm.c - the kill storm's director: storm [SEED [KILLS|TIMEs [early|foreign|lost]]]. See storm.h for what it finds, and
 * how. 600s: for so long, however many that kills; long: for $STORM_SECONDS, or an hour. The last argument is for builds
 * with a planted bug: to find it is success then, exit code 0, and not to is 1.
 *
 * The seed decides what the clients do, who is killed or stopped and when it is tried; the scheduler decides the rest. Exit
 * code 0: nothing was found; 1: a violation, which the last line names; 2: it could not run. $PGMAPD is the server, and
 * $PGMAP the command that puts files.
 */
#include "storm.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <pgmap/client.h>

enum { STUCK_SECONDS = 30, SETTLE_SECONDS = 20, QUARANTINED_MAX = 1024, STOPPED_MAX = CLIENTS / 3 };

/* A page that a dead client's REMOTE pin keeps. */
struct kept {
	pid_t pid;
	uint64_t device_offset, id, page;
};

struct storm {
	struct storm_table *table;
	struct pgmap_client *pool;
	char dir[64], socket[96];
	const char *layout;
	pid_t server, clients[CLIENTS];
	bool stopped[CLIENTS];
	unsigned nstopped;
	const char *device; /* the server's memory, as a device that goes on reading after its user's death sees it */
	uint64_t seed, random, kills, stops;
	int64_t end_ns; /* 0: after so many kills */
	const char *how_long;
	_Atomic uint64_t killed, fenced, kept_checked; /* the watchdog reads them */
	struct kept kept[QUARANTINED_MAX];
	unsigned nkept;
	struct storm_guest guest;
	const char *planted; /* what must be found, or null */
};

static const char *const kind_names[FOUND_KINDS] = {"early", "foreign", "lost", "errors"};

void storm_found(struct storm_table *table, enum storm_found what, const char *format, ...)
{
	int nobody = 0;
	va_list args;
	atomic_fetch_add(&table->found[what], 1);
	if (!atomic_compare_exchange_strong(&table->described, &nobody, 1))
		return;
	va_start(args, format);
	(void)vsnprintf(table->description, sizeof(table->description), format, args);
	va_end(args);
	atomic_store(&table->described, 2);
}

uint64_t storm_random(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

uint64_t storm_word(uint64_t id, uint64_t page, uint64_t index)
{
	return index == 0 ? id : id * UINT64_C(0x9e3779b97f4a7c15) + page * WORDS + index;
}

int storm_page_is(const void *addr, uint64_t id, uint64_t page)
{
	const uint64_t *words = addr;
	uint64_t any = words[0];
	bool same = id != 0;
	for (uint64_t w = 0; w < WORDS; w++) {
		any |= words[w];
		same = same && words[w] == storm_word(id, page, w);
	}
	return same ? 1 : any ? -1 : 0;
}

static int64_t now_ns(void)
{
	struct timespec ts;
	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static void pause_us(uint64_t us)
{
	struct timespec pause = {.tv_sec = (time_t)(us / 1000000), .tv_nsec = (long)(us % 1000000) * 1000};
	(void)nanosleep(&pause, NULL);
}

static _Noreturn void cannot(struct storm *s, const char *what)
{
	(void)fprintf(stderr, "storm: %s: %s\n", what, strerror(errno));
	if (s->server > 0)
		(void)kill(s->server, SIGKILL);
	exit(2);
}

static void start_server(struct storm *s)
{
	int ready[2];
	char fd[16], spec[64], byte;
	const char *args[16] = {"pgmapd", "--quiet", "--socket", s->socket, "--ready-fd", fd, "--device", spec};
	const char *program = getenv("PGMAPD");
	(void)snprintf(s->dir, sizeof(s->dir), "/tmp/pgmap-storm-XXXXXX");
	if (!program || !mkdtemp(s->dir) || pipe(ready))
		cannot(s, "PGMAPD, a folder and a pipe");
	(void)snprintf(s->socket, sizeof(s->socket), "%s/s", s->dir);
	(void)snprintf(fd, sizeof(fd), "%d", ready[1]);
	(void)snprintf(spec, sizeof(spec), "memfd:size=%d,page=4K", POOL_PAGES * PAGE / (s->layout ? 2 : 1));
	if (s->layout)
		memcpy(&args[8], (const char *[]){"--device", spec, "--layout", s->layout}, 4 * sizeof(args[0]));
	s->server = fork();
	if (s->server == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		(void)close(ready[0]);
		(void)execv(program, (char *const *)(uintptr_t)args);
		_exit(127);
	}
	(void)close(ready[1]);
	if (read(ready[0], &byte, 1) != 1)
		cannot(s, "the server did not start");
	(void)close(ready[0]);
	if (pgmap_connect(s->socket, &s->pool))
		cannot(s, "connect");
	for (unsigned slot = 0; slot < CLIENTS; slot++) {
		char path[STORM_PATH_MAX];
		(void)snprintf(path, sizeof(path), STORM_HOME, slot);
		if (pgmap_mkdir(s->pool, path))
			cannot(s, "mkdir");
	}
}

/* The server's memory through its open file: the one memfd that is as large as the pool. */
static void map_device(struct storm *s)
{
	size_t bytes = (size_t)POOL_PAGES * PAGE / (s->layout ? 2 : 1), done = 0;
	ino_t first = 0;
	char *at = mmap(NULL, (size_t)POOL_PAGES * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (at == MAP_FAILED)
		cannot(s, "addresses");
	for (int fd = 0; fd < 256 && done < (size_t)POOL_PAGES * PAGE; fd++) {
		char path[64], target[64] = "";
		struct stat st;
		(void)snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)s->server, fd);
		if (readlink(path, target, sizeof(target) - 1) < 0 || strncmp(target, "/memfd:", 7) != 0)
			continue;
		int own = open(path, O_RDONLY | O_CLOEXEC);
		if (own < 0)
			continue;
		if (fstat(own, &st) == 0 && (size_t)st.st_size == bytes && st.st_ino != first &&
		    mmap(at + done, bytes, PROT_READ, MAP_SHARED | MAP_FIXED, own, 0) != MAP_FAILED) {
			if (first)
				s->table->second_ino = st.st_ino;
			else
				s->table->first_ino = st.st_ino;
			first = st.st_ino;
			done += bytes;
		}
		(void)close(own);
	}
	if (done < (size_t)POOL_PAGES * PAGE)
		cannot(s, "the server's memory");
	s->device = at;
}

static void spawn(struct storm *s, unsigned slot)
{
	uint64_t seed = storm_random(&s->random);
	pid_t director = getpid();
	s->clients[slot] = fork();
	if (s->clients[slot] < 0)
		cannot(s, "fork");
	if (s->clients[slot])
		return;
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != director)
		_exit(1);
	(void)close_range(3, ~0U, 0); /* the director's connection is not this process's */
	(void)munmap((void *)(uintptr_t)s->device, (size_t)POOL_PAGES * PAGE);
	storm_client(s->table, s->socket, slot, seed);
}

static void keep(struct storm *s, unsigned slot, pid_t pid)
{
	struct storm_slot *dead = &s->table->slots[slot];
	if (atomic_load(&dead->pin) == PIN_STANDS && dead->pin_device_offset != UINT64_MAX &&
	    s->nkept < QUARANTINED_MAX)
		s->kept[s->nkept++] = (struct kept){pid, dead->pin_device_offset, dead->pin_id, dead->pin_page};
	atomic_store(&dead->pin, PIN_NONE);
}

static void go_on(struct storm *s, unsigned slot)
{
	(void)kill(s->clients[slot], SIGCONT);
	s->stopped[slot] = false;
	s->nstopped--;
}

/* Stopped in the middle of anything; it holds what it holds, until it goes on or is killed. */
static void stop_or_go_on(struct storm *s)
{
	unsigned slot = (unsigned)(storm_random(&s->random) % CLIENTS);
	if (s->stopped[slot]) {
		go_on(s, slot);
	} else if (s->nstopped < STOPPED_MAX) {
		(void)kill(s->clients[slot], SIGSTOP);
		s->stopped[slot] = true;
		s->nstopped++;
		s->stops++;
	}
}

struct one_name {
	const char *dir;
	char path[STORM_PATH_MAX];
	bool is_dir;
};

static int one_name(void *arg, const char *name, const struct pgmap_stat *st)
{
	struct one_name *one = arg;
	(void)snprintf(one->path, sizeof(one->path), "%s/%s", one->dir, name);
	one->is_dir = st->is_dir;
	return 1;
}

/* All that is in a directory of the pool; what has gone meanwhile has gone. */
static void remove_all(struct storm *s, const char *dir)
{
	struct one_name one = {.dir = dir};
	while (pgmap_readdir(s->pool, *dir ? dir : "/", one_name, &one) == 1) {
		if (one.is_dir)
			remove_all(s, one.path);
		int err = one.is_dir ? pgmap_rmdir(s->pool, one.path) : pgmap_unlink(s->pool, one.path);
		if (err && err != -ENOENT) {
			storm_found(s->table, FOUND_ERROR, "%s cannot be removed: %d", one.path, err);
			return;
		}
	}
}

static void kill_one(struct storm *s)
{
	unsigned slot = (unsigned)(storm_random(&s->random) % CLIENTS);
	char home[STORM_PATH_MAX];
	pause_us(storm_random(&s->random) % 8000);
	(void)kill(s->clients[slot], SIGKILL);
	s->nstopped -= s->stopped[slot];
	s->stopped[slot] = false;
	if (waitpid(s->clients[slot], NULL, 0) != s->clients[slot])
		storm_found(s->table, FOUND_ERROR, "client %u was not there to be killed", slot);
	keep(s, slot, s->clients[slot]);
	s->killed++;
	(void)snprintf(home, sizeof(home), STORM_HOME, slot);
	remove_all(s, home); /* what it had not finished */
	spawn(s, slot);
	while (waitpid(-1, NULL, WNOHANG) > 0) /* children of the dead */
		;
}

/* Before its holder is fenced, every page that a dead client's pin keeps must be as it left it. */
static void check_kept(struct storm *s)
{
	for (unsigned i = 0; i < s->nkept; i++) {
		const struct kept *kept = &s->kept[i];
		s->kept_checked++;
		if (kept->device_offset <= (uint64_t)(POOL_PAGES - 1) * PAGE &&
		    storm_page_is(s->device + kept->device_offset, kept->id, kept->page) != 1)
			storm_found(s->table, FOUND_EARLY,
				    "a page that dead pid %d had pinned for a device was used again", (int)kept->pid);
	}
}

static void forget_kept(struct storm *s, pid_t pid)
{
	for (unsigned i = 0; i < s->nkept;)
		if (s->kept[i].pid == pid)
			s->kept[i] = s->kept[--s->nkept];
		else
			i++;
}

static int fence_row(void *arg, const struct pgmap_who *who)
{
	struct storm *s = arg;
	if (who->state != PGMAP_WHO_QUARANTINED)
		return 0;
	forget_kept(s, who->pid);
	int err = pgmap_fence(s->pool, who->holder_id);
	s->fenced += err == 0;
	if (err && err != -ENOENT)
		storm_found(s->table, FOUND_ERROR, "fence answers %d", err);
	return 0;
}

static void look(struct storm *s)
{
	struct pgmap_info info;
	check_kept(s);
	int err = pgmap_who(s->pool, NULL, fence_row, s);
	if (err == 0)
		err = pgmap_info(s->pool, &info);
	if (err)
		storm_found(s->table, FOUND_ERROR, "who and info answer %d", err);
	else if (info.used + info.free + info.waiting != info.pages ||
		 (info.pages != POOL_PAGES + (s->guest.there ? s->guest.pages : 0) &&
		  !(s->guest.leaving && info.pages == POOL_PAGES)))
		storm_found(s->table, FOUND_LOST,
			    "used %" PRIu64 " + free %" PRIu64 " + waiting %" PRIu64 " is not %" PRIu64, info.used,
			    info.free, info.waiting, info.pages);
}

/* The whole pool as one file: every page can be had, and none holds anything. */
static void check_whole_pool(struct storm *s)
{
	struct pgmap_mapping *mapping;
	int err = pgmap_open_map(s->pool, "/whole", PGMAP_O_CREATE | PGMAP_O_EXCL, (uint64_t)POOL_PAGES * PAGE,
				 PGMAP_MAP_READ, &mapping);
	if (err) {
		storm_found(s->table, FOUND_LOST, "a file as large as the pool: %s", strerror(-err));
		return;
	}
	for (uint64_t i = 0; i < POOL_PAGES; i++)
		if (storm_page_is((const char *)pgmap_mapping_address(mapping) + i * PAGE, 0, 0) != 0)
			storm_found(s->table, FOUND_FOREIGN, "page %" PRIu64 " of the empty pool is not zero", i);
	(void)pgmap_unmap(mapping);
	(void)pgmap_unlink(s->pool, "/whole");
}

static void settle(struct storm *s)
{
	struct pgmap_info info = {0};
	int64_t end = now_ns() + (int64_t)SETTLE_SECONDS * 1000000000;
	atomic_store(&s->table->stop, 1);
	for (unsigned i = 0; i < CLIENTS; i++) {
		if (s->stopped[i])
			go_on(s, i);
		(void)waitpid(s->clients[i], NULL, 0);
	}
	remove_all(s, "");
	while (now_ns() < end) {
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
		look(s);
		if (s->guest.there)
			storm_guest_remove(&s->guest, s->table, s->pool, 0);
		if (pgmap_info(s->pool, &info) || (info.free == POOL_PAGES && info.live_pages == 0))
			break;
		pause_us(2000);
	}
	if (s->guest.there)
		storm_found(s->table, FOUND_LOST, "a device with nobody's pages does not leave");
	if (info.free != POOL_PAGES || info.live_pages || info.waiting || info.quarantined_pages)
		storm_found(s->table, FOUND_LOST,
			    "%" PRIu64 " pages are not free with nobody left (%" PRIu64 " held, %" PRIu64
			    " quarantined)",
			    POOL_PAGES - info.free, info.live_pages, info.quarantined_pages);
	else
		check_whole_pool(s);
}

static int verdict(struct storm *s)
{
	struct storm_table *t = s->table;
	uint64_t operations = 0, sum = 0;
	for (unsigned i = 0; i < CLIENTS; i++)
		operations += atomic_load(&t->slots[i].operations);
	(void)printf("storm: seed=%" PRIu64 " killed=%" PRIu64 " stopped=%" PRIu64 " children=%" PRIu64
		     " inherited=%" PRIu64 " puts=%" PRIu64 " remote_pins=%" PRIu64 " kept_checked=%" PRIu64
		     " fenced=%" PRIu64 " checks=%" PRIu64 " guests=%" PRIu64 " left=%" PRIu64 " called_off=%" PRIu64,
		     s->seed, atomic_load(&s->killed), s->stops, atomic_load(&t->children), atomic_load(&t->inherited),
		     atomic_load(&t->puts), atomic_load(&t->remote_pins), atomic_load(&s->kept_checked),
		     atomic_load(&s->fenced), operations, s->guest.came, s->guest.left, s->guest.called_off);
	bool found_planted = false;
	for (unsigned i = 0; i < FOUND_KINDS; i++) {
		uint64_t found = atomic_load(&t->found[i]);
		(void)printf(" %s=%" PRIu64, kind_names[i], found);
		found_planted |= found && s->planted && strcmp(s->planted, kind_names[i]) == 0;
		sum += found;
	}
	(void)printf("\n");
	if (sum)
		(void)printf("storm: FAIL: %s (again: storm %" PRIu64 " %s)\n", t->description, s->seed, s->how_long);
	else
		(void)printf("storm: PASS\n");
	if (s->planted)
		(void)printf("storm: the planted bug was %s\n", found_planted ? "found" : "not found");
	(void)fflush(stdout);
	return s->planted ? !found_planted : sum > 0;
}

static void end_all(struct storm *s)
{
	for (unsigned i = 0; i < CLIENTS; i++)
		if (s->clients[i] > 0 && atomic_load(&s->table->stop) == 0)
			(void)kill(s->clients[i], SIGKILL);
	(void)kill(s->server, SIGKILL);
	(void)unlink(s->socket);
	(void)strcat(s->socket, ".lock");
	(void)unlink(s->socket);
	(void)rmdir(s->dir);
}

/* Nothing may hang: a storm in which nobody is killed and nothing is checked any more has found something. */
static void *watchdog(void *arg)
{
	struct storm *s = arg;
	uint64_t seen = 0;
	int64_t last = now_ns();
	while (now_ns() - last < (int64_t)STUCK_SECONDS * 1000000000) {
		uint64_t sum = s->killed + s->kept_checked;
		for (unsigned i = 0; i < CLIENTS; i++)
			sum += atomic_load(&s->table->slots[i].operations);
		if (sum != seen)
			last = now_ns();
		seen = sum;
		pause_us(100000);
	}
	storm_found(s->table, FOUND_ERROR, "stuck: nothing goes on any more");
	int code = verdict(s);
	end_all(s);
	_exit(code);
}

/* A number of kills, a time, or "long". */
static void read_length(struct storm *s, const char *text)
{
	const char *seconds = getenv("STORM_SECONDS");
	uint64_t n = strtoull(text, NULL, 10);
	s->how_long = text;
	s->kills = UINT64_MAX;
	if (strcmp(text, "long") == 0)
		n = seconds && *seconds ? strtoull(seconds, NULL, 10) : 3600;
	else if (text[strlen(text) - 1] != 's')
		s->kills = n;
	if (s->kills == UINT64_MAX)
		s->end_ns = now_ns() + (int64_t)n * 1000000000;
}

int main(int argc, char **argv)
{
	static struct storm storm;
	struct storm *s = &storm;
	pthread_t thread;
	s->seed =
		argc < 2 || strcmp(argv[1], "any") == 0 ? (uint64_t)now_ns() % 1000000007 : strtoull(argv[1], NULL, 10);
	read_length(s, argc > 2 ? argv[2] : "500");
	s->planted = argc > 3 ? argv[3] : NULL;
	s->layout = getenv("STORM_LAYOUT"); /* of two devices; without it there is one */
	s->random = s->seed;
	(void)printf("storm: seed %" PRIu64 ", %s%s\n", s->seed, s->how_long, s->end_ns ? "" : " kills");
	(void)fflush(stdout);
	(void)prctl(PR_SET_CHILD_SUBREAPER, 1);
	s->table = mmap(NULL, sizeof(*s->table), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (s->table == MAP_FAILED)
		cannot(s, "shared memory");
	s->table->guests = getenv("STORM_GUESTS") != NULL; /* devices come and go */
	start_server(s);
	map_device(s);
	for (unsigned i = 0; i < CLIENTS; i++)
		spawn(s, i);
	if (pthread_create(&thread, NULL, watchdog, s))
		cannot(s, "a thread");
	while (s->killed < s->kills && (!s->end_ns || now_ns() < s->end_ns) && s->guest.came < STORM_GUESTS) {
		kill_one(s);
		if (storm_random(&s->random) % 4 == 0)
			stop_or_go_on(s);
		if (s->killed % 10 == 0)
			look(s);
		if (s->table->guests)
			storm_guest_move(&s->guest, s->table, s->pool, storm_random(&s->random));
	}
	settle(s);
	int code = verdict(s);
	end_all(s);
	if (!code && s->end_ns - now_ns() > 1000000000)
		storm_begin_anew(argv[0], s->end_ns - now_ns());
	return code;
}
