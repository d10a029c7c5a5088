'use strict'
// MQTT.js, of any major version.

// library returns the MQTT.js that is installed as name; its own sockets are those of Node.
exports.library = (name) => {
  const mqtt = require(name)
  return { connect: (options, events) => exports.connect(mqtt, options, events) }
}

// connect makes a client of an MQTT.js. It never connects again by itself: whoever lost its connection says so.
exports.connect = (mqtt, options, events) => {
  const client = mqtt.connect(options.url, {
    protocolId: options.version === 3 ? 'MQIsdp' : 'MQTT',
    protocolVersion: options.version,
    clientId: options.id,
    clean: options.clean,
    keepalive: options.keepalive,
    will: options.will,
    reconnectPeriod: 0,
    timerVariant: options.timers,
    properties: options.version === 5 && !options.clean ? { sessionExpiryInterval: 3600 } : undefined
  })
  client.on('connect', (connack) => events.connected(Boolean(connack && connack.sessionPresent)))
  client.on('message', (topic, payload, packet) => {
    events.message({ topic, payload, qos: packet.qos, retain: packet.retain, dup: packet.dup })
  })
  client.on('close', events.closed)
  client.on('error', (err) => console.error(String(err)))
  return {
    subscribe: ({ filter, qos }) => promise((done) => client.subscribe(filter, { qos }, done))
      .then((granted) => ({ qos: granted[0].qos })),
    publish: ({ topic, payload, qos, retain }) => promise((done) => client.publish(topic, payload, { qos, retain }, done)).then(() => ({})),
    disconnect: () => new Promise((resolve) => client.end(false, resolve)).then(() => ({}))
  }
}

function promise (begin) {
  return new Promise((resolve, reject) => begin((err, result) => err ? reject(err) : resolve(result)))
}
