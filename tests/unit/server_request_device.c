/* SPDX-License-Identifier: BSD-3-Clause */
/* server_request_device.c - the devices of a pool, as a client asks for them, one by one. */
#include "failing.h"
#include "server_util.h"

static struct proto_device *devices;

static uint64_t list(const struct client *client)
{
	struct proto_req req = request(PROTO_DEVICES);
	free(devices);
	assert_int_equal(ask(client, &req), 0);
	devices = take_records(reply.rep.count * sizeof(*devices));
	return reply.rep.count;
}

static int open_two(void **state)
{
	(void)state;
	static const char *const specs[] = {"memfd:size=4M,page=4K", "memfd:size=2M,page=4K"};
	char why[DEV_WHY_MAX];
	unsigned which;
	struct service **out = &service;
	assert_int_equal(service_create_on(specs, 2, NULL, out, &which, why), 0);
	me = join(0);
	return 0;
}

static int close_two(void **state)
{
	free(devices);
	devices = NULL;
	return tear_down_one(state);
}

static void each_says_what_it_is_and_how_much_is_held(void **state)
{
	(void)state;
	struct client control = join(PROTO_HELLO_CONTROL);
	assert_int_equal(open_map(&me, "/f", FSDAX_CREATE, 3 * PAGE), 0);
	uint64_t map = reply.rep.handle;
	unsigned at = reply.rep.u.map.pieces[0].device;
	assert_int_equal(dax_notify_failure(service->devices.memory[1], DAX_FAILURE_POISON, 3, 7), 0);
	assert_int_equal(list(&control), 2);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(devices[i].number, i);
		assert_int_equal(devices[i].state, PROTO_DEVICE_LIVE);
		assert_int_equal(devices[i].granule_order, 0);
		assert_int_equal(devices[i].access, DEV_ACCESS_MEMORY);
		assert_int_equal(devices[i].persistence, DEV_PERSIST_NONE);
		assert_int_equal(devices[i].used, i == at ? 3 : 0);
		assert_int_equal(devices[i].held, i == at ? 3 : 0);
	}
	assert_int_equal(devices[0].pages, 1024);
	assert_int_equal(devices[1].pages, 512);
	assert_int_equal(devices[0].bad, 0);
	assert_int_equal(devices[1].bad, 7);
	assert_string_equal(devices[0].spec, "memfd:size=4194304,page=4K");
	assert_string_equal(devices[1].spec, "memfd:size=2097152,page=4K");
	assert_int_equal(ask_handle(&me, PROTO_UNMAP, map), 0);
	leave(&control);
}

static int is_gone(const struct dev *dev)
{
	(void)dev;
	return -ENXIO;
}

static void one_that_is_gone_says_so(void **state)
{
	(void)state;
	service->devices.dev[1]->check = is_gone;
	assert_true(service_check_devices(service));
	assert_int_equal(list(&me), 2);
	assert_int_equal(devices[0].state, PROTO_DEVICE_LIVE);
	assert_int_equal(devices[1].state, PROTO_DEVICE_GONE);
}

static void without_memory_or_descriptors_there_is_no_list(void **state)
{
	(void)state;
	struct proto_req req = request(PROTO_DEVICES);
	failing_begin(1, false);
	assert_int_equal(ask(&me, &req), -ENOMEM);
	assert_true(failing_end());
	rlim_t was = no_descriptors();
	assert_int_equal(ask(&me, &req), -EMFILE);
	descriptors_again(was);
	assert_int_equal(list(&me), 2);
}

#define T(name) cmocka_unit_test_setup_teardown(name, open_two, close_two)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(each_says_what_it_is_and_how_much_is_held),
		T(one_that_is_gone_says_so),
		T(without_memory_or_descriptors_there_is_no_list),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
