"""A Modbus server or slave made of pymodbus, for the tests of drivers/modbus.

usage: pymodbus_server.py tcp|udp|rtu-over-tcp|ascii-over-tcp HOST PORT | tls HOST PORT CERTIFICATE KEY | rtu|ascii DEVICE BAUD

Units 1 and 2 have 100 cells in each table: holding register n holds n, input register n 10*n, coil n is on when n is a multiple
of 3, discrete input n when n is odd. Whatever lies beyond is answered with exception 2. It tells its identification.
"""
import ssl
import sys

from pymodbus.datastore import ModbusSequentialDataBlock, ModbusServerContext, ModbusSlaveContext
from pymodbus.device import ModbusDeviceIdentification
from pymodbus.server import StartSerialServer, StartTcpServer, StartTlsServer, StartUdpServer
from pymodbus.transaction import ModbusAsciiFramer, ModbusRtuFramer, ModbusSocketFramer

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
    identity = ModbusDeviceIdentification(info={0: "Tidegate", 1: "PEER", 2: "1.2.3", 3: "example.org", 4: "Peer", 5: "Model", 6: "Tests"})
    kind, where, number = sys.argv[1], sys.argv[2], int(sys.argv[3])
    common = {"context": context, "identity": identity}
    if kind == "tcp":
        StartTcpServer(address=(where, number), **common)
    elif kind == "udp":
        StartUdpServer(address=(where, number), **common)
    elif kind == "rtu-over-tcp":
        StartTcpServer(framer=ModbusRtuFramer, address=(where, number), ignore_missing_slaves=True, **common)
    elif kind == "ascii-over-tcp":
        StartTcpServer(framer=ModbusAsciiFramer, address=(where, number), ignore_missing_slaves=True, **common)
    elif kind == "tls":
        # The framer of pymodbus for TLS leaves the header out, which Modbus/TCP Security does not.
        context_tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context_tls.load_cert_chain(sys.argv[4], sys.argv[5])
        StartTlsServer(framer=ModbusSocketFramer, address=(where, number), sslctx=context_tls, **common)
    else:
        framer = ModbusAsciiFramer if kind == "ascii" else ModbusRtuFramer
        StartSerialServer(framer=framer, port=where, baudrate=number, timeout=0.005, ignore_missing_slaves=True, **common)


main()
