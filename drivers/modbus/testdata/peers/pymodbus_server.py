"""A Modbus server or RTU slave made of pymodbus, for the tests of drivers/modbus.

usage: pymodbus_server.py tcp HOST PORT | rtu DEVICE BAUD

Units 1 and 2 have 100 cells in each table: holding register n holds n, input register n 10*n, coil n is on when n is a multiple
of 3, discrete input n when n is odd. Whatever lies beyond is answered with exception 2.
"""
import sys

from pymodbus.datastore import ModbusSequentialDataBlock, ModbusServerContext, ModbusSlaveContext
from pymodbus.server import StartSerialServer, StartTcpServer
from pymodbus.transaction import ModbusRtuFramer

CELLS = range(100)


def unit():
    return ModbusSlaveContext(
        di=ModbusSequentialDataBlock(0, [n % 2 == 1 for n in CELLS]),
        co=ModbusSequentialDataBlock(0, [n % 3 == 0 for n in CELLS]),
        hr=ModbusSequentialDataBlock(0, list(CELLS)),
        ir=ModbusSequentialDataBlock(0, [10 * n for n in CELLS]),
        zero_mode=True,
    )


def main():
    context = ModbusServerContext(slaves={1: unit(), 2: unit()}, single=False)
    kind, where, number = sys.argv[1], sys.argv[2], int(sys.argv[3])
    if kind == "tcp":
        StartTcpServer(context=context, address=(where, number))
    else:
        StartSerialServer(context=context, framer=ModbusRtuFramer, port=where, baudrate=number, timeout=0.005, ignore_missing_slaves=True)


main()
