'use strict'
// The bundle of MQTT.js that mini-programs load, in a world that has no socket but wx.connectSocket.

const fs = require('node:fs')
const path = require('node:path')
const vm = require('node:vm')
const WebSocket = require('ws')
const mqttjs = require('./mqttjs')

// library returns the bundle of the MQTT.js that is installed as name.
exports.library = (name) => {
  const file = path.join(__dirname, 'node_modules', name, 'dist', 'mqtt.min.js')
  const bundle = new vm.Script(fs.readFileSync(file, 'utf8'), { filename: file })
  return { connect: (options, events) => connect(load(bundle), options, events) }
}

// connect makes a client. That its connection has ended is told by the socket: the bundles of MQTT.js 3 and 4 do not always notice.
function connect ({ mqtt, bytes, wx }, options, events) {
  let left
  wx.closed = () => left ? left({}) : events.closed()
  const client = mqttjs.connect(mqtt, {
    ...options,
    url: options.url.replace(/^ws/, 'wx'),
    timers: 'native', // those that MQTT.js 5 likes better need a Worker
    will: options.will && { ...options.will, payload: bytes(options.will.payload) }
  }, { ...events, closed: () => {} })
  return {
    subscribe: client.subscribe,
    publish: (args) => client.publish({ ...args, payload: bytes(args.payload) }),
    disconnect: () => new Promise((resolve) => {
      left = resolve
      client.disconnect()
    })
  }
}

// load runs the bundle in a new world. Each client has its own, as each mini-program has: the bundles keep their socket in a variable
// of the module.
function load (bundle) {
  const world = vm.createContext({
    console, setTimeout, clearTimeout, setInterval, clearInterval, setImmediate, clearImmediate, AbortController, AbortSignal
  })
  // A mini-program has no window; the frameworks that MQTT.js 5 is used with make one, and by it MQTT.js tells that this is not Node.
  // MQTT.js 4.3 looks for a sign of webpack, which builds mini-programs.
  vm.runInContext('var self = this, window = this, global = this, document = {}, navigator = {}, __webpack_require__ = function () {}', world)
  // An array of bytes from out here is none to the bundle.
  const make = vm.runInContext('(length) => new Uint8Array(length)', world)
  const bytes = (b) => {
    const copy = make(b.length)
    copy.set(b)
    return copy
  }
  const wx = makeWx((b) => bytes(b).buffer)
  world.wx = wx
  bundle.runInContext(world)
  return { mqtt: world.mqtt.default || world.mqtt, bytes, wx }
}

// makeWx returns what a mini-program has of sockets: tasks that connectSocket returns, and, in the way of the first versions, functions
// of wx that speak of the only socket. The caller sets closed.
function makeWx (arrayBuffer) {
  const first = {}
  const wx = {
    connectSocket (options) {
      wx.task = connectSocket(options, first, arrayBuffer)
      wx.task.onClose(() => wx.closed())
      return wx.task
    },
    sendSocketMessage: (options) => wx.task.send(options),
    closeSocket: (options) => wx.task.close(options),
    onSocketOpen: (f) => { first.open = f },
    onSocketMessage: (f) => { first.message = f },
    onSocketClose: (f) => { first.close = f },
    onSocketError: (f) => { first.error = f }
  }
  return wx
}

function connectSocket ({ url, protocols }, first, arrayBuffer) {
  const listeners = { open: [], message: [], close: [], error: [] }
  const tell = (what, event) => {
    if (first[what]) first[what](event)
    for (const f of listeners[what]) f(event)
  }
  const ws = new WebSocket(url, protocols)
  ws.on('open', () => tell('open', {}))
  ws.on('message', (data) => tell('message', { data: arrayBuffer(data) }))
  ws.on('close', (code) => tell('close', { code }))
  ws.on('error', (err) => tell('error', { errMsg: String(err) }))
  return {
    onOpen: (f) => listeners.open.push(f),
    onMessage: (f) => listeners.message.push(f),
    onClose: (f) => listeners.close.push(f),
    onError: (f) => listeners.error.push(f),
    // All of the ArrayBuffer goes out, though the bundle may have meant a part of it only.
    send ({ data, success, fail }) {
      ws.send(Buffer.from(data), (err) => {
        if (err && fail) fail({ errMsg: String(err) })
        if (!err && success) success({})
      })
    },
    close ({ success, fail } = {}) {
      if (ws.readyState === WebSocket.CLOSED) {
        if (fail) fail({ errMsg: 'the socket is closed' })
        return
      }
      ws.close()
      if (success) success({})
    }
  }
}
