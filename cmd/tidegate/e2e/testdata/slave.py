"""A Modbus slave on pymodbus whose registers change each second.

usage: slave.py tcp PORT | rtu TTY

Unit 1, input and holding registers. Each second, in one step: input 0 (uint16) and input 2-3 (uint32, high word first) become the
next count; input 4-5 (float32) becomes count / 4. Each step is printed before it can be read: "count N". Holding 0 to 9 may be
written; each write is printed: "write ADDRESS VALUES".
"""
import asyncio
import struct
import sys

from pymodbus.datastore import ModbusSequentialDataBlock, ModbusServerContext, ModbusSlaveContext
from pymodbus.server import StartAsyncSerialServer, StartAsyncTcpServer
from pymodbus.transaction import ModbusRtuFramer


class Holding(ModbusSequentialDataBlock):
    def setValues(self, address, values):
        print("write", address, list(values), flush=True)
        super().setValues(address, values)


def registers(count):
    words = [count & 0xFFFF, 0]
    words += struct.unpack(">HH", struct.pack(">I", 100000 + count))
    words += struct.unpack(">HH", struct.pack(">f", count / 4))
    return words


async def count_up(inputs):
    count = 0
    while True:
        count += 1
        print("count", count, flush=True)
        inputs.setValues(0, registers(count))
        await asyncio.sleep(1)


async def main():
    inputs = ModbusSequentialDataBlock(0, registers(0) + [0] * 10)
    unit = ModbusSlaveContext(ir=inputs, hr=Holding(0, [0] * 10), zero_mode=True)
    context = ModbusServerContext(slaves={1: unit}, single=False)
    ticker = asyncio.create_task(count_up(inputs))
    if sys.argv[1] == "tcp":
        server = StartAsyncTcpServer(context, address=("127.0.0.1", int(sys.argv[2])))
    else:
        server = StartAsyncSerialServer(context, framer=ModbusRtuFramer, port=sys.argv[2], baudrate=19200, parity="N")
    await asyncio.gather(ticker, server)


asyncio.run(main())
