/* SPDX-License-Identifier: BSD-3-Clause */
/* Requests about pages that have lost their data: which they are, a client's word for it, and their repair. */
#include "server_util.h"

#include "broken.h"

static uint64_t map, first; /* of /f, 2 MiB, and its first page on the device */

static int catch (void **state)
{
	(void)state;
	int err = dax_catch_errors(NULL, NULL);
	broken_remember();
	return err;
}

static int set_up(void **state)
{
	struct fsdax_piece piece;
	assert_int_equal(set_up_one(state), 0);
	assert_int_equal(open_map(&me, "/f", FSDAX_CREATE, 2 * MIB), 0);
	map = reply.rep.handle;
	fsdax_map_piece(((struct session_map *)handles_get(&me.session->maps, map))->map, 0, &piece);
	first = piece.device_offset_bytes / PAGE;
	return 0;
}

static int tear_down(void **state)
{
	broken_heal();
	return tear_down_one(state);
}

static char *server_sees(uint64_t page)
{
	return (char *)service->devices.base[0] + (first + page) * PAGE;
}

static void lose(uint64_t page, uint64_t npages)
{
	assert_int_equal(dax_notify_failure(service->devices.dax, DAX_FAILURE_POISON, first + page, npages), 0);
}

static int verify(uint64_t handle, uint64_t offset, uint64_t len)
{
	struct proto_req req = request(PROTO_VERIFY);
	req.handle = handle;
	req.offset_bytes = offset;
	req.len_bytes = len;
	return ask(&me, &req);
}

static int repair(const char *path, uint64_t offset, uint64_t len)
{
	struct proto_req req = request(PROTO_REPAIR);
	(void)snprintf(req.path, sizeof(req.path), "%s", path);
	req.offset_bytes = offset;
	req.len_bytes = len;
	return ask(&me, &req);
}

static void c6_5_what_is_lost_is_listed_with_its_holders(void **state)
{
	(void)state;
	assert_int_equal(ask_path(&me, PROTO_LOST, ""), 0);
	assert_true(reply.rep.count == 0 && reply.nfds == 0);
	lose(3, 2);
	lose(100, 1);
	uint64_t other;
	assert_int_equal(open_file(&me, "/other", FSDAX_CREATE, &other), 0);
	assert_int_equal(ask_path(&me, PROTO_LOST, "/other"), 0);
	assert_int_equal(reply.rep.count, 0);
	assert_int_equal(ask_path(&me, PROTO_LOST, "/none"), -ENOENT);
	assert_int_equal(ask_path(&me, PROTO_LOST, ""), 0);
	assert_int_equal(reply.rep.count, 2);
	struct proto_lost *rows = take_records(2 * sizeof(*rows));
	assert_true(rows[0].offset_bytes == (uint64_t)3 * PAGE && rows[0].len_bytes == (uint64_t)2 * PAGE);
	assert_true(rows[1].offset_bytes == (uint64_t)100 * PAGE && rows[1].len_bytes == PAGE);
	assert_string_equal(rows[0].path, "/f");
	assert_int_equal(rows[0].what, PROTO_LOST_DATA);
	assert_int_equal(rows[0].holders, 1);
	assert_true(strncmp(rows[0].held_by, "pid ", 4) == 0);
	free(rows);
}

static void c7_6_a_clients_word_is_a_reason_to_look(void **state)
{
	(void)state;
	assert_int_equal(verify(map + 1, 0, PAGE), -EBADF);
	assert_int_equal(verify(map, 0, 0), -EINVAL);
	assert_int_equal(verify(map, 2 * MIB, 1), -EINVAL);
	assert_int_equal(verify(map, PAGE, 2 * MIB), -EINVAL);
	assert_int_equal(verify(map, 5 * PAGE + 17, 1), 0); /* it says so; and it is not */
	assert_int_equal(reply.rep.count, 0);
	broken_make(server_sees(5), PAGE, 12);
	assert_int_equal(verify(map, 0, 5 * PAGE), 0);
	assert_int_equal(reply.rep.count, 0);
	assert_int_equal(verify(map, 5 * PAGE + 17, 1), 0);
	assert_int_equal(reply.rep.count, 1);
	assert_int_equal(pinword_read(&me.session->segment.words[0]).reason, PINWORD_UNUSED);
	assert_int_equal(map_range(&me, 0, 0, PAGE), -EBADF);
	assert_int_equal(open_map(&me, "/f", 0, 0), -EHWPOISON);
	assert_int_equal(ask_path(&me, PROTO_LOST, "/f"), 0);
	assert_int_equal(reply.rep.count, 1);
	free(take_records(sizeof(struct proto_lost)));
}

static void no_more_than_so_much_is_looked_at(void **state)
{
	(void)state;
	assert_int_equal(ask_handle(&me, PROTO_UNMAP, map), 0);
	assert_int_equal(ask_path(&me, PROTO_UNLINK, "/f"), 0);
	leave(&me);
	close_service();
	open_service("memfd:size=8M,page=4K");
	me = join(0);
	assert_int_equal(open_map(&me, "/g", FSDAX_CREATE, 6 * MIB), 0);
	assert_int_equal(verify(reply.rep.handle, 0, 4 * MIB + 1), -E2BIG);
	assert_int_equal(verify(1, 0, 4 * MIB), 0);
	assert_int_equal(reply.rep.count, 0);
}

static void c6_5_repair_gives_other_memory_that_is_zero(void **state)
{
	(void)state;
	memset(server_sees(0), 'x', 512 * (size_t)PAGE);
	assert_int_equal(repair("/f", 0, 0), 0);
	assert_int_equal(reply.rep.count, 0); /* nothing is lost, and nothing changes */
	lose(3, 2);
	lose(9, 1);
	assert_int_equal(repair("/none", 0, 0), -ENOENT);
	assert_int_equal(repair("/f", 1, PAGE), -EINVAL);
	assert_int_equal(repair("/f", PAGE, UINT64_MAX), -EINVAL);
	assert_int_equal(repair("/f", 2 * MIB + PAGE, 0), -ERANGE);
	assert_int_equal(repair("/f", 2 * MIB, PAGE), 0);
	assert_int_equal(repair("/f", 0, 2 * MIB + 1000), -EINVAL); /* though it ends with the file */
	assert_int_equal(repair("/f", 0, 4 * PAGE), 0);
	assert_int_equal(reply.rep.count, 1);
	assert_int_equal(pinword_read(&me.session->segment.words[0]).reason, PINWORD_UNUSED);
	assert_int_equal(repair("/f", 0, 0), 0);
	assert_int_equal(reply.rep.count, 2);
	assert_int_equal(pinword_read(&me.session->segment.words[0]).reason, PINWORD_OPEN);
	for (uint64_t i = 0; i < 512; i++)
		assert_int_equal(*server_sees(i), i == 3 || i == 4 || i == 9 ? 0 : 'x');
}

static void c6_5_what_is_pinned_is_not_repaired(void **state)
{
	(void)state;
	lose(3, 1);
	pinword_t *word = &me.session->segment.words[0];
	(void)atomic_fetch_add(word, 1); /* a pin that was there before */
	assert_int_equal(repair("/f", 0, 0), -EBUSY);
	assert_int_equal(pinword_read(word).reason, PINWORD_UNUSED); /* none can have come since it was looked at */
	(void)atomic_fetch_sub(word, 1);
	assert_int_equal(repair("/f", 0, 0), 0);
	assert_int_equal(reply.rep.count, 1);
}

static void c6_5_what_stays_bad_is_not_called_good(void **state)
{
	(void)state;
	broken_make(server_sees(7), PAGE, 12); /* the mapping stays broken, whatever memory is below */
	assert_int_equal(verify(map, 7 * PAGE, PAGE), 0);
	assert_int_equal(repair("/f", 0, 0), -EIO);
	assert_int_equal(ask_path(&me, PROTO_INFO, ""), 0);
	assert_int_equal(reply.rep.u.info.lost, 1);
	broken_heal();
	assert_int_equal(repair("/f", 0, 0), 0);
	assert_int_equal(reply.rep.count, 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(c6_5_what_is_lost_is_listed_with_its_holders),
		TEST(c7_6_a_clients_word_is_a_reason_to_look),
		TEST(no_more_than_so_much_is_looked_at),
		TEST(c6_5_repair_gives_other_memory_that_is_zero),
		TEST(c6_5_what_is_pinned_is_not_repaired),
		TEST(c6_5_what_stays_bad_is_not_called_good),
	};
	return cmocka_run_group_tests(tests, catch, NULL);
}
