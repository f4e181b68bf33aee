/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * week_limits.c - servers and clients that may have little: descriptors (ulimit -n), locked memory (ulimit -l), mappings
 * (vm.max_map_count, which is reached rather than changed). What fails says why, and has changed nothing.
 */
#include "sys.h"

#include <linux/capability.h>
#include <sys/resource.h>
#include <sys/syscall.h>

enum { PAGE = 4096, RW = PGMAP_MAP_READ | PGMAP_MAP_WRITE, MANY = 300, FILES = 600 };

static struct sys_server server;
static struct pgmap_client *watcher;
static struct pgmap_info empty;

static int setup(void **state)
{
	(void)state;
	watcher = sys_begin(&server);
	empty = sys_info(watcher);
	return 0;
}

static void until_only_the_watcher_is_there(void)
{
	while (sys_info(watcher).holders != 1)
		(void)sched_yield();
}

/* At the end of each test: nothing is left, and the server ends. */
static void all_is_as_it_was(void)
{
	sys_until_live(watcher, 0);
	until_only_the_watcher_is_there();
	assert_int_equal(sys_info(watcher).free, empty.free);
	sys_end(&server, watcher);
	server.pid = 0;
}

/* After a test that failed. */
static int teardown(void **state)
{
	(void)state;
	if (server.pid)
		sys_kill(&server);
	return 0;
}

static void limit_to(__rlimit_resource_t resource, rlim_t soft)
{
	struct rlimit limit;
	assert_int_equal(getrlimit(resource, &limit), 0);
	limit.rlim_cur = soft;
	assert_int_equal(setrlimit(resource, &limit), 0);
}

/* Descriptors. */

static rlim_t descriptors; /* of the server to come */

static void with_few_descriptors(void)
{
	(void)setrlimit(RLIMIT_NOFILE, &(struct rlimit){descriptors, descriptors});
}

/* From too few to start with up to enough: in between it is refused in one line, or serves, and a client is told. */
static void a_server_with_few_descriptors_serves_or_says_so(void **state)
{
	(void)state;
	struct sys_server s;
	struct pgmap_client *client;
	struct pgmap_mapping *mapping;
	char said[1024];
	unsigned refused = 0, turned_away = 0, served = 0;
	sys_in_server = with_few_descriptors;
	for (descriptors = 8; !served; descriptors++) {
		sys_new_dir(&s);
		if (!sys_start_at(&s, "memfd:size=16M,page=4K")) {
			assert_int_equal(sys_exit_code(s.pid), 1);
			sys_errors(&s, said, sizeof(said));
			assert_memory_equal(said, "pgmapd: ", 8);
			assert_non_null(strstr(said, "Too many open files"));
			assert_ptr_equal(strchr(said, '\n'), said + strlen(said) - 1);
			assert_int_equal(access(s.path, F_OK), -1);
			sys_remove_dir(&s);
			refused++;
			continue;
		}
		int err = pgmap_connect(s.path, &client);
		if (!err)
			err = pgmap_open_map(client, "/f", PGMAP_O_CREATE, MIB, RW, &mapping);
		if (!err) {
			served++;
			assert_int_equal(pgmap_unmap(mapping), 0);
			assert_int_equal(pgmap_disconnect(client), 0);
		} else {
			turned_away++;
			assert_true(err == -EMFILE || err == -ENFILE);
		}
		assert_int_equal(kill(s.pid, SIGTERM), 0);
		assert_int_equal(sys_exit_code(s.pid), 0);
		sys_remove_dir(&s);
	}
	sys_in_server = NULL;
	assert_true(refused > 0 && turned_away > 0 && descriptors < 64);
	all_is_as_it_was();
}

static void all_descriptors(void)
{
	struct rlimit limit;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit_to(RLIMIT_NOFILE, limit.rlim_max);
}

/* The next so many can be had. */
static void few_descriptors(unsigned more)
{
	int lowest = dup(STDERR_FILENO);
	assert_true(lowest >= 0);
	assert_int_equal(close(lowest), 0);
	limit_to(RLIMIT_NOFILE, (rlim_t)lowest + more);
}

static void until_only_the_watcher_holds(void)
{
	sys_until_live(watcher, 0);
	assert_int_equal(sys_info(watcher).free, empty.free);
}

static struct pgmap_client *poor;
static struct pgmap_mapping *poors;

static int connect_it(void)
{
	return pgmap_connect(server.path, &poor);
}

static int map_it(void)
{
	return pgmap_open_map(poor, "/f", PGMAP_O_CREATE, MIB, RW, &poors);
}

/* With one descriptor more until it succeeds: each call before says why, and leaves nothing. How many were too few. */
static unsigned until_enough(int (*call)(void))
{
	unsigned more = 0;
	for (;; more++) {
		few_descriptors(more);
		int err = call();
		all_descriptors();
		if (!err)
			return more;
		assert_int_equal(err, -EMFILE);
		until_only_the_watcher_holds();
	}
}

static void a_client_without_descriptors_is_told_and_has_changed_nothing(void **state)
{
	(void)state;
	struct pgmap_file *file;
	assert_in_range(until_enough(connect_it), 4, 16); /* socket, lease, words, event */
	assert_in_range(until_enough(map_it), 1, 16);     /* the lease to write through */
	assert_int_equal(pgmap_open(poor, "/f", 0, &file), 0);
	few_descriptors(0); /* what needs none goes on */
	assert_int_equal(pgmap_unmap(poors), 0);
	assert_int_equal(pgmap_map(file, 0, 0, RW, &poors), 0);
	assert_int_equal(pgmap_unmap(poors), 0);
	assert_int_equal(pgmap_close(file), 0);
	assert_int_equal(pgmap_unlink(poor, "/f"), 0);
	all_descriptors();
	assert_int_equal(pgmap_disconnect(poor), 0);
	all_is_as_it_was();
}

/* Memory that may be locked. */

/* Root has the right to lock what it likes: not this one, nor what it becomes by exec. */
static void give_up_the_right_to_lock(rlim_t bytes)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct caps[2];
	(void)setrlimit(RLIMIT_MEMLOCK, &(struct rlimit){bytes, bytes});
	(void)prctl(PR_CAPBSET_DROP, CAP_IPC_LOCK);
	if (syscall(SYS_capget, &head, caps) != 0)
		_exit(95);
	caps[0].effective &= ~(1U << CAP_IPC_LOCK);
	if (syscall(SYS_capset, &head, caps) != 0)
		_exit(96);
}

static void with_a_mib_to_lock(void)
{
	give_up_the_right_to_lock(MIB);
}

static void a_server_that_cannot_lock_its_pool_says_the_numbers(void **state)
{
	(void)state;
	struct sys_server s;
	char said[1024];
	sys_in_server = with_a_mib_to_lock;
	sys_new_dir(&s);
	assert_false(sys_start_at(&s, "memfd:size=16M,page=4K,lock"));
	assert_int_equal(sys_exit_code(s.pid), 1);
	sys_errors(&s, said, sizeof(said));
	assert_non_null(strstr(said, "lock needs 16777216 bytes of locked memory, this process may have 1048576"));
	assert_non_null(strstr(said, "ulimit -l"));
	assert_ptr_equal(strchr(said, '\n'), said + strlen(said) - 1);
	sys_remove_dir(&s);
	sys_start(&s, "memfd:size=16M,page=4K"); /* unasked it locks nothing */
	sys_stop(&s);
	sys_in_server = NULL;
	all_is_as_it_was();
}

static void child_with_nothing_to_lock(const struct sys_server *s, int said, int go)
{
	struct pgmap_client *client, *another;
	struct pgmap_mapping *mapping;
	struct pgmap_file *file;
	(void)said;
	(void)go;
	give_up_the_right_to_lock(PAGE);
	CHILD_CHECK(pgmap_connect(s->path, &client) == 0);
	CHILD_CHECK(pgmap_open_map(client, "/f", PGMAP_O_CREATE, MIB, RW, &mapping) == 0);
	memset(pgmap_mapping_address(mapping), 1, MIB);
	CHILD_CHECK(pgmap_unmap(mapping) == 0);
	/* Whatever it maps from here on would be locked, and may not be: no room. (-EAGAIN would say that somebody else waits.)
	 * With a sanitizer mlockall() does nothing. */
	CHILD_CHECK(pgmap_open(client, "/f", 0, &file) == 0);
	CHILD_CHECK(mlockall(MCL_FUTURE) == 0);
	if (mmap(NULL, MIB, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED) {
		CHILD_CHECK(pgmap_map(file, 0, 0, RW, &mapping) == -ENOMEM);
		CHILD_CHECK(pgmap_connect(s->path, &another) == -ENOMEM);
		CHILD_CHECK(sys_who(client, NULL, getpid()).rows == 0);
	}
	CHILD_CHECK(munlockall() == 0);
	CHILD_CHECK(pgmap_map(file, 0, 0, RW, &mapping) == 0);
	CHILD_CHECK(*(char *)pgmap_mapping_address(mapping) == 1);
	CHILD_CHECK(pgmap_unmap(mapping) == 0 && pgmap_close(file) == 0 && pgmap_unlink(client, "/f") == 0);
	CHILD_CHECK(pgmap_disconnect(client) == 0);
}

static void a_client_that_may_lock_nothing_needs_not_to(void **state)
{
	(void)state;
	struct sys_child child = sys_spawn(child_with_nothing_to_lock, &server);
	assert_int_equal(sys_exit_code(child.pid), 0);
	sys_close_child(&child);
	all_is_as_it_was();
}

/* Mappings. */

static uint64_t count_maps(void)
{
	char bytes[65536];
	uint64_t n = 0;
	int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	for (ssize_t got; (got = read(fd, bytes, sizeof(bytes))) > 0;)
		for (ssize_t i = 0; i < got; i++)
			n += bytes[i] == '\n';
	assert_int_equal(close(fd), 0);
	return n;
}

static uint64_t most_maps(void)
{
	unsigned long most = 0;
	FILE *file = fopen("/proc/sys/vm/max_map_count", "re");
	assert_non_null(file);
	assert_int_equal(fscanf(file, "%lu", &most), 1);
	(void)fclose(file);
	return most;
}

enum { EXTRA = 16 };

struct filler {
	char *at;
	uint64_t bytes;
	void *extra[EXTRA];
};

/* Until only so many more can be had: a range whose pages are protected in turn this way and that. The kernel's own count is
 * not quite ours: for none at all it is filled until it refuses, to split and then to map. */
static struct filler fill_maps(uint64_t but)
{
	struct filler filler = {.bytes = (most_maps() - count_maps() - but + (but ? 0 : EXTRA)) * PAGE};
	filler.at = mmap(NULL, filler.bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	assert_ptr_not_equal(filler.at, MAP_FAILED);
	for (uint64_t at = PAGE; at + PAGE < filler.bytes; at += (uint64_t)2 * PAGE)
		if (mprotect(filler.at + at, PAGE, PROT_READ) != 0)
			break;
	for (unsigned i = 0; i < EXTRA && !but; i++)
		filler.extra[i] = mmap(NULL, PAGE, PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	return filler;
}

static void empty_maps(const struct filler *filler)
{
	assert_int_equal(munmap(filler->at, filler->bytes), 0);
	for (unsigned i = 0; i < EXTRA; i++)
		if (filler->extra[i] && filler->extra[i] != MAP_FAILED)
			assert_int_equal(munmap(filler->extra[i], PAGE), 0);
}

static const char *name_of(unsigned i)
{
	static char path[32];
	(void)snprintf(path, sizeof(path), "/%u", i);
	return path;
}

/* A file in about MANY pieces: the pool is full of single pages, each second one is given back, and it gets those. */
static struct pgmap_file *make_pieces(struct pgmap_client *client)
{
	struct pgmap_file *file;
	struct pgmap_stat st;
	uint64_t rest = (sys_info(client).free - FILES) * PAGE;
	assert_int_equal(pgmap_unmap(sys_map(client, "/rest", rest)), 0);
	for (unsigned i = 0; i < FILES; i++)
		assert_int_equal(pgmap_unmap(sys_map(client, name_of(i), PAGE)), 0);
	for (unsigned i = 0; i < FILES; i += 2)
		assert_int_equal(pgmap_unlink(client, name_of(i)), 0);
	assert_int_equal(pgmap_open(client, "/pieces", PGMAP_O_CREATE, &file), 0);
	assert_int_equal(pgmap_truncate(file, (uint64_t)MANY * PAGE), 0);
	assert_int_equal(pgmap_fstat(file, &st), 0);
	assert_in_range(st.extents, MANY / 2, MANY);
	return file;
}

static void remove_pieces(struct pgmap_client *client, struct pgmap_file *file)
{
	assert_int_equal(pgmap_close(file), 0);
	assert_int_equal(pgmap_unlink(client, "/pieces"), 0);
	assert_int_equal(pgmap_unlink(client, "/rest"), 0);
	for (unsigned i = 1; i < FILES; i += 2)
		assert_int_equal(pgmap_unlink(client, name_of(i)), 0);
}

struct picture {
	struct pgmap_info info;
	struct pgmap_stat st;
	uint64_t maps;
	unsigned who;
};

static void take_picture(struct pgmap_file *file, struct picture *out)
{
	memset(out, 0, sizeof(*out));
	out->info = sys_info(watcher);
	/* Which of the free pages are wiped changes by itself. */
	out->info.clean = out->info.dirty = out->info.absent = out->info.wiped_ahead = out->info.wiped_late = 0;
	assert_int_equal(pgmap_fstat(file, &out->st), 0);
	out->who = sys_who(watcher, NULL, 0).rows;
	out->maps = count_maps();
}

static void e2big_is_said_before_any_effect(struct pgmap_file *file, uint64_t room, uint64_t len_bytes)
{
	struct picture before, after;
	struct pgmap_mapping *mapping;
	take_picture(file, &before); /* the C library may map something the first time */
	struct filler filler = fill_maps(room);
	take_picture(file, &before);
	assert_int_equal(pgmap_map(file, 0, len_bytes, RW, &mapping), -E2BIG);
	take_picture(file, &after);
	assert_memory_equal(&before, &after, sizeof(before));
	empty_maps(&filler);
	assert_int_equal(pgmap_map(file, 0, len_bytes, RW, &mapping), 0);
	assert_int_equal(pgmap_unmap(mapping), 0);
}

static void more_pieces_than_may_be_mapped_are_e2big_before_any_effect(void **state)
{
	(void)state;
	struct pgmap_file *file = make_pieces(watcher);
	struct pgmap_mapping *mapping;
	assert_int_equal(pgmap_map(file, 0, 0, RW, &mapping),
			 0); /* malloc()'s room for that many, and the write lease */
	assert_int_equal(pgmap_unmap(mapping), 0);
	e2big_is_said_before_any_effect(file, MANY / 4, 0);
	e2big_is_said_before_any_effect(file, 2, 20 * PAGE);
	e2big_is_said_before_any_effect(file, 0, PAGE);
	remove_pieces(watcher, file);
	all_is_as_it_was();
}

/* Files one behind the other on the device come to lie one behind the other here, and the kernel makes one of them. */
static void many_mappings_lie_in_few_address_ranges(void **state)
{
	(void)state;
	static struct pgmap_mapping *mappings[FILES];
	mappings[0] = sys_map(watcher, name_of(0), PAGE);
	uint64_t before = count_maps();
	for (unsigned i = 1; i < FILES; i++)
		mappings[i] = sys_map(watcher, name_of(i), PAGE);
	assert_in_range(count_maps(), before - 8, before + FILES / 20);
	for (unsigned i = 0; i < FILES; i++)
		*(unsigned *)pgmap_mapping_address(mappings[i]) = i;
	/* One in the middle: with no mapping left to split it with, it stays, and can be used. */
	unsigned middle = FILES / 2;
	struct filler filler = fill_maps(0);
	assert_int_equal(pgmap_unmap(mappings[middle]), -ENOMEM);
	assert_int_equal(*(unsigned *)pgmap_mapping_address(mappings[middle]), middle);
	assert_int_equal(pgmap_pin(mappings[middle], 0, PAGE, PGMAP_PIN_LOCAL), 0);
	assert_int_equal(pgmap_unpin(mappings[middle], 0, PAGE, PGMAP_PIN_LOCAL), 0);
	assert_int_equal(sys_info(watcher).live_pages, FILES);
	empty_maps(&filler);
	for (unsigned i = 0; i < FILES; i++) {
		assert_int_equal(*(unsigned *)pgmap_mapping_address(mappings[i]), i);
		assert_int_equal(pgmap_unmap(mappings[i]), 0);
		assert_int_equal(pgmap_unlink(watcher, name_of(i)), 0);
	}
	all_is_as_it_was();
}

int main(void)
{
#define A_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		A_TEST(a_server_with_few_descriptors_serves_or_says_so),
		A_TEST(a_client_without_descriptors_is_told_and_has_changed_nothing),
		A_TEST(a_server_that_cannot_lock_its_pool_says_the_numbers),
		A_TEST(a_client_that_may_lock_nothing_needs_not_to),
		A_TEST(more_pieces_than_may_be_mapped_are_e2big_before_any_effect),
		A_TEST(many_mappings_lie_in_few_address_ranges),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
