/* SPDX-License-Identifier: BSD-3-Clause */
/* Pages that lose their data while the pool is served: said once, with the files and who maps them, and no more pins of them. With
 * memory that is really broken: tests/vm/machines/poison.sh. */
#include "output.h"
#include "server_util.h"

#include <sys/socket.h>

static struct loop loop;
static uint64_t map, page; /* of /f, 2 MiB, and where its page 3 lies */

static uint64_t page_of(uint64_t file_page)
{
	struct session_map *of = handles_get(&me.session->maps, map);
	struct fsdax_piece piece;
	fsdax_map_piece(of->map, 0, &piece);
	return piece.device_offset_bytes / PAGE + file_page;
}

static int set_up(void **state)
{
	assert_int_equal(set_up_one(state), 0);
	assert_int_equal(open_map(&me, "/f", FSDAX_CREATE, 2 * MIB), 0);
	map = reply.rep.handle;
	page = page_of(3);
	begin_loop(&loop, service);
	loop.lost_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	service_tell_lost(service, loop.lost_fd);
	return 0;
}

static int tear_down(void **state)
{
	service_tell_lost(service, -1);
	assert_int_equal(close(loop.answers_fd) | close(loop.lost_fd), 0);
	return tear_down_one(state);
}

static void lose(uint64_t from, uint64_t npages)
{
	assert_int_equal(dax_notify_failure(service->devices.dax, DAX_FAILURE_POISON, from, npages), 0);
}

/* What is written to stderr when the loop hears of it. */
static void said(char *text, size_t text_bytes)
{
	struct output output = output_begin(stderr);
	lost_events(&loop);
	(void)output_end(&output, text, text_bytes);
}

static unsigned reason(uint64_t span)
{
	const struct session_map *of = handles_get(&me.session->maps, map);
	return pinword_read(&me.session->segment.words[of->first_word + span]).reason;
}

static void c6_5_it_is_said_once_with_files_and_holders(void **state)
{
	(void)state;
	char text[1024], expected[400];
	struct pollfd news = {.fd = loop.lost_fd, .events = POLLIN};
	said(text, sizeof(text));
	assert_string_equal(text, "");
	assert_int_equal(poll(&news, 1, 0), 0);
	lose(page, 2);
	assert_int_equal(poll(&news, 1, 0), 1);
	said(text, sizeof(text));
	(void)snprintf(
		expected, sizeof(expected),
		"pgmapd: device memfd:size=4194304,page=4K: 8 KiB from byte %llu on have lost their data: /f (8 KiB at "
		"12288), mapped by pid %d (%s)\n",
		(unsigned long long)page * PAGE, getpid(), me.session->command);
	assert_string_equal(text, expected);
	assert_int_equal(poll(&news, 1, 0), 0);
	said(text, sizeof(text));
	assert_string_equal(text, "");
}

static void c6_5_of_free_pages_no_file_is_named(void **state)
{
	(void)state;
	char text[1024];
	lose(page_of(0) >= 512 ? 5 : 1000, 1);
	said(text, sizeof(text));
	assert_non_null(strstr(text, "4 KiB from byte "));
	assert_non_null(strstr(text, "have lost their data: no file's\n"));
	assert_int_equal(space().lost, 1);
}

static void what_is_too_much_to_be_told_apart_is_counted(void **state)
{
	(void)state;
	char text[8192];
	for (uint64_t i = 0; i < 20; i++)
		lose(page + 2 * i, 1);
	said(text, sizeof(text));
	int lines = 0;
	for (const char *at = text; (at = strchr(at, '\n')) != NULL; at++)
		lines++;
	assert_int_equal(lines, LOST_RUNS + 1);
	assert_non_null(strstr(text, "pgmapd: 4 more pages of 4 KiB have lost their data (pgmap lost)\n"));
}

static void c7_9_no_more_pins_of_what_is_lost(void **state)
{
	(void)state;
	char text[1024];
	assert_int_equal(reason(0), PINWORD_OPEN);
	lose(page, 1);
	said(text, sizeof(text)); /* or any request */
	assert_int_equal(reason(0), PINWORD_UNUSED);
	/* Other reasons come and go beside it. */
	assert_int_equal(
		ask(&me,
		    &(struct proto_req){.magic = PROTO_MAGIC, .version = PROTO_VERSION, .type = PROTO_INFO, .seq = 77}),
		0);
	assert_int_equal(reply.rep.u.info.lost, 1);
	assert_int_equal(ask_path(&me, PROTO_REPAIR, "/f"), 0);
	assert_int_equal(reply.rep.count, 1);
	assert_int_equal(reason(0), PINWORD_OPEN);
}

static void c7_9_a_request_marks_it_too(void **state)
{
	(void)state;
	lose(page, 1);
	assert_int_equal(ask_path(&me, PROTO_STAT, "/f"), 0);
	assert_int_equal(reason(0), PINWORD_UNUSED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(c6_5_it_is_said_once_with_files_and_holders, set_up, tear_down),
		cmocka_unit_test_setup_teardown(c6_5_of_free_pages_no_file_is_named, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_is_too_much_to_be_told_apart_is_counted, set_up, tear_down),
		cmocka_unit_test_setup_teardown(c7_9_no_more_pins_of_what_is_lost, set_up, tear_down),
		cmocka_unit_test_setup_teardown(c7_9_a_request_marks_it_too, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
