"""Sends itself one message of each QoS with Eclipse Paho and prints what comes back.

roundtrip.py tcp|websockets PORT PATH VERSION [CAFILE [CERTFILE KEYFILE]]; VERSION is 3, 4 or 5.
"""
import sys
import paho.mqtt.client as mqtt

transport, port, path, version = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
files = sys.argv[5:]
client = mqtt.Client(client_id="paho-%s-%d" % (transport, version), transport=transport, protocol=version)
if transport == "websockets":
    client.ws_set_options(path=path)
if files:
    client.tls_set(*files)
got = []


def subscribe(*_):
    client.subscribe("round/%d/#" % port, 2)


def publish(*_):
    for qos in range(3):
        client.publish("round/%d/%d" % (port, qos), "x" * 5000 + str(qos), qos)


def receive(_client, _userdata, message):
    got.append(message.payload[-1:].decode())
    if len(got) == 3:
        client.disconnect()


def lost(_client, _userdata, code, *_):
    if len(got) < 3:
        sys.exit("disconnected with code %s after %s" % (code, got))


client.on_connect, client.on_subscribe, client.on_message, client.on_disconnect = subscribe, publish, receive, lost
client.connect("localhost", port)
client.loop_forever()
print(" ".join(sorted(got)))
