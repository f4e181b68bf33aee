/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fair.c - the director of the fair fight: bench_fair pgmap SECONDS, or bench_fair lease SECONDS TIMEOUT_MS. Starts the
 * workers, kills and stops them as one seed says, and prints one line of JSON: what the oracle has counted (fair.h).
 *
 * Everything that it started is dead when it ends: workers and transfers die with it, or are its children.
 */
#include "fair.h"

#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { DEAD_MAX = 256 };

static const double GAP_S[2] = {0.03, 0.5}; /* between two misfortunes */
static const double STOP_S[2] = {0.03, 7.5};

struct fight {
	struct fair_table *table;
	const struct fair_side *side;
	pid_t workers[WORKERS];
	uint64_t stopped_until_ns[WORKERS]; /* 0: it runs */
	struct fair_dead dead[DEAD_MAX];
	unsigned ndead;
	struct rng rng;
	double leaked; /* byte nanoseconds */
	uint64_t kills, stops, outlived;
};

static void start_worker(struct fight *f, unsigned worker)
{
	pid_t director = getpid();
	uint64_t seed = rng_next(&f->rng);
	f->stopped_until_ns[worker] = 0;
	f->workers[worker] = fork();
	if (f->workers[worker] < 0)
		subject_fail("fork: %s", strerror(errno));
	if (f->workers[worker] > 0)
		return;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != director)
		_exit(1);
	fair_worker(f->table, f->side, worker, seed);
}

/* What it had, and who still writes some of it; the table is clean for its successor. */
static void note_dead(struct fight *f, unsigned worker)
{
	if (f->ndead == DEAD_MAX)
		subject_fail("more than %d dead whose blocks are not free", DEAD_MAX);
	struct fair_dead *dead = &f->dead[f->ndead++];
	*dead = (struct fair_dead){.pid = f->workers[worker], .seen_ns = now_ns()};
	for (unsigned i = 0; i < BLOCKS_EACH; i++) {
		struct fair_tenure *held = &f->table->held[worker][i];
		uint64_t token = atomic_exchange(&held->token, 0);
		pid_t transfer = atomic_exchange(&held->transfer, 0);
		bool has = atomic_exchange(&held->id, 0) != 0;
		if (has && transfer && kill(transfer, 0) == 0) {
			dead->transfer = transfer;
			dead->transfer_token = token;
			f->outlived++;
		} else if (has) {
			dead->tokens[dead->ntokens++] = token;
		}
	}
}

static void settle(struct fight *f)
{
	for (unsigned i = 0; i < f->ndead;) {
		if (f->side->settle(&f->dead[i], &f->leaked))
			f->dead[i] = f->dead[--f->ndead];
		else
			i++;
	}
}

static void kill_worker(struct fight *f, unsigned worker)
{
	(void)kill(f->workers[worker], SIGKILL);
	if (waitpid(f->workers[worker], NULL, 0) != f->workers[worker])
		subject_fail("waitpid: %s", strerror(errno));
	note_dead(f, worker);
	settle(f);
	f->kills++;
	start_worker(f, worker);
}

/* Transfers whose parents have died are the director's; a worker that ends by itself is an error. */
static void reap(struct fight *f)
{
	int status;
	for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
		for (unsigned i = 0; i < WORKERS; i++) {
			if (f->workers[i] == pid)
				subject_fail("a worker has ended by itself (wait status %#x)", (unsigned)status);
		}
		for (unsigned i = 0; i < f->ndead; i++) {
			if (f->dead[i].transfer == pid)
				f->dead[i].transfer = 0;
		}
	}
}

static void misfortune(struct fight *f)
{
	unsigned worker = (unsigned)rng_below(&f->rng, WORKERS);
	bool kills = rng_below(&f->rng, 2) == 0;
	uint64_t pause = fair_time_ns(&f->rng, STOP_S[0], STOP_S[1]);
	if (kills) {
		kill_worker(f, worker);
	} else if (!f->stopped_until_ns[worker]) {
		(void)kill(f->workers[worker], SIGSTOP);
		f->stopped_until_ns[worker] = now_ns() + pause;
		f->stops++;
	}
}

static void wake(struct fight *f, uint64_t now)
{
	for (unsigned i = 0; i < WORKERS; i++) {
		if (f->stopped_until_ns[i] && f->stopped_until_ns[i] <= now) {
			f->stopped_until_ns[i] = 0;
			(void)kill(f->workers[i], SIGCONT);
		}
	}
}

static void direct(struct fight *f, uint64_t end_ns)
{
	uint64_t next = now_ns() + fair_time_ns(&f->rng, GAP_S[0], GAP_S[1]);
	for (uint64_t now = now_ns(); now < end_ns; now = now_ns()) {
		reap(f);
		wake(f, now);
		if (now >= next) {
			misfortune(f);
			next += fair_time_ns(&f->rng, GAP_S[0], GAP_S[1]);
		}
		settle(f);
		fair_pause_us(500);
	}
}

/* Workers end by themselves, stopped ones first go on; then what is left of the transfers is killed. */
static void end(struct fight *f)
{
	atomic_store(&f->table->stop, 1);
	for (unsigned i = 0; i < WORKERS; i++)
		(void)kill(f->workers[i], SIGCONT);
	for (unsigned i = 0; i < WORKERS; i++) {
		if (waitpid(f->workers[i], NULL, 0) != f->workers[i])
			subject_fail("waitpid: %s", strerror(errno));
		for (unsigned j = 0; j < BLOCKS_EACH; j++) {
			pid_t transfer = atomic_load(&f->table->held[i][j].transfer);
			if (transfer > 0)
				(void)kill(transfer, SIGKILL);
		}
	}
	for (unsigned i = 0; i < f->ndead; i++) {
		if (f->dead[i].transfer)
			(void)kill(f->dead[i].transfer, SIGKILL);
	}
	while (waitpid(-1, NULL, 0) > 0)
		;
	for (unsigned i = 0; i < f->ndead; i++)
		f->dead[i].transfer = 0;
	for (unsigned tries = 0; f->ndead > 0 && tries < 10000; tries++) {
		settle(f);
		fair_pause_us(1000);
	}
}

static void report(struct fight *f)
{
	uint64_t early = 0, kept = f->side->kept();
	for (unsigned id = 0; id < IDS_MAX; id++)
		early += atomic_load(&f->table->early[id]);
	printf("{\"side\": \"%s\", \"early\": %" PRIu64 ", \"corrupted\": %" PRIu64 ", \"told\": %" PRIu64
	       ", \"leaked\": %.6f, \"kept\": %" PRIu64 ", \"takes\": %" PRIu64 ", \"refused\": %" PRIu64
	       ", \"kills\": %" PRIu64 ", \"stops\": %" PRIu64 ", \"transfers\": %" PRIu64 ", \"outlived\": %" PRIu64
	       "}\n",
	       f->side->name, early, atomic_load(&f->table->corrupted), atomic_load(&f->table->told),
	       f->leaked / (1 << 20) / 1e9, kept, atomic_load(&f->table->takes), atomic_load(&f->table->refused),
	       f->kills, f->stops, atomic_load(&f->table->transfers), f->outlived);
}

/* bench/run gives a subject one CPU; workers that starve would miss their heartbeats, and that is not what is compared. */
static void use_all_cpus(void)
{
	cpu_set_t set;
	memset(&set, 0xff, sizeof(set));
	(void)sched_setaffinity(0, sizeof(set), &set);
}

int main(int argc, char **argv)
{
	static struct fight fight = {.rng = RNG_SEED};
	if (argc < 3 || (strcmp(argv[1], "pgmap") != 0 && strcmp(argv[1], "lease") != 0)) {
		fprintf(stderr, "usage: %s pgmap SECONDS | lease SECONDS TIMEOUT_MS\n", argv[0]);
		return 2;
	}
	fight.side = strcmp(argv[1], "pgmap") == 0 ? &fair_pgmap : &fair_lease;
	fight.table = mmap(NULL, sizeof(*fight.table), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (fight.table == MAP_FAILED)
		subject_fail("mmap: %s", strerror(errno));
	use_all_cpus();
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	fight.side->open(argc - 3, argv + 3);
	for (unsigned i = 0; i < WORKERS; i++)
		start_worker(&fight, i);
	direct(&fight, now_ns() + subject_number(argc, argv, 2) * UINT64_C(1000000000));
	end(&fight);
	report(&fight);
	return 0;
}
