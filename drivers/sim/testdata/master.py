"""Asks a slave one of everything with pymodbus and prints the answers, one a line.

usage: master.py tcp HOST PORT UNIT | master.py rtu DEVICE BAUD UNIT
"""

import inspect
import sys

from pymodbus.client import ModbusSerialClient, ModbusTcpClient


def connect(transport, where, number):
    if transport == "tcp":
        return ModbusTcpClient(where, port=int(number), timeout=5)
    # A pty refuses parity, and pyserial takes that for an error.
    return ModbusSerialClient(where, baudrate=int(number), parity="N", timeout=5)


def with_unit(call, unit, **arguments):
    """Calls a method that takes the unit id as slave or, in 3.0, as unit."""
    name = "slave" if "slave" in inspect.signature(call).parameters else "unit"
    return call(**{name: unit}, **arguments)


def show(name, answer):
    if answer.isError():
        code = getattr(answer, "exception_code", None)
        print(name, "exception", code if code is not None else answer)
    elif hasattr(answer, "bits"):
        print(name, "".join("1" if b else "0" for b in answer.bits))
    elif hasattr(answer, "registers"):
        print(name, *("%04X" % r for r in answer.registers))
    else:
        print(name, "done")


def main(transport, where, number, unit):
    client = connect(transport, where, number)
    if not client.connect():
        sys.exit("cannot connect to %s" % where)
    slave = {"slave": int(unit)}
    show("coils", client.read_coils(0, 10, **slave))
    show("discrete", client.read_discrete_inputs(0, 10, **slave))
    show("holding", client.read_holding_registers(0, 5, **slave))
    show("input", client.read_input_registers(0, 3, **slave))
    show("write coil", client.write_coil(1, True, **slave))
    show("write register", client.write_register(0, 0xCAFE, **slave))
    show("write coils", client.write_coils(2, [False, False, True], **slave))
    show("write registers", client.write_registers(6, [1, 2, 3], **slave))
    show("mask", with_unit(client.mask_write_register, int(unit), address=3, and_mask=0x00F2, or_mask=0x0025))
    show("read and write", with_unit(
        client.readwrite_registers, int(unit), read_address=2, read_count=3, write_address=4, write_registers=[0xBEEF]))
    show("coils", client.read_coils(0, 10, **slave))
    show("holding", client.read_holding_registers(0, 5, **slave))
    show("holding behind the hole", client.read_holding_registers(6, 4, **slave))
    show("hole", client.read_holding_registers(4, 3, **slave))
    show("value refused", client.write_register(9, 1000, **slave))
    client.close()


main(*sys.argv[1:])
