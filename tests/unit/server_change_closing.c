/* SPDX-License-Identifier: BSD-3-Clause */
/* server_change_closing.c - devices that are just being closed, and what waits for that; and those that wait for a file's end. */
#include "change_util.h"

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <semaphore.h>

static const char spec[] = "memfd:size=4M,page=4K";

static sem_t may_close;

/* As the last that is asked of a device before it is closed. */
static int is_there_once_it_may(const struct dev *dev)
{
	(void)dev;
	assert_int_equal(sem_wait(&may_close), 0);
	return 0;
}

/* All threads but this one wait for something, or have ended. */
static bool all_wait(void)
{
	char path[300], line[512], state;
	bool wait = true;
	const struct dirent *entry;
	DIR *dir = opendir("/proc/self/task");
	assert_non_null(dir);
	while ((entry = readdir(dir)) != NULL) {
		(void)snprintf(path, sizeof(path), "/proc/self/task/%s/stat", entry->d_name);
		FILE *f = entry->d_name[0] != '.' && atoi(entry->d_name) != gettid() ? fopen(path, "re") : NULL;
		if (f && fgets(line, sizeof(line), f) && sscanf(strrchr(line, ')'), ") %c", &state) == 1)
			wait = wait && state != 'R' && state != 'D';
		if (f)
			(void)fclose(f);
	}
	(void)closedir(dir);
	return wait;
}

static uint64_t listed(struct proto_device rows[], uint64_t most)
{
	struct proto_req req = request(PROTO_DEVICES);
	assert_int_equal(ask(&me, &req), 0);
	assert_true(reply.rep.count <= most);
	struct proto_device *all = take_records(reply.rep.count * sizeof(*all));
	memcpy(rows, all, reply.rep.count * sizeof(*all));
	free(all);
	return reply.rep.count;
}

/* What is in no list is closed; until then it has its number, and who adds it again waits. */
static void it_is_listed_until_it_is_closed(void **state)
{
	(void)state;
	struct proto_device rows[3];
	char file[] = "/tmp/pgmap-change-XXXXXX", path[100];
	int fd = mkstemp(file);
	assert_true(fd >= 0);
	(void)snprintf(path, sizeof(path), "file:%s,size=4M", file);
	assert_int_equal(sem_init(&may_close, 0, 0), 0);
	assert_int_equal(add(path), 0);
	service->devices.dev[1]->check = is_there_once_it_may;
	struct proto_req req = about(PROTO_DEVICE_REMOVE, 1, "", -1);
	uint64_t removal = begin(&req);
	assert_int_equal(listed(rows, 3), 2);
	assert_int_equal(rows[1].number, 1);
	assert_int_equal(rows[1].state, PROTO_DEVICE_LEAVING);
	assert_int_equal(rows[1].pages, 1024);
	assert_non_null(strstr(rows[1].spec, file));
	req = about(PROTO_DEVICE_ADD, 0, path, 0);
	uint64_t addition = begin(&req);
	req = about(PROTO_DEVICE_ADD, 0, spec, 0);
	uint64_t another = begin(&req);
	while (listed(rows, 3) == 2 && !all_wait())
		(void)sched_yield();
	assert_int_equal(listed(rows, 3), 2);
	assert_int_equal(sem_post(&may_close), 0);
	assert_int_equal(wait_for(removal), 0);
	assert_int_equal(wait_for(addition), 0);
	assert_int_equal(wait_for(another), 0);
	assert_int_equal(listed(rows, 3), 3);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(rows[i].number, i);
		assert_int_equal(rows[i].state, PROTO_DEVICE_LIVE);
	}
	for (unsigned i = 1; i < 3; i++) {
		req = about(PROTO_DEVICE_REMOVE, i, "", -1);
		assert_int_equal(wait_for(begin(&req)), 0);
	}
	assert_int_equal(listed(rows, 3), 1);
	assert_int_equal(sem_destroy(&may_close) | close(fd) | unlink(file), 0);
}

/* What it lacks may be what the other has still: huge pages, say. */
static void one_that_comes_is_looked_at_when_the_other_is_closed(void **state)
{
	(void)state;
	char file[] = "/tmp/pgmap-change-XXXXXX", path[100];
	int fd = mkstemp(file);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, 4 * MIB) | unlink(file) | close(fd), 0);
	(void)snprintf(path, sizeof(path), "file:%s,size=4M", file);
	assert_int_equal(sem_init(&may_close, 0, 0), 0);
	assert_int_equal(add(spec), 0);
	service->devices.dev[1]->check = is_there_once_it_may;
	struct proto_req req = about(PROTO_DEVICE_REMOVE, 1, "", -1);
	uint64_t removal = begin(&req);
	req = about(PROTO_DEVICE_ADD, 0, path, 0);
	uint64_t addition = begin(&req);
	while (!all_wait())
		(void)sched_yield();
	fd = open(file, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, 4 * MIB), 0);
	assert_int_equal(sem_post(&may_close), 0);
	assert_int_equal(wait_for(removal), 0);
	assert_int_equal(wait_for(addition), 0);
	assert_int_equal(rep.handle, 1);
	req = about(PROTO_DEVICE_REMOVE, 1, "", -1);
	assert_int_equal(wait_for(begin(&req)), 0);
	assert_int_equal(sem_destroy(&may_close) | close(fd) | unlink(file), 0);
}

/* Nothing of it can go before the file does, and that is a request: nobody has to look. */
static void a_removal_that_waits_for_an_open_file_sleeps(void **state)
{
	(void)state;
	uint64_t file;
	struct proto_req req = about(PROTO_DEVICE_REMOVE, 1, "", 0);
	assert_int_equal(add(spec), 0);
	assert_int_equal(open_file(&me, "/f", FSDAX_CREATE, &file), 0);
	assert_int_equal(truncate_file(&me, file, 6 * MIB), 0);
	assert_int_equal(ask_path(&me, PROTO_UNLINK, "/f"), 0);
	assert_int_equal(ask(&root, &req), -ETIMEDOUT);
	assert_int_equal(devices_held_pages(&service->devices, 1), 0);
	assert_int_equal(service_check_changes(service), PGMAP_NO_DEADLINE);
	req.timeout_ms = -1;
	uint64_t id = begin(&req);
	assert_int_equal(ask_handle(&me, PROTO_CLOSE, file), 0);
	assert_int_equal(wait_for(id), 0);
	assert_int_equal(devices_count(&service->devices), 1);
}

static void *wait_in_a_thread(void *arg)
{
	assert_int_equal(wait_for(*(uint64_t *)arg), 0);
	return NULL;
}

/* It has no loop that looks after each round. */
static void nor_does_a_thread_that_waits_for_it(void **state)
{
	(void)state;
	uint64_t file;
	pthread_t thread;
	struct proto_req req = about(PROTO_DEVICE_REMOVE, 1, "", -1);
	struct client other = join(0);
	assert_int_equal(add(spec), 0);
	assert_int_equal(open_file(&other, "/f", FSDAX_CREATE, &file), 0);
	assert_int_equal(truncate_file(&other, file, 6 * MIB), 0);
	assert_int_equal(ask_path(&me, PROTO_UNLINK, "/f"), 0);
	uint64_t id = begin(&req);
	assert_int_equal(pthread_create(&thread, NULL, wait_in_a_thread, &id), 0);
	while (!all_wait())
		(void)sched_yield();
	leave(&other);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(devices_count(&service->devices), 1);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(it_is_listed_until_it_is_closed),
		T(one_that_comes_is_looked_at_when_the_other_is_closed),
		T(a_removal_that_waits_for_an_open_file_sleeps),
		T(nor_does_a_thread_that_waits_for_it),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
