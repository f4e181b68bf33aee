/* SPDX-License-Identifier: BSD-3-Clause */
/* server_session.c - a holder's beginning, its mappings and their pin words, and its end: all goes, but REMOTE pins. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "core/map.h"
#include "failing.h"
#include "server/requests.h"
#include "server/service.h"
#include "server/session.h"

/* One thread, so that the service's lock is taken by nobody else: it is left out. */
enum { PAGE = 4096 };

static struct service *service;
static struct session *session;
static int fds[PROTO_MAX_FDS];

static void close_fds(int some[PROTO_MAX_FDS])
{
	for (unsigned i = 0; i < 1 + PROTO_HELLO_FDS; i++)
		assert_int_equal(close(some[i]), 0);
}

static struct session *greet(pid_t pid, int to[PROTO_MAX_FDS])
{
	struct session *made = service_connect(service, pid, getuid());
	assert_non_null(made);
	assert_int_equal(session_greet(made, to), 0);
	return made;
}

static int set_up(void **state)
{
	(void)state;
	char why[DEV_WHY_MAX];
	assert_int_equal(service_create("memfd:size=2M,page=4K", &service, why), 0);
	session = greet(getpid(), fds);
	return 0;
}

/* Nothing is held, and nobody is left. */
static int tear_down(void **state)
{
	(void)state;
	assert_int_equal(service->connections, 0);
	assert_int_equal(service->holders, 0);
	assert_int_equal(service->quarantined, 0);
	assert_int_equal(service_destroy(service), 0);
	return 0;
}

static void leave(void)
{
	close_fds(fds);
	assert_true(service_disconnect(session));
}

static struct fsdax_file *make_file(const char *path, uint64_t bytes)
{
	struct fsdax_file *file;
	assert_int_equal(fsdax_open(service->fs, path, FSDAX_CREATE, &file), 0);
	assert_int_equal(fsdax_truncate(file, bytes), 0);
	return file;
}

static int session_map_of(struct fsdax_file *file, uint64_t offset, uint64_t len, struct session_map **out)
{
	const struct session_range range = {.offset_bytes = offset, .len_bytes = len};
	return session_map(session, file, &range, NULL, NULL, out);
}

static pinword_t *word(const struct session_map *map, uint64_t span)
{
	return &map->session->segment.words[map->first_word + span];
}

static enum pinword_reason reason(const struct session_map *map, uint64_t span)
{
	return pinword_read(word(map, span)).reason;
}

static struct fsdax_statfs space(void)
{
	struct fsdax_statfs st;
	fsdax_statfs(service->fs, &st);
	return st;
}

static void each_holder_has_a_number_and_a_lease_of_its_own(void **state)
{
	(void)state;
	char comm[SESSION_COMMAND_MAX] = "";
	int others[PROTO_MAX_FDS];
	struct session *other = greet(0, others);
	FILE *file = fopen("/proc/self/comm", "re");
	assert_non_null(file);
	assert_non_null(fgets(comm, sizeof(comm), file));
	assert_int_equal(fclose(file), 0);
	comm[strcspn(comm, "\n")] = 0;
	assert_string_equal(session->command, comm);
	assert_string_equal(other->command, "?");
	assert_int_equal(session->id, 1);
	assert_int_equal(other->id, 2);
	assert_int_equal(service->holders, 2);
	assert_int_equal(service->connections, 2);
	assert_int_equal(devices_lease_probe(&service->devices, 1), 0);
	assert_int_equal(devices_lease_probe(&service->devices, 2), 0);
	close_fds(others);
	assert_int_equal(devices_lease_probe(&service->devices, 1), 0);
	assert_int_equal(devices_lease_probe(&service->devices, 2), 1);
	assert_true(service_disconnect(other));
	other = greet(0, others);
	assert_int_equal(other->id, 3); /* never reused */
	close_fds(others);
	assert_true(service_disconnect(other));
	leave();
}

/* A client can lock any byte that is not guarded: the next holder's always is, however the last greeting went. */
static void a_greeting_that_fails_leaves_no_byte_that_a_client_could_take_first(void **state)
{
	(void)state;
	int others[PROTO_MAX_FDS];
	struct session *other = service_connect(service, getpid(), getuid());
	int writable;
	assert_int_equal(lease_join(session, false, true, &writable), 0);
	assert_non_null(other);
	for (unsigned long nth = 1;; nth++) {
		failing_begin(nth, false);
		int err = session_greet(other, others);
		bool failed = failing_end();
		struct flock next = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1};
		next.l_start = (off_t)(service->last_id + 1);
		assert_int_equal(fcntl(writable, F_OFD_SETLK, &next), -1);
		assert_int_equal(errno, EAGAIN);
		assert_int_equal(err, failed ? -ENOMEM : 0);
		assert_int_equal(service->holders, failed ? 1 : 2);
		if (!failed)
			break;
		assert_true(nth < 100);
	}
	assert_int_equal(close(writable), 0);
	close_fds(others);
	assert_true(service_disconnect(other));
	leave();
}

static void a_mapping_lies_within_the_size_and_ends_with_its_words(void **state)
{
	(void)state;
	struct session_map *map = NULL;
	struct fsdax_stat st;
	struct fsdax_file *file = make_file("f", 2 * PAGE + 100);
	assert_int_equal(session_map_of(file, 0, 2 * PAGE + 101, &map), -ERANGE);
	assert_int_equal(session_map_of(file, PAGE, UINT64_MAX, &map), -ERANGE);
	assert_int_equal(session_map_of(file, 2 * PAGE + 100, 0, &map), -ERANGE);
	assert_int_equal(session_map_of(file, 1, 1, &map), -EINVAL);
	assert_null(map);
	assert_true(TAILQ_EMPTY(&session->map_list));
	assert_int_equal(session_map_of(file, PAGE, 0, &map), 0);
	assert_int_equal(map->len_bytes, PAGE + 100);
	assert_int_equal(map->nspans, 2);
	assert_int_equal(map->pages, 3); /* whole folios: 2 and 1 */
	assert_ptr_equal(handles_get(&session->maps, map->id), map);
	uint64_t id = map->id, first = map->first_word;
	assert_int_equal(reason(map, 0), PINWORD_OPEN);
	assert_int_equal(reason(map, 1), PINWORD_OPEN);
	assert_false(session_is_pinned(map));
	session_unmap(session, map, 0);
	assert_null(handles_get(&session->maps, id));
	assert_int_equal(pinword_pin(&session->segment.words[first], 0), -EINVAL);
	assert_int_equal(fsdax_stat_file(file, &st), 0);
	assert_int_equal(st.mappings, 0);
	fsdax_close(file);
	leave();
}

static void c7_9_a_pinned_mapping_is_not_unmapped(void **state)
{
	(void)state;
	struct session_map *map;
	uint64_t local, remote;
	struct fsdax_file *file = make_file("f", 3 * PAGE);
	assert_int_equal(session_map_of(file, 0, 0, &map), 0);
	for (int kind = 0; kind <= 1; kind++) {
		assert_int_equal(pinword_pin(word(map, 1), kind), 0);
		assert_true(session_is_pinned(map));
		session_count_pins(map, &local, &remote);
		assert_int_equal(local, !kind);
		assert_int_equal(remote, kind);
		assert_int_equal(pinword_unpin(word(map, 1), kind), 0);
	}
	assert_false(session_is_pinned(map));
	session_unmap(session, map, 0);
	fsdax_close(file);
	leave();
}

/* 70 folios of a page: more than the bits of one word. Those of pages 66 and above go. */
static void c7_9_what_has_gone_from_the_file_stays_stale(void **state)
{
	(void)state;
	enum { PAGES = 70, KEPT = 66 };
	struct session_map *map;
	struct fsdax_file *file = make_file("f", 0);
	for (uint64_t n = 1; n <= PAGES; n++)
		assert_int_equal(fsdax_truncate(file, n * PAGE), 0);
	assert_int_equal(session_map_of(file, 0, 0, &map), 0);
	assert_int_equal(map->nspans, PAGES);
	assert_int_equal(fsdax_truncate(file, KEPT * PAGE), 0);
	static const enum pinword_reason reasons[] = {PINWORD_OPEN, PINWORD_GOING, PINWORD_OPEN};
	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++) {
		if (i)
			session_block_all(session, reasons[i]);
		for (uint64_t span = 0; span < PAGES; span++)
			assert_int_equal(reason(map, span), span < KEPT ? reasons[i] : PINWORD_STALE);
	}
	assert_false(session_is_pinned(map));
	session_unmap(session, map, 0);
	fsdax_close(file);
	leave();
}

static void c7_2_nothing_ends_while_the_kernel_maps_for_it(void **state)
{
	(void)state;
	struct session_map *map;
	struct fsdax_file *file = make_file("f", 4 * PAGE);
	assert_int_equal(session_map_of(file, 0, 0, &map), 0);
	assert_int_equal(pinword_pin(word(map, 0), 0), 0); /* a LOCAL pin ends with its process */
	fsdax_close(file);
	assert_int_equal(fsdax_unlink(service->fs, "f"), 0);
	assert_false(service_disconnect(session));
	assert_int_equal(session->state, PROTO_WHO_MAPPING);
	assert_int_equal(service->connections, 0);
	assert_int_equal(service->holders, 1);
	assert_int_equal(space().used, 4);
	close_fds(fds);
	service_lease_gone(service_lease_wanted(session));
	assert_int_equal(space().used + space().waiting, 0);
}

static void c7_5_remote_pins_of_the_dead_are_quarantined_until_the_fence(void **state)
{
	(void)state;
	struct session_map *map;
	struct fsdax_file *file = make_file("f", 7 * PAGE); /* folios of 4, 2 and 1 */
	struct proto_req req = {.handle = session->id};
	assert_int_equal(session_map_of(file, 0, 0, &map), 0);
	assert_int_equal(pinword_pin(word(map, 0), 0), 0);
	assert_int_equal(pinword_pin(word(map, 1), 0), 0);
	assert_int_equal(pinword_pin(word(map, 1), 1), 0);
	assert_int_equal(pinword_pin(word(map, 2), 1), 0);
	fsdax_close(file);
	assert_int_equal(request_fence(session, &req, NULL), -EBUSY);
	leave();
	assert_int_equal(session->state, PROTO_WHO_QUARANTINED);
	assert_int_equal(session->quarantined_pages, 3);
	assert_int_equal(session->nleft, 2);
	assert_int_equal(session->left[0].offset_bytes, 4 * PAGE);
	assert_int_equal(session->left[0].pages, 2);
	assert_int_equal(session->left[0].pins_local, 1);
	assert_int_equal(session->left[0].pins_remote, 1);
	assert_int_equal(session->left[1].pages, 1);
	assert_int_equal(session->left[1].offset_bytes, 6 * PAGE);
	assert_string_equal(session->left[0].path, "/f");
	assert_ptr_equal(session->left[0].path, session->left[1].path);
	assert_int_equal(service->quarantined, 1);
	assert_int_equal(fsdax_unlink(service->fs, "f"), 0);
	assert_int_equal(space().waiting, 3);
	assert_int_equal(service_destroy(service), -EBUSY);
	assert_int_equal(request_fence(session, &req, NULL), 0);
	assert_int_equal(space().waiting, 0);
}

/* Our client takes none there; another may write what it likes to its words. */
static void c7_6_remote_pins_that_cannot_be_are_a_claim_and_no_more(void **state)
{
	(void)state;
	struct session_map *map;
	struct fsdax_span span;
	struct fsdax_file *file = make_file("f", 4 * PAGE);
	assert_int_equal(session_map_of(file, 0, 0, &map), 0);
	fsdax_map_span(map->map, 0, &span);
	folio_pgmap(span.folio)->type = PGMAP_P2PDMA; /* as if the pool lay on a BAR (c5.5) */
	assert_int_equal(pinword_pin(word(map, 0), 1), 0);
	fsdax_close(file);
	assert_int_equal(fsdax_unlink(service->fs, "f"), 0);
	leave();
	assert_int_equal(service->quarantined, 0);
	assert_int_equal(space().used + space().waiting, 0);
}

static void a_command_is_shown_without_control_characters(void **state)
{
	(void)state;
	char comm[16];
	int others[PROTO_MAX_FDS];
	assert_int_equal(prctl(PR_GET_NAME, comm), 0);
	assert_int_equal(prctl(PR_SET_NAME, "a\nb\033[\x7f"), 0);
	struct session *other = greet(getpid(), others);
	assert_int_equal(prctl(PR_SET_NAME, comm), 0);
	assert_string_equal(other->command, "a?b?[?");
	close_fds(others);
	assert_true(service_disconnect(other));
	leave();
}

static void of_a_process_that_the_system_does_not_show_its_own_word_is_taken(void **state)
{
	(void)state;
	static const char said[PROTO_PATH_MAX] = "in\033a\ncontainer";
	struct service_reply reply;
	struct proto_req hello = {.magic = PROTO_MAGIC, .version = PROTO_VERSION, .type = PROTO_HELLO};
	memcpy(hello.path, said, sizeof(said));
	for (int seen = 0; seen < 2; seen++) {
		struct session *other = service_connect(service, seen ? getpid() : 0, getuid());
		assert_int_equal(service_handle(other, &hello, sizeof(hello), &reply), SERVICE_REPLY);
		assert_int_equal(reply.rep.error, 0);
		assert_string_equal(other->command, seen ? session->command : "in?a?container");
		close_fds(reply.fds);
		assert_true(service_disconnect(other));
		memset(hello.path, 'x', sizeof(hello.path)); /* which does not end */
	}
	struct session *other = service_connect(service, 0, getuid());
	assert_int_equal(service_handle(other, &hello, sizeof(hello), &reply), SERVICE_REPLY);
	assert_int_equal(strspn(other->command, "x"), SESSION_COMMAND_MAX - 1);
	assert_int_equal(strlen(other->command), SESSION_COMMAND_MAX - 1);
	close_fds(reply.fds);
	assert_true(service_disconnect(other));
	leave();
}

/* The folio is cut in two under a mapping that pins it: both parts are quarantined, the one that the file lost as well. */
static void c7_5_a_pinned_folio_that_was_split_is_quarantined_whole(void **state)
{
	(void)state;
	struct session_map *map;
	struct fsdax_file *file = make_file("f", 8 * PAGE);
	struct proto_req req = {.handle = session->id};
	assert_int_equal(session_map_of(file, 0, 0, &map), 0);
	assert_int_equal(map->nspans, 1);
	assert_int_equal(pinword_pin(word(map, 0), 1), 0);
	assert_int_equal(fsdax_truncate(file, 4 * PAGE), 0);
	fsdax_close(file);
	leave();
	assert_int_equal(session->quarantined_pages, 8);
	assert_int_equal(session->nleft, 1);
	assert_int_equal(session->left[0].pages, 8);
	assert_int_equal(space().used, 4);
	assert_int_equal(space().waiting, 4);
	assert_int_equal(request_fence(session, &req, NULL), 0);
	assert_int_equal(space().waiting, 0);
}

static void c7_5_the_dead_are_quarantined_without_memory_too(void **state)
{
	(void)state;
	struct session_map *map, *again;
	struct fsdax_file *file = make_file("f", 3 * PAGE), *other = make_file("g", PAGE);
	struct proto_req req = {.handle = session->id};
	assert_int_equal(session_map_of(file, 0, 0, &map), 0);
	assert_int_equal(session_map_of(other, 0, 0, &again), 0);
	assert_int_equal(pinword_pin(word(map, 0), 1), 0);
	assert_int_equal(pinword_pin(word(map, 1), 1), 0);
	assert_int_equal(pinword_pin(word(again, 0), 1), 0);
	fsdax_close(file);
	fsdax_close(other);
	failing_begin(1, true);
	leave();
	(void)failing_end();
	assert_int_equal(session->state, PROTO_WHO_QUARANTINED);
	assert_int_equal(session->quarantined_pages, 4);
	assert_int_equal(session->nleft, 0); /* what "who" would have shown is lost, and nothing else */
	assert_int_equal(request_fence(session, &req, NULL), 0);
	assert_int_equal(pgmap_live_pages(dax_pgmap(service->devices.memory[0])), 0);
}

static void c7_5_the_folios_of_a_file_share_its_path(void **state)
{
	(void)state;
	struct session_map *map[3];
	struct fsdax_file *f = make_file("f", 3 * PAGE), *g = make_file("g", PAGE);
	struct proto_req req = {.handle = session->id};
	assert_int_equal(session_map_of(f, 0, 0, &map[0]), 0);
	assert_int_equal(session_map_of(f, 0, 0, &map[1]), 0);
	assert_int_equal(session_map_of(g, 0, 0, &map[2]), 0);
	assert_int_equal(pinword_pin(word(map[0], 1), 1), 0);
	assert_int_equal(pinword_pin(word(map[1], 0), 1), 0);
	assert_int_equal(pinword_pin(word(map[1], 1), 1), 0);
	assert_int_equal(pinword_pin(word(map[2], 0), 1), 0);
	fsdax_close(f);
	fsdax_close(g);
	leave();
	assert_int_equal(session->nleft, 4);
	for (unsigned i = 0; i < 4; i++) {
		assert_string_equal(session->left[i].path, i < 3 ? "/f" : "/g");
		assert_int_equal(session->left[i].own_path, i == 0 || i == 3);
		assert_true(i == 0 || i == 3 || session->left[i].path == session->left[0].path);
	}
	assert_int_equal(request_fence(session, &req, NULL), 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		T(each_holder_has_a_number_and_a_lease_of_its_own),
		T(a_greeting_that_fails_leaves_no_byte_that_a_client_could_take_first),
		T(a_mapping_lies_within_the_size_and_ends_with_its_words),
		T(c7_9_a_pinned_mapping_is_not_unmapped),
		T(c7_9_what_has_gone_from_the_file_stays_stale),
		T(c7_2_nothing_ends_while_the_kernel_maps_for_it),
		T(c7_5_remote_pins_of_the_dead_are_quarantined_until_the_fence),
		T(c7_6_remote_pins_that_cannot_be_are_a_claim_and_no_more),
		T(a_command_is_shown_without_control_characters),
		T(of_a_process_that_the_system_does_not_show_its_own_word_is_taken),
		T(c7_5_a_pinned_folio_that_was_split_is_quarantined_whole),
		T(c7_5_the_dead_are_quarantined_without_memory_too),
		T(c7_5_the_folios_of_a_file_share_its_path),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
