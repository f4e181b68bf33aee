/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cmd_device.c - `pgmap device`: the devices of the pool, one by one; one more, one less.
 */
#include "commands.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include <pgmap/pgmap.h>
#include "device_list.h"
#include "hold.h"
#include "names.h"
#include "text.h"

static const char *state_name(uint32_t state)
{
	switch (state) {
	case PGMAP_DEVICE_LIVE:
		return "live";
	case PGMAP_DEVICE_LEAVING:
		return "leaving";
	case PGMAP_DEVICE_GONE:
		return "gone";
	default:
		return "unknown";
	}
}

static void print_json(const struct device_list *list)
{
	struct json_object *array = json_object_new_array();
	for (size_t i = 0; i < list->n; i++) {
		const struct pgmap_device *row = &list->rows[i];
		struct json_object *o = json_object_new_object();
		cli_json_u64(o, "number", row->number);
		cli_json_text(o, "device", row->spec);
		cli_json_text(o, "state", state_name(row->state));
		cli_json_u64(o, "page_bytes", UINT64_C(4096) << row->granule_order);
		cli_json_u64(o, "pages", row->pages);
		cli_json_u64(o, "used", row->used);
		cli_json_u64(o, "held", row->held);
		cli_json_u64(o, "bad", row->bad);
		cli_json_text(o, "access", names_of_access(row->access)->json);
		cli_json_text(o, "persistence", names_of_persistence(row->persistence)->json);
		json_object_array_add(array, o);
	}
	cli_print_json(array);
}

static void print_table(const struct device_list *list)
{
	printf("%6s  %-8s %9s %9s %9s %9s %6s  %-11s %-11s %s\n", "NUMBER", "STATE", "PAGE", "SIZE", "USED", "HELD",
	       "BAD", "MAPPED", "PERSISTENCE", "DEVICE");
	for (size_t i = 0; i < list->n; i++) {
		const struct pgmap_device *row = &list->rows[i];
		char page[CLI_TEXT_MAX], size[CLI_TEXT_MAX], used[CLI_TEXT_MAX], held[CLI_TEXT_MAX],
			spec[TEXT_SHOWN_MAX * sizeof(row->spec)];
		printf("%6" PRIu32 "  %-8s %9s %9s %9s %9s %6" PRIu64 "  %-11s %-11s %s\n", row->number,
		       state_name(row->state), cli_bytes(page, UINT64_C(4096) << row->granule_order),
		       cli_bytes(size, row->pages << PGMAP_PAGE_SHIFT), cli_bytes(used, row->used << PGMAP_PAGE_SHIFT),
		       cli_bytes(held, row->held << PGMAP_PAGE_SHIFT), row->bad, names_of_access(row->access)->json,
		       names_of_persistence(row->persistence)->json, text_shown(spec, sizeof(spec), row->spec));
	}
}

enum { DEVICE_JSON, DEVICE_DEADLINE, DEVICE_CANCEL, DEVICE_REVOKE };

static const char *pool_of(const struct cli *cli)
{
	return cli->socket ? cli->socket : "the pool";
}

/* What the server says, or else what the error says. */
static int fail(const struct cli *cli, const char *device, const char *why, int err)
{
	if (err == -ENAMETOOLONG && !*why)
		why = "the spec is too long (127 bytes at most)";
	return cli_fail(cli, "%s: %s", device, *why ? why : cli_why(err));
}

static int run_list(struct cli *cli, struct pgmap_client *client)
{
	struct device_list list;
	int err = device_list_read(client, &list);
	if (!err && cli->option[DEVICE_JSON])
		print_json(&list);
	else if (!err)
		print_table(&list);
	device_list_free(&list);
	return err ? cli_fail(cli, "%s: %s", pool_of(cli), cli_why(err)) : cli_flush(cli);
}

static int run_add(struct cli *cli, struct pgmap_client *client)
{
	char why[PGMAP_WHY_MAX] = "";
	int err = pgmap_device_add(client, cli->argv[1], NULL, why);
	return err ? fail(cli, cli->argv[1], why, err) : CLI_DONE;
}

struct removal {
	struct pgmap_client *client;
	const struct pgmap_device *device;
	char why[PGMAP_WHY_MAX];
};

static int wait_for_removal(void *arg, int64_t timeout_ms)
{
	struct removal *removal = arg;
	return pgmap_device_remove(removal->client, removal->device->number, removal->device->spec, timeout_ms,
				   removal->why);
}

static int remove_device(struct cli *cli, struct removal *removal, int64_t deadline_ns)
{
	const struct pgmap_device *device = removal->device;
	const struct hold hold = {cli, "removing", (int)device->number, wait_for_removal, removal};
	char text[1024], waited[CLI_TEXT_MAX];
	if (device->state == PGMAP_DEVICE_LEAVING && !cli->option[DEVICE_DEADLINE])
		return cli_fail(cli,
				"%s: it is being removed already (wait for that: --deadline SECONDS; call it off: "
				"--cancel)",
				device->spec);
	int err = hold_wait(&hold, deadline_ns);
	if (err == -ETIMEDOUT) {
		hold_whom(&hold, text, sizeof(text));
		return cli_fail(cli,
				"%s: %s; still held after %s (it goes on leaving: wait again with --deadline, or pgmap "
				"device remove --cancel %u)",
				device->spec, text, cli_duration(waited, deadline_ns), device->number);
	}
	if (err == -ECANCELED)
		return cli_fail(cli,
				"%s: the removal was called off, the device stays (somebody said --cancel, or all "
				"others are gone: pgmap device list)",
				device->spec);
	return err ? fail(cli, device->spec, removal->why, err) : CLI_DONE;
}

static int run_remove(struct cli *cli, struct pgmap_client *client)
{
	struct removal removal = {.client = client};
	struct device_list list;
	int64_t deadline_ns = -1000000;
	if (cli->option[DEVICE_DEADLINE])
		(void)cli_parse_seconds(cli->option[DEVICE_DEADLINE],
					&deadline_ns); /* which run_device() has looked at */
	int err = device_list_read(client, &list);
	int code = CLI_FAILED;
	removal.device = err ? NULL : device_list_find(cli, &list, cli->argv[1]);
	if (err) {
		cli_fail(cli, "%s: %s", pool_of(cli), cli_why(err));
	} else if (removal.device && cli->option[DEVICE_REVOKE]) {
		cli_fail(cli,
			 "%s: holders cannot be made to give their pages up yet (end them: pgmap who --device %u says "
			 "who they are)",
			 removal.device->spec, removal.device->number);
	} else if (removal.device && cli->option[DEVICE_CANCEL]) {
		err = pgmap_device_cancel(client, removal.device->number, removal.device->spec, removal.why);
		code = err ? fail(cli, removal.device->spec, removal.why, err) : CLI_DONE;
	} else if (removal.device) {
		code = remove_device(cli, &removal, deadline_ns);
	}
	device_list_free(&list);
	return code;
}

static const struct {
	const char *name;
	int args; /* the name included */
	bool waits;
	int (*run)(struct cli *cli, struct pgmap_client *client);
} actions[] = {{"list", 1, false, run_list}, {"add", 2, false, run_add}, {"remove", 2, true, run_remove}};

static int run_device(struct cli *cli)
{
	size_t i = 0;
	while (i < sizeof(actions) / sizeof(actions[0]) && strcmp(actions[i].name, cli->argv[0]) != 0)
		i++;
	if (i == sizeof(actions) / sizeof(actions[0]))
		return cli_usage(cli, "%s: what is to be done: list, add or remove", cli->argv[0]);
	if (cli->argc != actions[i].args)
		return cli_usage(cli, "%s: %s", cli->argv[cli->argc - 1],
				 cli->argc < actions[i].args ? "which device?" : "one argument too many");
	if ((cli->option[DEVICE_DEADLINE] || cli->option[DEVICE_CANCEL] || cli->option[DEVICE_REVOKE]) &&
	    !actions[i].waits)
		return cli_usage(cli, "%s: --deadline, --cancel and --revoke are of remove", cli->argv[0]);
	if (cli->option[DEVICE_JSON] && strcmp(actions[i].name, "list") != 0)
		return cli_usage(cli, "%s: --json is of list", cli->argv[0]);
	if (cli->option[DEVICE_DEADLINE] && cli->option[DEVICE_CANCEL])
		return cli_usage(cli, "%s: --cancel waits for nothing, so it takes no --deadline", cli->argv[0]);
	int64_t ns;
	if (cli->option[DEVICE_DEADLINE] && cli_parse_seconds(cli->option[DEVICE_DEADLINE], &ns))
		return cli_usage(cli, "%s: no number of seconds", cli->option[DEVICE_DEADLINE]);
	struct pgmap_client *client = cli_connect(cli);
	if (!client)
		return CLI_FAILED;
	int code = actions[i].run(cli, client);
	pgmap_disconnect(client);
	return code;
}

static const struct cli_option device_options[] = {
	{'j', "json", NULL, "list: as JSON, an array"},
	{0, "deadline", "SECONDS", "remove: fail if pages are still held then; the device goes on leaving"},
	{0, "cancel", NULL, "remove: call a removal off, the device stays"},
	{0, "revoke", NULL, "remove: make holders give their pages up (not yet: it is refused)"},
	{0, NULL, NULL, NULL},
};

const struct cli_command cmd_device = {
	.name = "device",
	.synopsis = "list [-j] | add SPEC | remove NAME [--deadline SECONDS | --cancel]",
	.summary = "the devices of the pool: which there are, one more, one less",
	.text = "list: one line for each: its number; whether it is live, leaving (it is being removed) or gone (the "
		"system has taken it away); the smallest page that can be mapped of it; its size; how much of that "
		"files have; how much somebody holds; how many pages of 4 KiB are known to be bad; how it is mapped, "
		"and what has to be flushed, as pgmap info has it.\n"
		"add: the device of this spec (see pgmap serve --help) becomes a part of the pool, at once and for all "
		"who use it. What it held is dropped.\n"
		"remove: nothing new is put on the device, and the command waits until the last page there is let go; "
		"on a terminal it says for whom. NAME is the device's number, its spec as list says it, or a part of "
		"that which no "
		"other device has. Files must have no pages there: data is not moved off a device yet. Without a "
		"deadline it waits for ever; at the deadline it fails and names the holders, and the device goes on "
		"leaving. One that is leaving already is waited for if --deadline is given. A pool keeps its last "
		"device: when the others go while this one leaves, it stays. A striped pool keeps all of them.",
	.options = device_options,
	.args = CLI_ARGS_NONE,
	.min_args = 1,
	.max_args = 2,
	.run = run_device,
};
