"""Asks the Modbus server of a gateway with pymodbus and prints the answers, one a line.

usage: modbus_master.py HOST PORT
"""

import inspect
import struct
import sys

from pymodbus.client import ModbusTcpClient
from pymodbus.mei_message import ReadDeviceInformationRequest


def with_unit(call, **arguments):
    """Calls a method that takes the unit id as slave or, in 3.0, as unit."""
    name = "slave" if "slave" in inspect.signature(call).parameters else "unit"
    return call(**{name: 1}, **arguments)


def show(name, answer):
    if answer.isError():
        print(name, "exception", getattr(answer, "exception_code", answer))
    elif hasattr(answer, "bits"):
        print(name, int(answer.bits[0]))
    elif hasattr(answer, "registers"):
        print(name, *("%04X" % r for r in answer.registers))
    else:
        print(name, "done")


def main(host, port):
    client = ModbusTcpClient(host, port=int(port), timeout=10)
    if not client.connect():
        sys.exit("cannot connect to %s:%s" % (host, port))
    show("power", client.read_input_registers(0, 1, slave=1))
    low, high = client.read_holding_registers(0, 2, slave=1).registers
    print("setpoint %g" % struct.unpack(">f", struct.pack(">HH", high, low)))
    high, low = struct.unpack(">HH", struct.pack(">f", 62.25))
    show("write setpoint", client.write_registers(0, [low, high], slave=1))
    show("scaled", client.read_holding_registers(10, 2, slave=1))
    show("half a value", client.read_holding_registers(1, 1, slave=1))
    show("above max", client.write_register(10, 9001, slave=1))
    show("write mode", client.write_register(11, 1, slave=1))
    show("mask", with_unit(client.mask_write_register, address=12, and_mask=0xFFFE, or_mask=0))
    show("pump", client.read_coils(7, 1, slave=1))
    show("write coil", client.write_coil(7, True, slave=1))
    show("write coils", client.write_coils(7, [True], slave=1))
    show("write and read", with_unit(
        client.readwrite_registers, read_address=11, read_count=2, write_address=10, write_registers=[3000]))
    show("hole", client.read_holding_registers(11, 3, slave=1))
    about = client.execute(ReadDeviceInformationRequest(read_code=2, unit=1)).information
    print("identity", *(about[n].decode() for n in sorted(about)))
    client.close()


main(*sys.argv[1:])
