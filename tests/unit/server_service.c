/* SPDX-License-Identifier: BSD-3-Clause */
/* server_service.c - what every message passes before anything is believed of it; drains; the service's making and end. */
#include "failing.h"
#include "server_util.h"

static struct client me, control;

static int set_up(void **state)
{
	(void)state;
	open_service("memfd:size=2M,page=4K");
	me = join(0);
	control = join(PROTO_HELLO_CONTROL);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	leave(&me);
	leave(&control);
	close_service();
	return 0;
}

/* Refused as something that does not speak the protocol, and told so with this version. */
static void assert_closed(const struct session *session, const void *msg, size_t len)
{
	const struct proto_req *req = msg;
	memset(&reply, 0xee, sizeof(reply));
	assert_int_equal(service_handle((struct session *)(uintptr_t)session, msg, len, &reply), SERVICE_CLOSE);
	assert_int_equal(reply.rep.magic, PROTO_MAGIC);
	assert_int_equal(reply.rep.version, PROTO_VERSION);
	assert_int_equal(reply.rep.error, -EPROTO);
	assert_int_equal(reply.nfds, 0);
	assert_int_equal(reply.rep.seq, len >= PROTO_HEADER_BYTES ? req->seq : 0);
	assert_int_equal(reply.rep.type, len >= PROTO_HEADER_BYTES ? req->type : 0);
}

static void what_does_not_speak_the_protocol_is_told_so_once(void **state)
{
	(void)state;
	struct session *fresh = service_connect(service, 1, 2);
	struct proto_req hello = request(PROTO_HELLO), info = request(PROTO_INFO);
	static char longer[sizeof(struct proto_req) + 1];
	assert_non_null(fresh);
	assert_int_equal(service_session_event(fresh), -1);
	assert_int_equal(fresh->id, 0);
	static const size_t lengths[] = {0, 1, PROTO_HEADER_BYTES - 1, PROTO_HEADER_BYTES,
					 sizeof(struct proto_req) - 1};
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		assert_closed(fresh, &hello, lengths[i]);
		assert_closed(me.session, &info, lengths[i]);
	}
	memcpy(longer, &hello, sizeof(hello));
	assert_closed(fresh, longer, sizeof(longer));
	assert_closed(fresh, &info, sizeof(info));        /* no greeting */
	assert_closed(me.session, &hello, sizeof(hello)); /* a second one */
	assert_closed(control.session, &hello, sizeof(hello));
	hello.magic ^= 1;
	assert_closed(fresh, &hello, sizeof(hello));
	hello = request(PROTO_HELLO);
	for (int version = PROTO_VERSION - 1; version <= PROTO_VERSION + 1; version += 2) {
		hello.version = (uint16_t)version;
		assert_closed(fresh, &hello, sizeof(hello));
	}
	hello = request(PROTO_HELLO);
	hello.flags = 2;
	struct client same = {.session = fresh};
	assert_int_equal(ask(&same, &hello), -EINVAL);
	assert_null(fresh->holder);
	assert_false(fresh->greeted);
	hello.flags = 0;
	assert_int_equal(ask(&same, &hello), 0);
	assert_int_equal(reply.nfds, 3);
	same.nfds = 3;
	memcpy(same.fds, reply.fds, sizeof(same.fds));
	assert_int_equal(reply.rep.u.hello.holder_id, fresh->id);
	assert_int_equal(reply.rep.u.hello.words, 1 << 16);
	assert_true(reply.rep.u.hello.service_id == service->id);
	assert_int_equal(reply.rep.u.hello.granule_order, 0);
	assert_int_equal(reply.rep.u.hello.server_pid, getpid());
	leave(&same);
}

/* Which requests take which parts: written down here once more, as protocol.h says it. */
static const struct {
	enum proto_type type;
	uint32_t flags;
	unsigned npaths;
	bool needs_holder, needs_prot;
} types[] = {
	{PROTO_OPEN, 7, 1, true, false},
	{PROTO_CLOSE, 0, 0, true, false},
	{PROTO_FSTAT, 0, 0, true, false},
	{PROTO_TRUNCATE, 3, 0, true, false},
	{PROTO_MAP, 1, 0, true, true},
	{PROTO_OPEN_MAP, 7, 1, true, true},
	{PROTO_UNMAP, 7, 0, true, false},
	{PROTO_STAT, 0, 1, false, false},
	{PROTO_UNLINK, 3, 1, false, false},
	{PROTO_RENAME, 0, 2, false, false},
	{PROTO_MKDIR, 0, 1, false, false},
	{PROTO_RMDIR, 0, 1, false, false},
	{PROTO_READDIR, 0, 1, false, false},
	{PROTO_INFO, 0, 0, false, false},
	{PROTO_WHO, 1, 1, false, false},
	{PROTO_FENCE, 0, 0, false, false},
	{PROTO_DRAIN_CANCEL, 0, 0, false, false},
	{PROTO_PUNCH, 3, 0, true, false},
	{PROTO_ORDER, 0, 1, false, false},
	{PROTO_AWAIT, 1, 0, false, false},
	{PROTO_DEVICES, 0, 0, false, false},
	{PROTO_DEVICE_REMOVE, 0, 1, false, false},
	{PROTO_DEVICE_CANCEL, 0, 1, false, false},
	{PROTO_LOST, 0, 1, false, false},
	{PROTO_REPAIR, 0, 1, false, false},
	{PROTO_VERIFY, 0, 0, true, false},
};

static void each_part_of_a_request_is_checked(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		struct proto_req good = request(types[i].type), req;
		(void)snprintf(good.path, sizeof(good.path), "/none");
		(void)snprintf(good.path2, sizeof(good.path2), "/other");
		good.prot = 1;
		for (unsigned bit = 0; bit < 32; bit++) {
			req = good;
			req.flags = UINT32_C(1) << bit;
			bool known = types[i].flags & req.flags;
			bool refused = ask(&me, &req) == -EINVAL;
			assert_int_equal(refused, !known);
			if (reply.rep.error == 0 && known)
				(void)ask_path(&me, PROTO_UNLINK, "/none");
		}
		for (unsigned word = 0; word < 3; word++) {
			req = good;
			req.reserved[word] = 1;
			assert_int_equal(ask(&me, &req), -EINVAL);
		}
		req = good;
		memset(req.path, 'p', sizeof(req.path));
		assert_int_equal(ask(&me, &req) == -ENAMETOOLONG, types[i].npaths >= 1);
		req = good;
		memset(req.path2, 'p', sizeof(req.path2));
		assert_int_equal(ask(&me, &req) == -ENAMETOOLONG, types[i].npaths >= 2);
		req = good;
		assert_int_equal(ask(&control, &req) == -EPERM, types[i].needs_holder);
		static const uint32_t wrong[] = {0, 4, 7, UINT32_MAX};
		for (size_t p = 0; p < sizeof(wrong) / sizeof(wrong[0]); p++) {
			req.prot = wrong[p];
			assert_int_equal(ask(&me, &req) == -EINVAL, types[i].needs_prot);
		}
	}
	assert_int_equal(space().files, 0);
	static const uint16_t unknown[] = {0, PROTO_NTYPES, PROTO_NTYPES + 1, UINT16_MAX};
	for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++) {
		struct proto_req req = request(PROTO_INFO);
		req.type = unknown[i];
		assert_int_equal(ask(&me, &req), -EOPNOTSUPP);
	}
}

static uint64_t seed = 20261121;

static uint64_t rnd(uint64_t n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed % n;
}

static uint64_t odd_number(void)
{
	static const uint64_t odd[] = {0,         1,         2, PAGE, PAGE + 1, 2 * MIB, 2 * MIB + 1, UINT64_C(1) << 40,
				       INT64_MAX, UINT64_MAX};
	return odd[rnd(sizeof(odd) / sizeof(odd[0]))];
}

/* Most of it well formed, so that it goes deep; some of it any bytes. Never a drain: that is waited for elsewhere. */
static void make_garbage(struct proto_req *req)
{
	static const char *const paths[] = {"/a", "/b", "/d", "/d/a", "/d/e", "", "/", "//", "..", "a/b/c"};
	*req = request((enum proto_type)(1 + rnd(PROTO_NTYPES - 1)));
	if (req->type == PROTO_DRAIN || (req->type == PROTO_HELLO && rnd(20)))
		req->type = PROTO_OPEN_MAP;
	(void)snprintf(req->path, sizeof(req->path), "%s", paths[rnd(10)]);
	(void)snprintf(req->path2, sizeof(req->path2), "%s", paths[rnd(10)]);
	req->flags = req->type == PROTO_OPEN || req->type == PROTO_OPEN_MAP ? (uint32_t)rnd(8) : 0;
	req->handle = rnd(8);
	req->len_bytes = rnd(2) ? rnd(40) * PAGE : odd_number();
	req->offset_bytes = rnd(2) ? 0 : odd_number();
	req->prot = (uint32_t)rnd(4);
	for (uint64_t n = rnd(4) ? 0 : 1 + rnd(3); n; n--)
		((unsigned char *)req)[rnd(4) ? rnd(64) : rnd(sizeof(*req))] = (unsigned char)rnd(256);
	if (req->type == PROTO_DRAIN)
		req->type = PROTO_DRAIN_CANCEL;
}

static void garbage_is_answered_and_leaves_the_accounts_right(void **state)
{
	(void)state;
	unsigned descriptors = open_descriptors();
	struct client other = join(0);
	for (unsigned i = 0; i < 60000; i++) {
		struct proto_req req;
		make_garbage(&req);
		size_t len = rnd(50) ? sizeof(req) : rnd(sizeof(req));
		enum service_next next = service_handle(rnd(2) ? me.session : other.session, &req, len, &reply);
		assert_true(next == SERVICE_REPLY || next == SERVICE_CLOSE);
		assert_int_equal(next == SERVICE_CLOSE, reply.rep.error == -EPROTO);
		assert_true(reply.rep.error <= 0 && reply.rep.error > -200);
		while (reply.nfds)
			assert_int_equal(close(reply.fds[--reply.nfds]), 0);
		if (i % 1000 == 0)
			(void)space();
	}
	leave(&other);
	leave(&me);
	assert_int_equal(space().waiting, 0); /* nobody holds anything; files have what they have */
	assert_int_equal(pgmap_live_pages(dax_pgmap(service->devices.memory[0])), 0);
	me = join(0);
	assert_int_equal(open_descriptors(), descriptors);
}

static enum service_next drain(int64_t timeout_ms)
{
	struct proto_req req = request(PROTO_DRAIN);
	req.timeout_ms = timeout_ms;
	return service_handle(control.session, &req, sizeof(req), &reply);
}

static void c7_9_a_drain_closes_all_words_and_its_end_opens_them(void **state)
{
	(void)state;
	struct proto_req cancel = request(PROTO_DRAIN_CANCEL);
	char text[300];
	assert_int_equal(ask(&control, &cancel), 0);        /* nothing to cancel */
	assert_int_equal(service_destroy(service), -EBUSY); /* somebody is connected */
	assert_int_equal(open_map(&me, "/f", FSDAX_CREATE, PAGE), 0);
	uint64_t map = reply.rep.handle;
	pinword_t *word = &me.session->segment.words[reply.rep.u.map.first_word];
	for (int again = 0; again < 2; again++) {
		assert_int_equal(drain(0), SERVICE_REPLY);
		assert_int_equal(reply.rep.error, -ETIMEDOUT);
		assert_int_equal(drain(-1), SERVICE_WAIT);
		assert_int_equal(drain(1000), SERVICE_WAIT);
		assert_int_equal(pinword_pin(word, 0), -ENODEV);
		assert_int_equal(ask(&control, &cancel), 0);
		assert_int_equal(pinword_pin(word, 0), 0);
		assert_int_equal(pinword_unpin(word, 0), 0);
	}
	service_drain(service);
	(void)snprintf(cancel.path, sizeof(cancel.path), "%s (pid %ld)", me.session->command, (long)getpid());
	service_waits_for(service, text, sizeof(text));
	assert_string_equal(text, cancel.path);
	cancel = request(PROTO_DRAIN_CANCEL);
	assert_int_equal(ask_handle(&me, PROTO_UNMAP, map), 0);
	service_waits_for(service, text, sizeof(text));
	assert_string_equal(text, "");
	assert_int_equal(drain(0), SERVICE_REPLY);
	assert_int_equal(reply.rep.error, 0);
	assert_int_equal(pgmap_state(dax_pgmap(service->devices.memory[0])), PGMAP_DEAD);
	assert_int_equal(ask(&control, &cancel), -ENODEV);
	assert_int_equal(service_drain_cancel(service), -ENODEV);
	assert_int_equal(drain(-1), SERVICE_REPLY); /* it is dead: at once */
	assert_int_equal(reply.rep.error, 0);
	assert_int_equal(open_map(&me, "/f", 0, 0), -ENODEV);
}

static void c7_3_whoever_is_waited_for_is_named_with_his_state(void **state)
{
	(void)state;
	char text[300], want[300];
	struct client mapping = join(0), dead = join(0);
	uint64_t dead_id = dead.session->id;
	assert_int_equal(open_map(&mapping, "/m", FSDAX_CREATE, PAGE), 0);
	assert_int_equal(open_map(&dead, "/q", FSDAX_CREATE, PAGE), 0);
	assert_int_equal(pinword_pin(&dead.session->segment.words[reply.rep.u.map.first_word], 1), 0);
	leave(&dead);
	assert_false(service_disconnect(mapping.session));
	assert_int_equal(service->connections, 1);
	(void)snprintf(want, sizeof(want),
		       "%s (pid %ld, disconnected, still mapping), %s (pid %ld, dead, pages quarantined)",
		       me.session->command, (long)getpid(), me.session->command, (long)getpid());
	service_waits_for(service, text, sizeof(text));
	assert_string_equal(text, want);
	struct client third = join(0);
	assert_int_equal(open_map(&third, "/m", 0, 0), 0);
	third.session->pid = 0; /* in a container */
	service_waits_for(service, text, sizeof(text));
	assert_non_null(strstr(text, " (no pid here)"));
	memset(text, 'z', sizeof(text));
	service_waits_for(service, text, 50); /* room for the first, and not for all of the second */
	assert_true(strlen(text) < 50);
	assert_memory_equal(text, want, 20);
	for (size_t i = 50; i < sizeof(text); i++)
		assert_int_equal(text[i], 'z');
	leave(&third);
	service_waits_for(service, text, 1);
	assert_string_equal(text, "");
	assert_int_equal(service_destroy(service), -EBUSY);
	while (mapping.nfds)
		assert_int_equal(close(mapping.fds[--mapping.nfds]), 0);
	service_lease_gone(service_lease_wanted(mapping.session));
	assert_int_equal(ask_handle(&control, PROTO_FENCE, dead_id), 0);
	service_waits_for(service, text, sizeof(text));
	assert_string_equal(text, "");
}

static enum service_event events[16];
static uint64_t event_holders[16];
static int64_t event_pages;
static unsigned nevents;

static void note_event(void *arg, enum service_event event, const struct service_whom *whom)
{
	assert_ptr_equal(arg, &nevents);
	assert_true(nevents < 16);
	events[nevents] = event;
	event_pages += whom->pages;
	event_holders[nevents++] = whom->holder;
}

static void what_an_operator_looks_for_is_told_once(void **state)
{
	(void)state;
	struct client mapping = join(0), dead = join(0), quiet = join(0);
	uint64_t mapping_id = mapping.session->id, dead_id = dead.session->id;
	struct proto_req cancel = request(PROTO_DRAIN_CANCEL);
	nevents = 0;
	service_on_event(service, note_event, &nevents);
	assert_int_equal(open_map(&mapping, "/m", FSDAX_CREATE, PAGE), 0);
	assert_int_equal(open_map(&dead, "/q", FSDAX_CREATE, 3 * PAGE), 0);
	assert_int_equal(pinword_pin(&dead.session->segment.words[reply.rep.u.map.first_word], 1), 0);
	leave(&quiet); /* it held nothing: of no interest */
	leave(&dead);
	assert_false(service_disconnect(mapping.session));
	while (mapping.nfds)
		assert_int_equal(close(mapping.fds[--mapping.nfds]), 0);
	service_lease_gone(service_lease_wanted(mapping.session));
	assert_int_equal(drain(0), SERVICE_REPLY);
	assert_int_equal(drain(0), SERVICE_REPLY);
	assert_int_equal(ask(&control, &cancel), 0);
	assert_int_equal(ask_handle(&control, PROTO_FENCE, dead_id), 0);
	static const enum service_event want[] = {SERVICE_QUARANTINED, SERVICE_STILL_MAPPED,    SERVICE_ENDED,
						  SERVICE_DRAIN,       SERVICE_DRAIN_CANCELLED, SERVICE_FENCED};
	const uint64_t holders[] = {dead_id, mapping_id, mapping_id, 0, 0, dead_id};
	assert_int_equal(nevents, 6);
	assert_memory_equal(events, want, sizeof(want));
	assert_memory_equal(event_holders, holders, sizeof(holders));
	assert_int_equal(event_pages, 2 + 2); /* the folio of two pages; told of as left, and as fenced */
	service_on_event(service, NULL, NULL);
}

static void an_embedded_session_ends_when_it_maps_nothing(void **state)
{
	(void)state;
	struct client own = join(0);
	assert_int_equal(open_map(&own, "/f", FSDAX_CREATE, PAGE), 0);
	uint64_t map = reply.rep.handle, file;
	assert_int_equal(open_file(&own, "/f", 0, &file), 0);
	assert_false(service_end_embedded(own.session));
	assert_int_equal(ask_handle(&own, PROTO_FSTAT, file), 0); /* nothing changed */
	assert_int_equal(service->connections, 2);
	assert_int_equal(ask_handle(&own, PROTO_UNMAP, map), 0);
	while (own.nfds)
		assert_int_equal(close(own.fds[--own.nfds]), 0);
	assert_true(service_end_embedded(own.session));
	assert_int_equal(service->connections, 1);
	assert_int_equal(service->holders, 1);
	assert_true(service_end_embedded(service_connect(service, 0, 0))); /* never greeted */
}

static void a_greeting_without_descriptors_or_memory_leaves_nothing(void **state)
{
	(void)state;
	struct client late = {.session = service_connect(service, getpid(), getuid())};
	struct proto_req hello = request(PROTO_HELLO);
	unsigned before = open_descriptors(), failures = 0;
	assert_non_null(late.session);
	rlim_t was = no_descriptors();
	int err = ask(&late, &hello);
	descriptors_again(was);
	assert_int_equal(err, -EMFILE);
	for (unsigned long nth = 1;; nth++, failures++) {
		failing_begin(nth, true);
		err = ask(&late, &hello);
		if (!failing_end())
			break;
		assert_int_equal(err, -ENOMEM);
		assert_int_equal(open_descriptors(), before);
		assert_int_equal(service->holders, 1);
		assert_int_equal(service_session_event(late.session), -1);
	}
	assert_true(failures > 1);
	assert_int_equal(err, 0);
	late.nfds = reply.nfds;
	memcpy(late.fds, reply.fds, sizeof(late.fds));
	assert_true(late.session->id > me.session->id); /* a number whose byte was touched is used up */
	leave(&late);
	failing_begin(1, false);
	assert_null(service_connect(service, 1, 1));
	assert_true(failing_end());
}

static void a_service_that_cannot_be_made_says_why(void **state)
{
	(void)state;
	static const struct {
		const char *spec;
		int want;
	} specs[] = {
		{"tape:size=1M", -EINVAL},          {"memfd:", -EINVAL},
		{"memfd:size=5000", -EINVAL},       {"memfd:size=1M,page=3K", -EINVAL},
		{"memfd:size=8T,page=1G", -ENOMEM},
	};
	char why[DEV_WHY_MAX];
	struct service *none = NULL;
	unsigned before = open_descriptors();
	for (size_t i = 0; i < sizeof(specs) / sizeof(specs[0]); i++) {
		assert_int_equal(service_create(specs[i].spec, &none, why), specs[i].want);
		assert_true(why[0] != 0 && strchr(why, '\n') == NULL);
	}
	for (unsigned long nth = 1;; nth++) {
		failing_begin(nth, true);
		int err = service_create("memfd:size=2M,page=4K", &none, why);
		if (!failing_end()) {
			assert_int_equal(err, 0);
			assert_true(nth > 5);
			break;
		}
		assert_int_equal(err, -ENOMEM);
		assert_true(why[0] != 0 || nth == 1);
		assert_null(none);
		assert_int_equal(open_descriptors(), before);
	}
	assert_int_equal(service_pages(none), 512);
	assert_int_equal(service_destroy(none), 0);
	assert_int_equal(service_destroy(NULL), 0);
	assert_int_equal(open_descriptors(), before);
	assert_int_equal(service_create(NULL, &none, why), 0); /* half of what is free */
	assert_int_equal(service_pages(none) % 512, 0);
	assert_memory_equal(service_devices(none)->dev[0]->spec, "memfd:size=", 11);
	assert_int_equal(service_destroy(none), 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		T(what_does_not_speak_the_protocol_is_told_so_once),
		T(each_part_of_a_request_is_checked),
		T(what_an_operator_looks_for_is_told_once),
		T(garbage_is_answered_and_leaves_the_accounts_right),
		T(c7_9_a_drain_closes_all_words_and_its_end_opens_them),
		T(c7_3_whoever_is_waited_for_is_named_with_his_state),
		T(an_embedded_session_ends_when_it_maps_nothing),
		T(a_greeting_without_descriptors_or_memory_leaves_nothing),
		T(a_service_that_cannot_be_made_says_why),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
