// A Modbus server or RTU slave made of modbus-serial, for the tests of drivers/modbus.
//
// usage: node slave.js tcp HOST PORT | rtu DEVICE BAUD
//
// Unit 1 has 100 cells in each table: holding register n holds n, input register n 10*n, coil n is on when n is a multiple of 3,
// discrete input n when n is odd. Whatever lies beyond is answered with exception 2.
"use strict";

const { ServerTCP, ServerSerial } = require("modbus-serial");

const CELLS = 100;
const UNIT = 1;

const table = (value) => Array.from({ length: CELLS }, (_, n) => value(n));
const holding = table((n) => n);
const input = table((n) => 10 * n);
const coils = table((n) => n % 3 === 0);
const discrete = table((n) => n % 2 === 1);

function at(cells, n) {
	if (n >= CELLS) {
		throw { modbusErrorCode: 2, msg: "no such cell" };
	}
	return cells[n];
}

function put(cells, n, value) {
	at(cells, n);
	cells[n] = value;
}

const vector = {
	getHoldingRegister: (n) => at(holding, n),
	getInputRegister: (n) => at(input, n),
	getCoil: (n) => at(coils, n),
	getDiscreteInput: (n) => at(discrete, n),
	setRegister: (n, value) => put(holding, n, value),
	setCoil: (n, value) => put(coils, n, value),
	readDeviceIdentification: () => ({ 0: "Tidegate", 1: "Slave", 2: "1.0" }),
};

const [kind, where, number] = process.argv.slice(2);
const server = kind === "tcp"
	? new ServerTCP(vector, { host: where, port: Number(number), unitID: UNIT })
	: new ServerSerial(vector, { port: where, baudRate: Number(number), unitID: UNIT, interval: 5 });

server.on("socketError", () => {}); // the master hangs up when it likes
server.on("serverError", (err) => fail(err));
server.on("error", (err) => fail(err));

function fail(err) {
	console.error(err);
	process.exit(1);
}
