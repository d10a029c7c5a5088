/*
 * Asks the Modbus server of a gateway with libmodbus and prints the answers, one a line.
 *
 * usage: modbus_master HOST PORT
 */
#include <errno.h>
#include <modbus.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Prints what came of a request, and the registers that it brought. */
static void show(const char *name, int result, const uint16_t *registers)
{
	printf("%s", name);
	if (result < 0)
		printf(" %s", modbus_strerror(errno));
	for (int i = 0; registers != NULL && i < result; i++)
		printf(" %04X", registers[i]);
	printf(result >= 0 && registers == NULL ? " done\n" : "\n");
}

int main(int argc, char **argv)
{
	uint16_t r[4];
	uint8_t bit;
	uint16_t next = 3000;
	modbus_t *m = argc == 3 ? modbus_new_tcp(argv[1], atoi(argv[2])) : NULL;

	if (m == NULL || modbus_connect(m) != 0) {
		fprintf(stderr, "modbus_master HOST PORT: %s\n", modbus_strerror(errno));
		return 1;
	}
	modbus_set_slave(m, 1);
	modbus_set_response_timeout(m, 10, 0);
	show("power", modbus_read_input_registers(m, 0, 1, r), r);
	if (modbus_read_registers(m, 0, 2, r) == 2)
		printf("setpoint %g\n", modbus_get_float_cdab(r));
	memcpy(r, (uint16_t[]){0x0000, 0x4279}, 4); /* 62.25 */
	show("write setpoint", modbus_write_registers(m, 0, 2, r), NULL);
	show("scaled", modbus_read_registers(m, 10, 2, r), r);
	show("half a value", modbus_read_registers(m, 1, 1, r), r);
	show("above max", modbus_write_register(m, 10, 9001), NULL);
	show("write mode", modbus_write_register(m, 11, 1), NULL);
	show("mask", modbus_mask_write_register(m, 12, 0xFFFE, 0), NULL);
	modbus_read_bits(m, 7, 1, &bit);
	printf("pump %d\n", bit);
	show("write coil", modbus_write_bit(m, 7, 1), NULL);
	show("write coils", modbus_write_bits(m, 7, 1, &(uint8_t){1}), NULL);
	show("write and read", modbus_write_and_read_registers(m, 10, 1, &next, 11, 2, r), r);
	show("hole", modbus_read_registers(m, 11, 3, r), r);
	modbus_close(m);
	modbus_free(m);
	return 0;
}
