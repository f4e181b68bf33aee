/* SPDX-License-Identifier: BSD-3-Clause */
/* server_devices.c - the devices of a pool: opened together or not at all, stacked as was asked for, leased together. */
#include "failing.h"
#include "server_util.h"

#include <fcntl.h>
#include <sys/mman.h>

static struct devices devices;
static char why[DEV_WHY_MAX];
static unsigned which, before;

static const char *const three[] = {"memfd:size=4M,page=4K", "memfd:size=2M,page=4K", "memfd:size=8M,page=4K"};
static const char *const equal[] = {"memfd:size=4M,page=4K", "memfd:size=4M,page=4K"};

static int set_up(void **state)
{
	(void)state;
	memset(&devices, 0, sizeof(devices));
	before = open_descriptors();
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	assert_int_equal(devices_close(&devices), 0);
	assert_int_equal(open_descriptors(), before);
	return 0;
}

/* Which device has this page of the pool. */
static unsigned device_at(uint64_t pgoff)
{
	struct dax_span span;
	assert_true(dax_direct_access(devices.dax, pgoff, 1, &span) == 1);
	for (unsigned i = 0; i < devices.n; i++)
		if (devices.dev[i]->fd == span.fd)
			return i;
	fail();
	return 0;
}

static void they_lie_one_behind_the_other_or_take_turns(void **state)
{
	(void)state;
	assert_int_equal(devices_open(&devices, three, 3, NULL, &which, why), 0);
	assert_int_equal(devices.n, 3);
	assert_int_equal(dax_npages(devices.dax), 14 * MIB / PAGE);
	assert_int_equal(device_at(0), 0);
	assert_int_equal(device_at(4 * MIB / PAGE), 1);
	assert_int_equal(device_at(6 * MIB / PAGE - 1), 1);
	assert_int_equal(device_at(6 * MIB / PAGE), 2);
	assert_int_equal(devices_close(&devices), 0);
	assert_int_equal(devices_open(&devices, equal, 2, "stripe:16K", &which, why), 0);
	assert_int_equal(dax_npages(devices.dax), 8 * MIB / PAGE);
	for (uint64_t pgoff = 0; pgoff < 64; pgoff++)
		assert_int_equal(device_at(pgoff), pgoff / 4 % 2);
	assert_int_equal(devices_close(&devices), 0);
	assert_int_equal(devices_open(&devices, three, 1, "linear", &which, why), 0);
	assert_ptr_not_equal(devices.dax, devices.memory[0]); /* others can come to it */
	assert_false(devices.striped);
	assert_int_equal(devices_close(&devices), 0);
	assert_int_equal(devices_open(&devices, three, 1, "stripe:16K", &which, why), 0);
	assert_ptr_equal(devices.dax, devices.memory[0]);
	assert_true(devices.striped);
}

static void what_cannot_be_has_opened_nothing(void **state)
{
	(void)state;
	static const char *const second_is_bad[] = {"memfd:size=4M,page=4K", "memfd:size=5000"};
	static const char *const nine[9] = {"memfd:size=2M,page=4K"};
	static const struct {
		const char *const *specs;
		unsigned n;
		const char *layout;
		int want;
		unsigned which;
	} cases[] = {
		{second_is_bad, 2, NULL, -EINVAL, 1}, {nine, 9, NULL, -E2BIG, 9},
		{equal, 2, "mirror", -EINVAL, 2},     {equal, 2, "stripe:", -EINVAL, 2},
		{equal, 2, "stripe:0", -EINVAL, 2},   {equal, 2, "stripe:5000", -EINVAL, 2},
		{three, 3, "stripe:16K", -EINVAL, 3}, {equal, 2, "stripe:3M", -EINVAL, 2},
		{equal, 1, "stripe:3M", -EINVAL, 1},  {equal, 1, "stripe:8M", -EINVAL, 1},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(devices_open(&devices, cases[i].specs, cases[i].n, cases[i].layout, &which, why),
				 cases[i].want);
		assert_int_equal(which, cases[i].which);
		assert_true(why[0] && !strchr(why, '\n'));
		assert_int_equal(devices.n, 0);
		assert_int_equal(open_descriptors(), before);
	}
}

static void one_that_is_too_big_for_this_process_says_so(void **state)
{
	(void)state;
	static const char *const huge[] = {"memfd:size=4M,page=4K", "memfd:size=1024T,page=4K"};
	assert_int_equal(devices_open(&devices, huge, 2, NULL, &which, why), -ENOMEM);
	assert_int_equal(which, 1);
	assert_non_null(strstr(why, "cannot be mapped here: "));
	assert_non_null(strstr(why, "(give a smaller one"));
	assert_int_equal(devices.n, 0);
}

/* Whose list of bad blocks cannot be read: the device of this kind and path. */
static const char *unreadable;
static int (*list)(const struct dev *dev, dev_bad_fn *fn, void *arg); /* of all; null: their own */
static unsigned reads;

int __real_dev_for_each_bad(const struct dev *dev, dev_bad_fn *fn, void *arg);
int __wrap_dev_for_each_bad(const struct dev *dev, dev_bad_fn *fn, void *arg);

int __wrap_dev_for_each_bad(const struct dev *dev, dev_bad_fn *fn, void *arg)
{
	if (list)
		return list(dev, fn, arg);
	return unreadable && dev_is(dev, unreadable) ? -EACCES : __real_dev_for_each_bad(dev, fn, arg);
}

/* Also those before it. */
static void c6_5_a_list_that_cannot_be_read_refuses_before_any_has_lost_what_it_held(void **state)
{
	(void)state;
	char path[2][64] = {"/tmp/pgmap-devices-XXXXXX", "/tmp/pgmap-devices-XXXXXX"}, spec[2][96], was[6] = "";
	const char *const specs[] = {spec[0], spec[1]};
	struct opened opened;
	int fd[2];
	for (int i = 0; i < 2; i++) {
		fd[i] = mkstemp(path[i]);
		assert_true(fd[i] >= 0);
		assert_int_equal(ftruncate(fd[i], (off_t)MIB), 0);
		assert_int_equal(pwrite(fd[i], "there", 5, 0), 5);
		(void)snprintf(spec[i], sizeof(spec[i]), "file:%s,overwrite", path[i]);
	}
	unreadable = spec[1];
	assert_int_equal(devices_open(&devices, specs, 2, NULL, &which, why), -EACCES);
	assert_int_equal(which, 1);
	assert_string_equal(why, "has bad blocks, and which pages these are cannot be read: Permission denied");
	assert_int_equal(opened_look(spec[1], NULL, &opened, why), -EACCES); /* what device add does first */
	assert_null(opened.dev);
	unreadable = NULL;
	for (int i = 0; i < 2; i++) {
		assert_int_equal(pread(fd[i], was, 5, 0), 5);
		assert_string_equal(was, "there");
		(void)close(fd[i]);
	}
	assert_int_equal(devices_open(&devices, specs, 2, NULL, &which, why), 0);
	for (int i = 0; i < 2; i++)
		assert_int_equal(unlink(path[i]), 0);
}

/* The second time it cannot be read; the device is one of which all is discarded when a pool ends. */
static int fails_later(const struct dev *dev, dev_bad_fn *fn, void *arg)
{
	(void)fn;
	(void)arg;
	if (++reads == 1) {
		((struct dev *)(uintptr_t)dev)->resident = true;
		return 0;
	}
	assert_int_equal(pwrite(dev->fd, "there", 5, 0), 5);
	return -EIO;
}

static void c6_5_what_was_never_handed_out_is_not_discarded(void **state)
{
	(void)state;
	char path[] = "/tmp/pgmap-devices-XXXXXX", spec[64], was[6] = "";
	struct service *none = NULL;
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)MIB), 0);
	(void)snprintf(spec, sizeof(spec), "file:%s", path);
	list = fails_later;
	int err = service_create(spec, &none, why);
	list = NULL;
	assert_int_equal(err, -EIO);
	assert_null(none);
	assert_int_equal(reads, 2);
	assert_int_equal(pread(fd, was, 5, 0), 5);
	assert_string_equal(was, "there");
	assert_int_equal(unlink(path), 0);
	(void)close(fd);
}

static int three_pages(const struct dev *dev, dev_bad_fn *fn, void *arg)
{
	(void)dev;
	return fn(UINT64_C(8) * PAGE, UINT64_C(3) * PAGE, arg);
}

static void c6_5_what_was_bad_before_the_pool_is_never_free(void **state)
{
	(void)state;
	struct service *some = NULL;
	struct fsdax_statfs st;
	list = three_pages;
	int err = service_create_on(equal, 2, NULL, &some, &which, why);
	list = NULL;
	assert_int_equal(err, 0);
	fsdax_statfs(some->fs, &st);
	assert_int_equal(st.lost, 6);
	assert_int_equal(st.free, 2048 - 6);
	assert_int_equal(devices_bad_pages(&some->devices, 1), 3);
	assert_int_equal(service_destroy(some), 0);
}

static void without_memory_there_are_none(void **state)
{
	(void)state;
	for (unsigned long nth = 1;; nth++) {
		failing_begin(nth, false);
		int err = devices_open(&devices, equal, 2, NULL, &which, why);
		if (!failing_end()) {
			assert_int_equal(err, 0);
			return;
		}
		assert_int_equal(err, -ENOMEM);
		assert_int_equal(open_descriptors(), before);
	}
}

static void c7_1_a_lease_falls_when_it_has_fallen_on_all_of_them(void **state)
{
	(void)state;
	int fds[2], more[2];
	assert_int_equal(devices_open(&devices, equal, 2, NULL, &which, why), 0);
	for (unsigned last = 0; last < 2; last++) {
		uint64_t byte = 10 + last;
		assert_int_equal(devices_open_lease(&devices, byte, false, fds), 0);
		assert_int_equal(devices_join_lease(&devices, byte, true, more), 0);
		assert_int_equal(close(more[0]) | close(more[1]), 0);
		void *at = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fds[last], 0);
		assert_true(at != MAP_FAILED);
		assert_int_equal(close(fds[0]) | close(fds[1]), 0);
		assert_int_equal(devices_lease_probe(&devices, byte), 0); /* the other one has fallen */
		assert_int_equal(munmap(at, PAGE), 0);
		assert_int_equal(devices_lease_probe(&devices, byte), 1);
	}
}

static void descriptors_for_all_or_none(void **state)
{
	(void)state;
	int fds[2];
	assert_int_equal(devices_open(&devices, equal, 2, NULL, &which, why), 0);
	unsigned open = open_descriptors();
	rlim_t was = no_descriptors();
	assert_int_equal(devices_open_lease(&devices, 5, false, fds), -EMFILE);
	struct rlimit one;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &one), 0);
	one.rlim_cur++;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &one), 0);
	assert_int_equal(devices_open_lease(&devices, 5, false, fds), -EMFILE); /* the first, and not the second */
	descriptors_again(was);
	assert_int_equal(open_descriptors(), open);
	assert_int_equal(devices_lease_probe(&devices, 5), 1);
}

static int some_bad(const struct dev *dev, dev_bad_fn *fn, void *arg)
{
	(void)dev;
	int err = fn(8 * PAGE, 2 * PAGE, arg);
	return err ? err : fn(32 * PAGE, PAGE, arg);
}

static int cannot_be_read(const struct dev *dev, dev_bad_fn *fn, void *arg)
{
	(void)dev;
	(void)fn;
	(void)arg;
	return -EIO;
}

/* Before it is in any pool: so no page of it is handed out, or wiped, that is bad. */
static void c6_5_what_is_bad_is_known_before_it_is_the_pools(void **state)
{
	(void)state;
	struct opened opened;
	assert_int_equal(devices_open(&devices, equal, 1, NULL, &which, why), 0);
	assert_int_equal(opened_look(equal[0], NULL, &opened, why), 0);
	assert_int_equal(opened_begin(&opened, why), 0);
	opened.dev->for_each_bad = cannot_be_read;
	assert_int_equal(badblocks_read(opened.dev, opened.memory), -EIO);
	opened.dev->for_each_bad = some_bad;
	assert_int_equal(badblocks_read(opened.dev, opened.memory), 0);
	struct fsdax *fs;
	struct fsdax_statfs st;
	unsigned index;
	assert_int_equal(fsdax_create(devices.dax, NULL, &fs), 0);
	assert_int_equal(fsdax_add_device(fs, opened.memory, &index), 0);
	devices_put(&devices, index, &opened);
	assert_int_equal(devices_bad_pages(&devices, index), 3);
	assert_int_equal(devices_bad_pages(&devices, 0), 0);
	fsdax_statfs(fs, &st);
	assert_int_equal(st.lost, 3);
	assert_int_equal(st.free, 8 * MIB / PAGE - 3);
	assert_int_equal(fsdax_destroy(fs), 0);
}

static bool is_gone;

static int check(const struct dev *dev)
{
	(void)dev;
	return is_gone ? -ENXIO : 0;
}

static void the_one_that_goes_is_found_out_once(void **state)
{
	(void)state;
	char names[80];
	struct dax_span span;
	assert_int_equal(devices_open(&devices, equal, 2, NULL, &which, why), 0);
	devices.dev[1]->check = check;
	assert_int_equal(devices_check(&devices), -1);
	is_gone = true;
	assert_int_equal(devices_check(&devices), 1);
	assert_int_equal(devices_check(&devices), -1);
	assert_true(devices_is_going(&devices, dax_pgmap(devices.memory[1])));
	assert_false(devices_is_going(&devices, dax_pgmap(devices.memory[0])));
	assert_true(dax_direct_access(devices.dax, 4 * MIB / PAGE, 1, &span) == -ENXIO);
	assert_true(dax_direct_access(devices.dax, 0, 1, &span) == 1);
	devices_name(&devices, names, sizeof(names));
	assert_string_equal(names, "memfd:size=4194304,page=4K, memfd:size=4194304,page=4K (gone)");
	memset(names, 'z', sizeof(names));
	devices_name(&devices, names, 30);
	assert_string_equal(names, "memfd:size=4194304,page=4K, m");
	assert_int_equal(names[30], 'z');
}

/* A pool of two devices, of which two files have one each. */
static uint64_t map[2];
static const char *path[2];

static int set_up_pool(void **state)
{
	(void)state;
	struct service **out = &service;
	is_gone = false;
	before = open_descriptors();
	assert_int_equal(service_create_on(equal, 2, NULL, out, &which, why), 0);
	me = join(0);
	assert_int_equal(me.nfds, 2 + PROTO_HELLO_FDS);
	for (unsigned i = 0; i < 2; i++) {
		const char *name = i ? "/b" : "/a";
		assert_int_equal(open_map(&me, name, FSDAX_CREATE, 4 * MIB), 0);
		assert_int_equal(reply.rep.u.map.npieces, 1);
		unsigned device = reply.rep.u.map.pieces[0].device;
		assert_in_range(device, 0, 1);
		map[device] = reply.rep.handle;
		path[device] = name;
	}
	assert_true(map[0] && map[1]);
	return 0;
}

static int tear_down_pool(void **state)
{
	(void)state;
	leave(&me);
	close_service();
	assert_int_equal(open_descriptors(), before);
	return 0;
}

static enum pinword_reason reason_on(unsigned device)
{
	return pinword_read(&me.session->segment.words[device]).reason;
}

static void c2_6_a_drain_ends_when_nothing_is_held_on_any_of_them(void **state)
{
	(void)state;
	service_drain(service);
	assert_int_equal(service_drained(service), -ETIMEDOUT);
	assert_int_equal(reason_on(0), PINWORD_GOING);
	assert_int_equal(reason_on(1), PINWORD_GOING);
	assert_int_equal(ask_handle(&me, PROTO_UNMAP, map[0]), 0);
	assert_int_equal(service_drained(service), -ETIMEDOUT); /* the other one is held still */
	assert_int_equal(service_drain_cancel(service), 0);     /* so it is not too late for the first */
	assert_int_equal(service_drained(service), -ECANCELED);
	assert_int_equal(open_map(&me, path[0], 0, 0), 0);
	service_drain(service);
	assert_int_equal(ask_handle(&me, PROTO_UNMAP, reply.rep.handle), 0);
	assert_int_equal(service_drained(service), -ETIMEDOUT);
	assert_int_equal(ask_handle(&me, PROTO_UNMAP, map[1]), 0);
	assert_int_equal(service_drained(service), 0);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(pgmap_state(dax_pgmap(service->devices.memory[i])), PGMAP_DEAD);
	assert_int_equal(service_drain_cancel(service), -ENODEV);
}

static void c7_9_what_goes_takes_its_own_mappings_only(void **state)
{
	(void)state;
	struct proto_req info = request(PROTO_INFO);
	service->devices.dev[1]->check = check;
	assert_false(service_check_devices(service));
	is_gone = true;
	assert_true(service_check_devices(service));
	unsigned going = (reason_on(0) == PINWORD_GOING) + (reason_on(1) == PINWORD_GOING);
	unsigned open = (reason_on(0) == PINWORD_OPEN) + (reason_on(1) == PINWORD_OPEN);
	assert_int_equal(going, 1);
	assert_int_equal(open, 1);
	assert_int_equal(open_map(&me, path[0], 0, 0), 0);
	assert_int_equal(ask_handle(&me, PROTO_UNMAP, reply.rep.handle), 0);
	assert_int_equal(open_map(&me, path[1], 0, 0), -ENODEV);
	assert_int_equal(open_map(&me, "/c", FSDAX_CREATE, MIB), -ENOSPC);
	assert_int_equal(ask_path(&me, PROTO_UNLINK, "/a"), 0);
	assert_int_equal(ask_path(&me, PROTO_UNLINK, "/b"), 0);
	assert_int_equal(ask_handle(&me, PROTO_UNMAP, map[0]), 0);
	assert_int_equal(ask_handle(&me, PROTO_UNMAP, map[1]), 0);
	assert_int_equal(ask(&me, &info), 0);
	assert_non_null(strstr(reply.rep.u.info.device, ", memfd:size=4194304,page=4K (gone)"));
	assert_int_equal(reply.rep.u.info.used + reply.rep.u.info.free + reply.rep.u.info.waiting, 8 * MIB / PAGE);
	assert_int_equal(reply.rep.u.info.waiting, 4 * MIB / PAGE);
}

static bool discarded[64];

/* Memory of 64 granules of two pages; those of number 5, 6 and 63 cannot be written. */
static int discard_good(void *ctx, uint64_t offset_bytes, uint64_t len_bytes)
{
	(void)ctx;
	assert_int_equal((offset_bytes | len_bytes) % (2 * PAGE), 0);
	for (uint64_t i = offset_bytes / 2 / PAGE; i < (offset_bytes + len_bytes) / 2 / PAGE; i++) {
		if (i == 5 || i == 6 || i == 63)
			return -EIO;
		discarded[i] = true;
	}
	return 0;
}

static void what_cannot_be_written_keeps_nothing_else(void **state)
{
	(void)state;
	static const struct dax_device_ops ops = {.ops_bytes = sizeof(ops), .discard = discard_good};
	const struct dax_params params = {.params_bytes = sizeof(params),
					  .type = PGMAP_GENERIC,
					  .len_bytes = 128 * PAGE,
					  .fd = -1,
					  .granule_order = 1,
					  .ops = &ops};
	struct dev dev = {.granule_order = 1};
	struct opened opened = {.dev = &dev};
	assert_int_equal(dax_create(&params, &opened.memory), 0);
	opened_discard(&opened);
	for (unsigned i = 0; i < 64; i++)
		assert_int_equal(discarded[i], i != 5 && i != 6 && i != 63);
	assert_int_equal(dax_destroy(opened.memory), 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define P(name) cmocka_unit_test_setup_teardown(name, set_up_pool, tear_down_pool)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(they_lie_one_behind_the_other_or_take_turns),
		T(what_cannot_be_has_opened_nothing),
		T(one_that_is_too_big_for_this_process_says_so),
		T(c6_5_a_list_that_cannot_be_read_refuses_before_any_has_lost_what_it_held),
		T(c6_5_what_was_never_handed_out_is_not_discarded),
		T(c6_5_what_was_bad_before_the_pool_is_never_free),
		T(without_memory_there_are_none),
		T(c7_1_a_lease_falls_when_it_has_fallen_on_all_of_them),
		T(descriptors_for_all_or_none),
		T(c6_5_what_is_bad_is_known_before_it_is_the_pools),
		T(the_one_that_goes_is_found_out_once),
		T(what_cannot_be_written_keeps_nothing_else),
		P(c2_6_a_drain_ends_when_nothing_is_held_on_any_of_them),
		P(c7_9_what_goes_takes_its_own_mappings_only),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
