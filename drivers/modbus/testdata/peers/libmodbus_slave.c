/*
 * A Modbus server or RTU slave made of libmodbus, for the tests of drivers/modbus.
 *
 * usage: libmodbus_slave tcp HOST PORT | rtu DEVICE BAUD [UNIT CELLS]
 *
 * Unit 1 has 100 cells in each table, or UNIT has CELLS: holding register n holds n, input register n 10*n, coil n is
 * on when n is a multiple of 3, discrete input n when n is odd. Whatever lies beyond is answered with exception 2.
 */
#include <errno.h>
#include <modbus.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static modbus_mapping_t *cells(int count)
{
	modbus_mapping_t *m = modbus_mapping_new(count, count, count, count);
	for (int n = 0; m != NULL && n < count; n++) {
		m->tab_registers[n] = n;
		m->tab_input_registers[n] = 10 * n;
		m->tab_bits[n] = n % 3 == 0;
		m->tab_input_bits[n] = n % 2 == 1;
	}
	return m;
}

/* Answers requests until the master hangs up, or for ever on a line. */
static void serve(modbus_t *ctx, modbus_mapping_t *m, int line)
{
	uint8_t query[MODBUS_TCP_MAX_ADU_LENGTH];
	for (;;) {
		int n = modbus_receive(ctx, query);
		if (n > 0)
			modbus_reply(ctx, query, n, m);
		else if (n < 0 && !line)
			return;
		else if (n < 0)
			modbus_flush(ctx);
	}
}

static int fail(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, modbus_strerror(errno));
	return 1;
}

int main(int argc, char **argv)
{
	int line = argc > 1 && strcmp(argv[1], "rtu") == 0;
	if (argc != 4 && (argc != 6 || !line)) {
		fprintf(stderr, "usage: libmodbus_slave tcp HOST PORT | rtu DEVICE BAUD [UNIT CELLS]\n");
		return 2;
	}
	int unit = argc == 6 ? atoi(argv[4]) : 1;
	modbus_t *ctx = line ? modbus_new_rtu(argv[2], atoi(argv[3]), 'N', 8, 1) : modbus_new_tcp(argv[2], atoi(argv[3]));
	modbus_mapping_t *m = cells(argc == 6 ? atoi(argv[5]) : 100);
	if (ctx == NULL || m == NULL || (line && modbus_set_slave(ctx, unit) != 0))
		return fail("start");
	if (line) {
		if (modbus_connect(ctx) != 0)
			return fail("open");
		serve(ctx, m, 1);
	}
	int listener = modbus_tcp_listen(ctx, 1);
	if (listener < 0)
		return fail("listen");
	for (;;) {
		if (modbus_tcp_accept(ctx, &listener) < 0)
			return fail("accept");
		serve(ctx, m, 0);
		modbus_close(ctx);
	}
}
