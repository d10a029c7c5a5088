'use strict'
// A client that does what it is told: one command a line on standard input, in JSON, and one event a line on standard output.
// Usage: node client.js LIBRARY URL VERSION, with VERSION 3 (MQTT 3.1), 4 (MQTT 3.1.1) or 5. The e2e tests of the gateway drive it;
// clients_driver_test.go beside this folder has the commands and events. It ends with its standard input.

const readline = require('node:readline')

const libraries = {
  mqtt2: () => require('./mqttjs').library('mqtt2'),
  mqtt3: () => require('./mqttjs').library('mqtt3'),
  mqtt4: () => require('./mqttjs').library('mqtt4'),
  mqtt5: () => require('./mqttjs').library('mqtt5'),
  wx2: () => require('./wx').library('mqtt2'),
  wx3: () => require('./wx').library('mqtt3'),
  wx41: () => require('./wx').library('mqtt41'),
  wx4: () => require('./wx').library('mqtt4'),
  wx5: () => require('./wx').library('mqtt5'),
  paho: () => require('./paho')
}

const [library, url, version] = process.argv.slice(2)
const { connect } = libraries[library]()
const clients = new Map()

function tell (event) {
  process.stdout.write(JSON.stringify(event) + '\n')
}

async function obey ({ client: name, do: verb, args }) {
  if (verb === 'connect') {
    if (args.will) args.will.payload = Buffer.from(args.will.payload, 'base64')
    clients.set(name, await connect({ ...args, url, version: Number(version) }, {
      connected: (present) => tell({ client: name, event: 'connected', present }),
      message: (m) => tell({ client: name, event: 'message', ...m, payload: Buffer.from(m.payload).toString('base64') }),
      closed: () => tell({ client: name, event: 'closed' })
    }))
    return
  }
  const client = clients.get(name)
  if (verb === 'publish') args.payload = Buffer.from(args.payload, 'base64')
  const result = await client[verb](args)
  tell({ client: name, event: verb, ...result })
}

const lines = readline.createInterface({ input: process.stdin })
lines.on('line', (line) => {
  const command = JSON.parse(line)
  obey(command).catch((err) => tell({ client: command.client, event: 'error', text: String(err) }))
})
lines.on('close', () => process.exit())
