/* SPDX-License-Identifier: BSD-3-Clause */
/* The system's lists of bad blocks, heard of while the pool is served: what is new on one is lost, once, and however often and for how
 * long one says that it has changed. With a kernel that really finds bad blocks: tests/vm/machines/badblocks.sh. */
#include "failing.h"
#include "server_util.h"

#include <sys/socket.h>

enum { LIST_MAX = 4 };

static struct loop loop;
static int
	ends[2]; /* of a socket whose urgent byte says that the list has changed, as POLLPRI on a file of sysfs does */
static struct {
	uint64_t page, npages;
} list[LIST_MAX];
static unsigned nlist, reads;
static int answer, fd_of_list;
static void (*while_read)(void);

static int for_each_bad(const struct dev *dev, dev_bad_fn *fn, void *arg)
{
	int err = 0;
	(void)dev;
	reads++;
	for (unsigned i = 0; i < nlist && !err; i++)
		err = fn(list[i].page * PAGE, list[i].npages * PAGE, arg);
	if (while_read)
		while_read();
	return err ? err : answer;
}

static int bad_fd(const struct dev *dev)
{
	(void)dev;
	return fd_of_list;
}

static void lists(unsigned i, uint64_t page, uint64_t npages)
{
	list[i].page = page;
	list[i].npages = npages;
	nlist = i + 1;
}

static void notify(void)
{
	assert_int_equal(send(ends[1], "!", 1, MSG_OOB), 1);
}

static bool has_news(void)
{
	struct pollfd news = {.fd = service_badblocks_fd(service), .events = POLLIN};
	return poll(&news, 1, 0) == 1;
}

static int set_up(void **state)
{
	nlist = reads = 0;
	answer = 0;
	while_read = NULL;
	assert_int_equal(set_up_one(state), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
	fd_of_list = ends[0];
	service->devices.dev[0]->for_each_bad = for_each_bad;
	service->devices.dev[0]->bad_fd = bad_fd;
	begin_loop(&loop, service);
	loop.lost_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	service_tell_lost(service, loop.lost_fd);
	return 0;
}

static int tear_down(void **state)
{
	service_tell_lost(service, -1);
	assert_int_equal(close(loop.answers_fd) | close(loop.lost_fd) | close(ends[0]) | close(ends[1]), 0);
	return tear_down_one(state);
}

static void begin(void)
{
	assert_int_equal(badblocks_read(service->devices.dev[0], service->devices.memory[0]), 0);
	badblocks_watch(service, 0);
	assert_int_equal(reads, 1);
	assert_false(has_news());
	reads = 0;
}

/* One line of the log, or "". */
static const char *said(void)
{
	static char text[900];
	if (!service_take_lost(service, text, sizeof(text)))
		text[0] = 0;
	return text;
}

/* Whether the loop has been woken since the last time. */
static bool is_something_to_say(void)
{
	uint64_t times;
	return read(loop.lost_fd, &times, sizeof(times)) == (ssize_t)sizeof(times);
}

static void forget_what_was_said(void)
{
	while (*said())
		;
}

static uint64_t bad_pages(void)
{
	return devices_bad_pages(&service->devices, 0);
}

static void c6_5_what_is_new_on_a_list_is_lost_and_said_once(void **state)
{
	(void)state;
	lists(0, 900, 2);
	begin();
	forget_what_was_said();
	assert_int_equal(open_map(&me, "/f", FSDAX_CREATE, 2 * MIB), 0);
	uint64_t map = reply.rep.handle;
	uint64_t page = reply.rep.u.map.pieces[0].device_offset_bytes / PAGE + 3;
	assert_true(page < 900);
	assert_true(is_something_to_say());
	lists(0, page, 1);
	lists(1, 899, 4);
	notify();
	assert_true(has_news());
	service_check_badblocks(service);
	assert_false(has_news());
	assert_int_equal(reads, 1);
	assert_true(is_something_to_say());
	assert_non_null(strstr(said(), ": /f (4 KiB at 12288), mapped by pid "));
	assert_non_null(strstr(said(), "4 KiB from byte 3682304 on have lost their data: no file's"));
	assert_non_null(strstr(said(), "4 KiB from byte 3694592 on have lost their data: no file's"));
	assert_string_equal(said(), "");
	assert_int_equal(bad_pages(), 5);
	assert_int_equal(open_map(&me, "/f", 0, 0), -EHWPOISON);
	notify(); /* of what is known */
	service_check_badblocks(service);
	assert_int_equal(reads, 2);
	assert_string_equal(said(), "");
	assert_int_equal(ask_handle(&me, PROTO_UNMAP, map), 0);
	assert_int_equal(ask_path(&me, PROTO_UNLINK, "/f"), 0);
	assert_int_equal(space().lost, 5);
}

/* A list that is shorter has been cleared by somebody: that makes no page of the pool good. */
static void c6_5_what_is_no_longer_on_a_list_stays_lost(void **state)
{
	(void)state;
	lists(0, 7, 2);
	begin();
	nlist = 0;
	notify();
	service_check_badblocks(service);
	assert_int_equal(reads, 1);
	assert_int_equal(bad_pages(), 2);
	assert_int_equal(space().lost, 2);
}

static void however_often_it_says_so_it_is_read_once(void **state)
{
	(void)state;
	begin();
	for (int i = 0; i < 50; i++) {
		notify();
		assert_true(has_news());
	}
	service_check_badblocks(service);
	assert_int_equal(reads, 1);
	/* The byte is there still: it is ready for good. */
	for (int i = 0; i < 10; i++) {
		assert_false(has_news());
		service_check_badblocks(service);
	}
	assert_int_equal(reads, 1);
	notify();
	service_check_badblocks(service);
	assert_int_equal(reads, 2);
}

static void one_that_cannot_be_read_leaves_all_as_it_was_and_is_said_once(void **state)
{
	(void)state;
	begin();
	lists(0, 5, 1);
	answer = -EACCES;
	(void)is_something_to_say();
	for (int i = 0; i < 3; i++) {
		notify();
		service_check_badblocks(service);
		assert_int_equal(is_something_to_say(), i == 0);
		assert_int_equal(bad_pages(), 0);
		const char *text = said();
		if (i)
			assert_string_equal(text, "");
		else
			assert_non_null(strstr(text, "device memfd:size=4194304,page=4K: what has become bad of it "
						     "cannot be found out: Permission denied"));
	}
	answer = 0;
	notify();
	service_check_badblocks(service);
	assert_int_equal(bad_pages(), 1);
	assert_non_null(strstr(said(), "no file's"));
	answer = -EIO; /* it could be read in between */
	notify();
	service_check_badblocks(service);
	assert_non_null(strstr(said(), "cannot be found out: Input/output error"));
	assert_string_equal(said(), "");
}

static int is_gone(const struct dev *dev)
{
	(void)dev;
	return -ENXIO;
}

static void of_a_device_that_has_gone_nothing_is_said_or_read(void **state)
{
	(void)state;
	begin();
	answer = -ENODEV;
	service->devices.dev[0]->check = is_gone;
	notify();
	service_check_badblocks(service);
	assert_int_equal(reads, 1);
	assert_string_equal(said(), "");
	assert_true(service_check_devices(service));
	notify();
	assert_true(has_news());
	service_check_badblocks(service);
	assert_false(has_news());
	assert_int_equal(reads, 1);
	assert_string_equal(said(), "");
}

static void one_that_has_left_is_not_heard_of(void **state)
{
	(void)state;
	begin();
	notify();
	badblocks_end(service, 0);
	assert_false(has_news());
	notify();
	assert_false(has_news());
	service_check_badblocks(service);
	assert_int_equal(reads, 0);
	badblocks_end(service, 0);
	badblocks_watch(service, 0); /* and comes again: what was missed is read */
	assert_true(has_news());
}

/* Where there is no loop. */
static void who_asks_what_is_lost_looks(void **state)
{
	(void)state;
	static const enum proto_type looks[] = {PROTO_INFO, PROTO_DEVICES, PROTO_LOST, PROTO_REPAIR, PROTO_VERIFY};
	begin();
	assert_int_equal(open_map(&me, "/f", FSDAX_CREATE, 2 * MIB), 0);
	uint64_t map = reply.rep.handle;
	for (unsigned i = 0; i < sizeof(looks) / sizeof(looks[0]); i++) {
		struct proto_req req = request(looks[i]);
		lists(0, 1000 + i, 1);
		notify();
		(void)ask(&me, &req);
		while (reply.nfds)
			assert_int_equal(close(reply.fds[--reply.nfds]), 0);
		assert_int_equal(reads, i + 1);
		assert_int_equal(bad_pages(), i + 1);
		assert_false(has_news());
	}
	notify();
	assert_int_equal(ask_path(&me, PROTO_STAT, "/f"), 0);
	assert_int_equal(reads, sizeof(looks) / sizeof(looks[0]));
	assert_int_equal(ask_handle(&me, PROTO_UNMAP, map), 0);
}

static void repaired(void)
{
	assert_int_equal(pgmap_clear_poison(dax_pgmap(service->devices.memory[0]), 5, 1), 0);
}

/* It was bad when the list was made, and is good when its reader comes to it. */
static void a_page_that_is_repaired_meanwhile_is_good(void **state)
{
	(void)state;
	lists(0, 5, 1);
	begin();
	forget_what_was_said();
	while_read = repaired;
	notify();
	service_check_badblocks(service);
	assert_int_equal(reads, 1);
	assert_int_equal(bad_pages(), 0);
	assert_string_equal(said(), "");
}

/* Two sectors of one page are one page. */
static void pages_are_counted_once(void **state)
{
	(void)state;
	struct proto_req req = request(PROTO_DEVICES);
	lists(0, 8, 1);
	lists(1, 8, 1);
	lists(2, 8, 3);
	lists(3, 20, 1);
	begin();
	assert_int_equal(bad_pages(), 4);
	unsigned lines = 0;
	while (*said())
		lines++;
	assert_int_equal(lines, 2);
	assert_int_equal(ask(&me, &req), 0);
	struct proto_device *device = take_records(sizeof(*device));
	assert_int_equal(device->bad, 4);
	free(device);
}

static void without_memory_it_is_found_out_later(void **state)
{
	(void)state;
	begin();
	lists(0, 5, 1);
	for (unsigned long nth = 1;; nth++) {
		notify();
		failing_begin(nth, false);
		service_check_badblocks(service);
		bool failed = failing_end();
		if (bad_pages())
			break;
		assert_true(failed);
	}
	assert_int_equal(bad_pages(), 1);
	assert_non_null(strstr(said(), "no file's"));
	assert_string_equal(said(), ""); /* it has been read before anybody could say that it cannot be */
}

/* Of one that is no file of the kernel's nothing need be said. */
static void what_cannot_be_waited_for_is_said(void **state)
{
	(void)state;
	rlim_t was = no_descriptors();
	badblocks_watch(service, 0);
	descriptors_again(was);
	assert_non_null(strstr(said(), "cannot be found out: Too many open files"));
	fd_of_list = memfd_create("list", MFD_CLOEXEC);
	assert_true(fd_of_list >= 0);
	reads = 0;
	begin();
	badblocks_end(service, 0);
	assert_int_equal(close(fd_of_list), 0);
	fd_of_list = -1;
	reads = 0;
	begin();
	assert_string_equal(said(), "");
	fd_of_list = ends[1] + 100; /* no descriptor */
	badblocks_watch(service, 0);
	assert_non_null(strstr(said(), "cannot be found out: Bad file descriptor"));
	badblocks_watch(service, 0); /* another's, with this number */
	assert_non_null(strstr(said(), "cannot be found out: Bad file descriptor"));
	assert_string_equal(said(), "");
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(c6_5_what_is_new_on_a_list_is_lost_and_said_once),
		T(c6_5_what_is_no_longer_on_a_list_stays_lost),
		T(however_often_it_says_so_it_is_read_once),
		T(one_that_cannot_be_read_leaves_all_as_it_was_and_is_said_once),
		T(of_a_device_that_has_gone_nothing_is_said_or_read),
		T(one_that_has_left_is_not_heard_of),
		T(who_asks_what_is_lost_looks),
		T(a_page_that_is_repaired_meanwhile_is_good),
		T(pages_are_counted_once),
		T(without_memory_it_is_found_out_later),
		T(what_cannot_be_waited_for_is_said),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
