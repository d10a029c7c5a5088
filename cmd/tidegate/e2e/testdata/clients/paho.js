'use strict'
// Eclipse Paho JavaScript. It is made for browsers: it asks the world for a WebSocket, and makes do without localStorage.

globalThis.WebSocket = require('ws')
const Paho = require('paho-mqtt')

exports.connect = (options, events) => {
  const client = new Paho.Client(options.url, options.id)
  const acknowledged = new Map() // of messages on their way
  client.onMessageArrived = (m) => {
    events.message({ topic: m.destinationName, payload: m.payloadBytes, qos: m.qos, retain: m.retained, dup: m.duplicate })
  }
  client.onMessageDelivered = (m) => acknowledged.get(m)({})
  client.onConnectionLost = () => events.closed()
  client.connect({
    mqttVersion: options.version,
    mqttVersionExplicit: true,
    cleanSession: options.clean,
    keepAliveInterval: options.keepalive,
    ...(options.will && { willMessage: message(options.will) }),
    onSuccess: () => events.connected(), // it does not tell whether a session was present
    onFailure: ({ errorMessage }) => { throw new Error(errorMessage) }
  })
  return {
    subscribe: ({ filter, qos }) => new Promise((resolve, reject) => client.subscribe(filter, {
      qos,
      onSuccess: ({ grantedQos }) => resolve({ qos: grantedQos[0] }),
      onFailure: ({ errorMessage }) => reject(new Error(errorMessage))
    })),
    publish: (args) => new Promise((resolve) => {
      const m = message(args)
      acknowledged.set(m, resolve)
      client.send(m)
    }),
    disconnect: () => new Promise((resolve) => {
      client.onConnectionLost = () => resolve({})
      client.disconnect()
    })
  }
}

function message ({ topic, payload, qos, retain }) {
  const m = new Paho.Message(payload)
  m.destinationName = topic
  m.qos = qos
  m.retained = retain
  return m
}
