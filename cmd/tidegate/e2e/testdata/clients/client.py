"""A client of Eclipse Paho for Python that does what it is told, with the commands and events of client.js.

Usage: python3 client.py URL VERSION, with VERSION 3 (MQTT 3.1), 4 (MQTT 3.1.1) or 5. TIDEGATE_CA is the file of the authority to trust.
"""

import base64
import json
import os
import sys
import threading
from urllib.parse import urlsplit

from paho.mqtt import client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

url, version = urlsplit(sys.argv[1]), int(sys.argv[2])
out = threading.Lock()


def tell(client, event, **args):
    with out:
        print(json.dumps({"client": client, "event": event, **args}), flush=True)


class Client:
    def __init__(self, name, id, clean, keepalive, will=None):
        self.name = name
        websockets = url.scheme in ("ws", "wss")
        self.mqtt = mqtt.Client(
            client_id=id,
            clean_session=clean if version < 5 else None,
            protocol=version,
            transport="websockets" if websockets else "tcp",
        )
        if websockets:
            self.mqtt.ws_set_options(path=url.path)
        if url.scheme in ("mqtts", "wss"):
            self.mqtt.tls_set(os.environ["TIDEGATE_CA"])
        if will:
            self.mqtt.will_set(will["topic"], base64.b64decode(will["payload"]), will["qos"], will["retain"])
        self.mqtt.on_connect = self.on_connect
        self.mqtt.on_message = self.on_message
        self.mqtt.on_subscribe = self.on_subscribe
        self.mqtt.on_publish = self.on_publish
        self.mqtt.on_disconnect = self.on_disconnect
        more = {}
        if version == 5:
            more["clean_start"] = clean
            if not clean:
                more["properties"] = Properties(PacketTypes.CONNECT)
                more["properties"].SessionExpiryInterval = 3600
        self.mqtt.connect(url.hostname, url.port, keepalive, **more)
        self.mqtt.loop_start()

    def on_connect(self, _client, _data, flags, rc, _properties=None):
        if rc != 0:
            tell(self.name, "error", text=f"refused: {rc}")
            return
        tell(self.name, "connected", present=bool(flags["session present"]))

    def on_message(self, _client, _data, m):
        tell(
            self.name,
            "message",
            topic=m.topic,
            payload=base64.b64encode(m.payload).decode(),
            qos=m.qos,
            retain=bool(m.retain),
            dup=bool(m.dup),
        )

    def on_subscribe(self, _client, _data, _mid, granted, _properties=None):
        granted = granted[0]
        tell(self.name, "subscribe", qos=granted if version < 5 else granted.value)

    def on_publish(self, _client, _data, _mid):
        tell(self.name, "publish")

    def on_disconnect(self, _client, _data, rc, _properties=None):
        tell(self.name, "disconnect" if rc == 0 else "closed")
        self.mqtt.disconnect()  # so that it does not connect again by itself

    def subscribe(self, filter, qos):
        self.mqtt.subscribe(filter, qos)

    def publish(self, topic, payload, qos, retain):
        self.mqtt.publish(topic, base64.b64decode(payload), qos, retain)

    def disconnect(self):
        self.mqtt.disconnect()


def main():
    clients = {}
    for line in sys.stdin:
        command = json.loads(line)
        name, verb, args = command["client"], command["do"], command["args"]
        if verb == "connect":
            clients[name] = Client(name, **args)
        else:
            getattr(clients[name], verb)(**args)
    os._exit(0)


main()
