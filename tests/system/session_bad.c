/* SPDX-License-Identifier: BSD-3-Clause */
/* session_bad.c - clients that do not behave: what comes from them hurts nobody else, and costs a descriptor. */
#include "sys.h"

#include "core/pinword.h"

static struct sys_server server;
static struct pgmap_client *other;

static int setup(void **state)
{
	(void)state;
	other = sys_begin(&server);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	sys_end(&server, other);
	return 0;
}

/* Others progress. */
static void assert_serves(void)
{
	struct pgmap_mapping *mapping = sys_map(other, "/other", MIB);
	assert_int_equal(pgmap_unmap(mapping), 0);
	assert_int_equal(pgmap_unlink(other, "/other"), 0);
	assert_int_equal(sys_info(other).live_pages, 0);
}

static int dial(void)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	(void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", server.path);
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	return fd;
}

static struct proto_req request(enum proto_type type)
{
	return (struct proto_req){.magic = PROTO_MAGIC, .version = PROTO_VERSION, .type = (uint16_t)type, .seq = 7};
}

/* The next reply; false: the connection has ended. */
static bool next_reply(int fd, struct proto_rep *rep)
{
	ssize_t n = recv(fd, rep, sizeof(*rep), 0);
	if (n <= 0)
		return false;
	assert_int_equal(n, sizeof(*rep));
	assert_int_equal(rep->magic, PROTO_MAGIC);
	assert_int_equal(rep->version, PROTO_VERSION);
	return true;
}

static int ask(int fd, const struct proto_req *req)
{
	struct proto_rep rep;
	assert_int_equal(send(fd, req, sizeof(*req), MSG_NOSIGNAL), sizeof(*req));
	assert_true(next_reply(fd, &rep));
	assert_int_equal(rep.seq, req->seq);
	assert_int_equal(rep.type, req->type);
	return rep.error;
}

/* Told -EPROTO, then closed. */
static void assert_told_and_closed(int fd)
{
	struct proto_rep rep;
	assert_true(next_reply(fd, &rep));
	assert_int_equal(rep.error, -EPROTO);
	assert_false(next_reply(fd, &rep));
	assert_int_equal(close(fd), 0);
	assert_serves();
}

static int greeted(void)
{
	struct proto_req hello = request(PROTO_HELLO);
	int fd = dial();
	assert_int_equal(ask(fd, &hello), 0);
	return fd;
}

static void garbage_ends_its_connection(void **state)
{
	(void)state;
	unsigned char garbage[sizeof(struct proto_req)];
	for (size_t len = 1; len <= sizeof(garbage); len = len < 64 ? len + 7 : len * 2) {
		int fd = dial();
		for (size_t i = 0; i < len; i++)
			garbage[i] = (unsigned char)(i * 31 + len);
		assert_int_equal(send(fd, garbage, len, 0), len);
		assert_told_and_closed(fd);
	}
}

static void a_short_or_long_message_ends_its_connection(void **state)
{
	(void)state;
	char big[2 * sizeof(struct proto_req)] = {0};
	struct proto_req hello = request(PROTO_HELLO);
	const size_t lengths[] = {4, PROTO_HEADER_BYTES, 64, sizeof(hello) - 1, sizeof(hello) + 1, sizeof(big)};
	memcpy(big, &hello, sizeof(hello));
	for (unsigned i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		int fd = dial();
		assert_int_equal(send(fd, big, lengths[i], 0), lengths[i]);
		assert_told_and_closed(fd);
	}
}

static void another_version_is_told_so(void **state)
{
	(void)state;
	struct proto_req hello = request(PROTO_HELLO);
	hello.version = PROTO_VERSION + 1;
	int fd = dial();
	assert_int_equal(send(fd, &hello, sizeof(hello), 0), sizeof(hello));
	assert_told_and_closed(fd);
}

static void the_first_message_is_hello_and_only_the_first(void **state)
{
	(void)state;
	struct proto_req req = request(PROTO_INFO);
	int fd = dial();
	assert_int_equal(send(fd, &req, sizeof(req), 0), sizeof(req));
	assert_told_and_closed(fd);
	fd = greeted();
	req = request(PROTO_HELLO);
	assert_int_equal(send(fd, &req, sizeof(req), 0), sizeof(req));
	assert_told_and_closed(fd);
}

static void descriptors_that_come_unasked_are_not_kept(void **state)
{
	(void)state;
	struct proto_req hello = request(PROTO_HELLO);
	int pipe_fds[2], fd = dial();
	char byte;
	assert_int_equal(pipe(pipe_fds), 0);
	ssize_t sent = sys_send_fd(fd, &hello, sizeof(hello), pipe_fds[1]);
	int err = errno;
	assert_int_equal(close(pipe_fds[1]), 0);
	if (sent < 0) { /* the kernel knows that the server takes none */
		assert_int_equal(err, EPERM);
		assert_int_equal(ask(fd, &hello), 0);
		assert_int_equal(close(fd), 0);
		assert_serves();
	} else {
		assert_int_equal(sent, sizeof(hello));
		assert_told_and_closed(fd);
	}
	assert_int_equal(read(pipe_fds[0], &byte, 1), 0); /* the server has no end of it */
	assert_int_equal(close(pipe_fds[0]), 0);
}

static void well_formed_nonsense_gets_an_error_and_no_more(void **state)
{
	(void)state;
	int fd = greeted();
	struct proto_req req = request(PROTO_NTYPES);
	assert_int_equal(ask(fd, &req), -EOPNOTSUPP);
	req = request(PROTO_INFO);
	req.flags = 1;
	assert_int_equal(ask(fd, &req), -EINVAL);
	req = request(PROTO_INFO);
	req.reserved[2] = 1;
	assert_int_equal(ask(fd, &req), -EINVAL);
	req = request(PROTO_STAT);
	memset(req.path, 'a', sizeof(req.path));
	assert_int_equal(ask(fd, &req), -ENAMETOOLONG);
	req = request(PROTO_RENAME);
	memset(req.path2, 'a', sizeof(req.path2));
	assert_int_equal(ask(fd, &req), -ENAMETOOLONG);
	static const enum proto_type by_handle[] = {PROTO_CLOSE, PROTO_FSTAT, PROTO_TRUNCATE, PROTO_UNMAP};
	static const uint64_t handles[] = {0, 1, 2, 16, 17, UINT32_MAX, UINT64_MAX};
	for (unsigned t = 0; t < 4; t++) {
		for (unsigned h = 0; h < 7; h++) {
			req = request(by_handle[t]);
			req.handle = handles[h];
			assert_int_equal(ask(fd, &req), -EBADF);
		}
	}
	req = request(PROTO_MAP);
	req.prot = 7;
	assert_int_equal(ask(fd, &req), -EINVAL);
	assert_int_equal(close(fd), 0);
	assert_serves();
}

/* A path ends with its NUL, whatever stands behind it; and one that begins with it is none. */
static void what_follows_a_nul_is_no_part_of_a_name(void **state)
{
	(void)state;
	static const char odd[] = "/a\0/../b\0\xff";
	int fd = greeted();
	struct pgmap_stat st;
	struct proto_req mkdir = request(PROTO_MKDIR), move = request(PROTO_RENAME), empty = request(PROTO_UNLINK);
	memset(mkdir.path, 'x', sizeof(mkdir.path));
	memcpy(mkdir.path, odd, sizeof(odd));
	assert_int_equal(ask(fd, &mkdir), 0);
	assert_int_equal(pgmap_stat(other, "/a", &st), 0);
	memcpy(move.path, odd, sizeof(odd));
	memset(move.path2, 'x', sizeof(move.path2));
	memcpy(move.path2, "/c\0/d", 6);
	assert_int_equal(ask(fd, &move), 0);
	assert_int_equal(pgmap_rmdir(other, "/c"), 0);
	memcpy(empty.path, "\0/c", 3);
	assert_int_equal(ask(fd, &empty), -EINVAL);
	assert_int_equal(sys_info(other).files + sys_info(other).dirs, 1);
	assert_int_equal(close(fd), 0);
	assert_serves();
}

/* A handle is a number of its session's: another's means nothing there. */
static void c7_6_anothers_handle_is_nobodys(void **state)
{
	(void)state;
	struct pgmap_mapping *mapping = sys_map(other, "/mine", MIB);
	int fd = greeted();
	struct proto_req req = request(PROTO_UNMAP);
	for (req.handle = 0; req.handle < 64; req.handle++)
		assert_int_equal(ask(fd, &req), -EBADF);
	assert_int_equal(sys_info(other).live_pages, 256);
	assert_int_equal(close(fd), 0);
	assert_int_equal(pgmap_unmap(mapping), 0);
	assert_int_equal(pgmap_unlink(other, "/mine"), 0);
}

static void a_connection_that_holds_nothing_cannot_map(void **state)
{
	(void)state;
	struct proto_req req = request(PROTO_HELLO);
	int fd = dial();
	req.flags = PROTO_HELLO_CONTROL;
	assert_int_equal(ask(fd, &req), 0);
	req = request(PROTO_OPEN);
	strcpy(req.path, "/x");
	req.flags = 1;
	assert_int_equal(ask(fd, &req), -EPERM);
	req = request(PROTO_INFO);
	assert_int_equal(ask(fd, &req), 0);
	assert_int_equal(sys_info(other).connections, 1);
	assert_int_equal(close(fd), 0);
}

static unsigned descriptors_of_server(void)
{
	char path[64];
	unsigned n = 0;
	for (int fd = 0; fd < 4096; fd++) {
		struct stat st;
		(void)snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)server.pid, fd);
		n += lstat(path, &st) == 0;
	}
	return n;
}

static void the_silent_cost_a_descriptor_each(void **state)
{
	(void)state;
	enum { SILENT = 200 };
	int fds[SILENT];
	assert_serves(); /* whoever left before has been noticed */
	unsigned before = descriptors_of_server();
	for (unsigned i = 0; i < SILENT; i++)
		fds[i] = dial();
	assert_serves();
	while (descriptors_of_server() < before + SILENT)
		assert_serves(); /* they are taken one a round */
	assert_int_equal(descriptors_of_server(), before + SILENT);
	assert_int_equal(sys_info(other).connections, 1);
	for (unsigned i = 0; i < SILENT; i++)
		assert_int_equal(close(fds[i]), 0);
	while (descriptors_of_server() > before)
		assert_serves();
}

/*
 * Whoever sends more than he waits for has one message of it served before others have their turn. While the server stands
 * still, one client makes 16 directories, and then another looks: it sees the first of them, as it would have to wait else.
 */
static void one_message_of_each_is_served_in_a_round(void **state)
{
	(void)state;
	enum { AHEAD = 16 };
	int many = greeted(), one = greeted(), status;
	struct proto_req make = request(PROTO_MKDIR), look = request(PROTO_INFO);
	struct proto_rep rep;
	assert_serves();
	assert_int_equal(kill(server.pid, SIGSTOP), 0);
	assert_int_equal(waitpid(server.pid, &status, WUNTRACED), server.pid);
	for (unsigned i = 0; i < AHEAD; i++) {
		(void)snprintf(make.path, sizeof(make.path), "/ahead-%u", i);
		assert_int_equal(send(many, &make, sizeof(make), MSG_DONTWAIT), sizeof(make));
	}
	assert_int_equal(send(one, &look, sizeof(look), MSG_DONTWAIT), sizeof(look));
	assert_int_equal(kill(server.pid, SIGCONT), 0);
	assert_true(next_reply(one, &rep));
	assert_true(rep.u.info.dirs <= 1 + 2); /* the root; and a second one, were its turn to come first */
	for (unsigned i = 0; i < AHEAD; i++) {
		char path[32];
		assert_true(next_reply(many, &rep));
		assert_int_equal(rep.error, 0);
		(void)snprintf(path, sizeof(path), "/ahead-%u", i);
		assert_int_equal(pgmap_rmdir(other, path), 0);
	}
	assert_int_equal(close(many) | close(one), 0);
	assert_serves();
}

/* Sends and sends, and never reads: it is dropped when its replies do not fit, and others never notice. */
static void one_that_stops_reading_is_dropped(void **state)
{
	(void)state;
	struct proto_req req = request(PROTO_INFO);
	int fd = greeted();
	struct pollfd poll_fd = {.fd = fd, .events = POLLOUT};
	ssize_t n = 0;
	for (unsigned i = 0; n >= 0; i++) {
		n = send(fd, &req, sizeof(req), MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && errno == EAGAIN) {
			assert_serves();
			assert_true(poll(&poll_fd, 1, -1) >= 0);
			n = 0;
		}
	}
	assert_true(errno == EPIPE || errno == ECONNRESET);
	assert_int_equal(close(fd), 0);
	assert_serves();
	while (sys_info(other).connections != 1)
		(void)sched_yield();
}

struct raw {
	int fd, lease, event;
	uint64_t words_bytes;
	_Atomic uint64_t *words;
};

static struct raw raw_hello(void)
{
	struct proto_req req = request(PROTO_HELLO);
	struct proto_rep rep;
	struct raw raw = {.fd = dial()};
	int fds[1 + PROTO_HELLO_FDS];
	assert_int_equal(send(raw.fd, &req, sizeof(req), 0), sizeof(req));
	sys_receive_fds(raw.fd, &rep, sizeof(rep), fds, 1 + PROTO_HELLO_FDS);
	raw.words_bytes = rep.u.hello.words * 8;
	raw.words = mmap(NULL, raw.words_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fds[1], 0);
	assert_ptr_not_equal(raw.words, MAP_FAILED);
	assert_int_equal(ftruncate(fds[1], 0), -1); /* its size is sealed */
	assert_int_equal(ftruncate(fds[1], (off_t)raw.words_bytes * 2), -1);
	assert_int_equal(close(fds[1]), 0);
	raw.lease = fds[0];
	raw.event = fds[2];
	return raw;
}

static void raw_close(struct raw *raw)
{
	(void)munmap((void *)raw->words, raw->words_bytes);
	(void)close(raw->lease);
	(void)close(raw->event);
	(void)close(raw->fd);
}

/* c7.6: it can lie about its own pins, and delay its own unmap; nothing else. */
static void c7_6_scribbling_over_the_pin_segment_hurts_only_itself(void **state)
{
	(void)state;
	struct raw raw = raw_hello();
	struct proto_req map = request(PROTO_OPEN_MAP), unmap = request(PROTO_UNMAP), whole = request(PROTO_WHO);
	strcpy(map.path, "/scribble");
	map.flags = 1;
	map.len_bytes = MIB;
	map.prot = 3;
	assert_int_equal(ask(raw.fd, &map), 0);
	for (uint64_t i = 0; i < 4096; i++)
		raw.words[i] = UINT64_MAX;
	assert_int_equal(write(raw.event, &(uint64_t){UINT64_MAX - 1}, 8), 8);
	(void)fcntl(raw.event, F_SETFL, 0); /* blocking, and full: no server may wait on it */
	unmap.handle = 1;
	assert_int_equal(ask(raw.fd, &unmap), -EBUSY);
	assert_int_equal(ask(raw.fd, &whole), 0);
	assert_int_equal(sys_info(other).live_pages, 256);
	assert_int_equal(pgmap_drain_pool(other, 0), -ETIMEDOUT);
	for (uint64_t i = 0; i < 4096; i++)
		raw.words[i] = UINT64_C(0xf123456789abcdef) * i;
	assert_int_equal(pgmap_drain_cancel(other), 0);
	assert_int_equal(sys_who(other, "/scribble", 0).rows, 1);
	for (uint64_t i = 0; i < 4096; i++)
		raw.words[i] = 0;
	assert_int_equal(ask(raw.fd, &unmap), 0);
	assert_int_equal(sys_info(other).live_pages, 0);
	raw_close(&raw);
	assert_int_equal(pgmap_unlink(other, "/scribble"), 0);
	assert_serves();
}

/* A request that nobody waits for, and one in the middle of a drain. */
static void a_drain_whose_client_goes_is_forgotten(void **state)
{
	(void)state;
	struct pgmap_mapping *mapping = sys_map(other, "/f", MIB);
	struct proto_req req = request(PROTO_DRAIN);
	int fd = greeted();
	req.timeout_ms = -1;
	assert_int_equal(send(fd, &req, sizeof(req), 0), sizeof(req));
	while (sys_info(other).state != PGMAP_DYING)
		(void)sched_yield();
	assert_int_equal(close(fd), 0);
	assert_int_equal(sys_info(other).state, PGMAP_DYING);
	fd = greeted();
	assert_int_equal(send(fd, &req, sizeof(req), 0), sizeof(req));
	assert_int_equal(send(fd, &req, sizeof(req), 0), sizeof(req));
	struct proto_rep rep;
	assert_true(next_reply(fd, &rep));
	assert_int_equal(rep.error, -EPROTO);
	assert_int_equal(close(fd), 0);
	assert_int_equal(pgmap_drain_cancel(other), 0);
	assert_int_equal(pgmap_unmap(mapping), 0);
	assert_int_equal(pgmap_unlink(other, "/f"), 0);
	assert_serves();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(garbage_ends_its_connection),
		cmocka_unit_test(a_short_or_long_message_ends_its_connection),
		cmocka_unit_test(another_version_is_told_so),
		cmocka_unit_test(the_first_message_is_hello_and_only_the_first),
		cmocka_unit_test(descriptors_that_come_unasked_are_not_kept),
		cmocka_unit_test(well_formed_nonsense_gets_an_error_and_no_more),
		cmocka_unit_test(what_follows_a_nul_is_no_part_of_a_name),
		cmocka_unit_test(c7_6_anothers_handle_is_nobodys),
		cmocka_unit_test(a_connection_that_holds_nothing_cannot_map),
		cmocka_unit_test(the_silent_cost_a_descriptor_each),
		cmocka_unit_test(one_message_of_each_is_served_in_a_round),
		cmocka_unit_test(one_that_stops_reading_is_dropped),
		cmocka_unit_test(c7_6_scribbling_over_the_pin_segment_hurts_only_itself),
		cmocka_unit_test(a_drain_whose_client_goes_is_forgotten),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
